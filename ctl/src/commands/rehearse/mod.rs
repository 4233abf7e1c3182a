//! `batonctl rehearse`: four faults on a cluster that nobody depends on, each with what was so before and must be so after:
//! roles, replication, where clients are led, and rows written against rows found.
//! Refused before anything is touched unless every node's configuration allows it.

mod cases;
mod checks;
mod clients;
mod cluster;
mod read;

use std::path::PathBuf;

use super::{Context, Outcome, report};
use crate::error::Error;
use crate::exit::Exit;
use crate::render::{Case, junit, rehearsal};
use crate::terminal::{can_ask, confirm};
use cluster::Rehearsed;

pub(super) async fn rehearse(
    context: &Context<'_>,
    file: Option<PathBuf>,
    yes: bool,
) -> Result<Outcome, Error> {
    let status = report::ask_status(context).await?;
    let rehearsed = Rehearsed::new(context);
    rehearsed.all_allow_it(&status).await?;
    if !yes {
        if !can_ask() {
            return Err(Error::usage(
                "a rehearsal asks for the cluster's name, and nobody is at the terminal",
                "pass --yes if you are sure",
            ));
        }
        let question = format!(
            "Servers of {} are killed and its writer is moved, twice.\nType the cluster's name to go on:",
            context.settings.cluster
        );
        confirm(&question, &context.settings.cluster)?;
    }
    rehearsed.begin(&status).await?;
    let mut cases = cases::all(&rehearsed).await;
    if let (Err(why), Some(last)) = (rehearsed.end().await, cases.last_mut()) {
        last.check("the rehearsal's own table is dropped", Err(why));
    }
    if let Some(path) = file {
        std::fs::write(&path, junit(&cases, &context.settings.cluster))?;
    }
    let exit = if cases.iter().all(Case::passed) { Exit::Ok } else { Exit::Refused };
    Outcome::new(&cases, rehearsal(&cases, &context.settings.cluster, context.style), exit)
}
