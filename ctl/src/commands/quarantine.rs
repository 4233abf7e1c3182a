//! Extra transactions: list, show, release.

use baton_proto::control::{QuarantineListRequest, QuarantineReleaseRequest, QuarantineShowRequest};
use jiff::Timestamp;

use super::operate::done;
use super::{Context, Outcome};
use crate::error::Error;
use crate::exit::Exit;
use crate::render;
use crate::terminal::with_progress;

/// Enough for the lines that are shown.
const SOME_SQL: u64 = 16 << 10;
/// As much as a node gives; it has a limit of its own.
const ALL_SQL: u64 = u64::MAX;

pub(super) async fn list(context: &Context<'_>) -> Result<Outcome, Error> {
    let asked =
        context.group.ask(|mut node| async move { node.quarantine_list(QuarantineListRequest {}).await });
    let reply = asked.await?;
    let text = render::quarantine_list(&reply, Timestamp::now(), context.style);
    Outcome::new(&reply, text, Exit::Ok)
}

pub(super) async fn show(context: &Context<'_>, id: String, sql: bool) -> Result<Outcome, Error> {
    let request = QuarantineShowRequest { id, sql_max: if sql || context.json { ALL_SQL } else { SOME_SQL } };
    let asked = context.group.ask(move |mut node| {
        let request = request.clone();
        async move { node.quarantine_show(request).await }
    });
    let reply = asked.await?;
    let text = render::quarantine(&reply, sql, Timestamp::now(), context.style);
    Outcome::new(&reply, text, Exit::Ok)
}

pub(super) async fn release(
    context: &Context<'_>,
    node: String,
    reason: String,
    without_archive: bool,
) -> Result<Outcome, Error> {
    let request = QuarantineReleaseRequest { node, reason, by: context.by.clone(), without_archive };
    let change = context.group.change(|mut node| async move { node.quarantine_release(request).await });
    done(context, &with_progress("releasing", change).await?)
}
