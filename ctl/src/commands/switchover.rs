//! `batonctl switchover`: what a preflight finds and would do, or the switchover itself.

use std::time::Duration;

use baton_proto::control::{SwitchoverReply, SwitchoverRequest};

use super::{Context, Outcome, report};
use crate::error::Error;
use crate::exit::Exit;
use crate::render;
use crate::terminal::{with_news, with_progress};

/// What is done until an operation is under way.
const LOOKING: &str = "looking at the servers";

/// How it is called.
pub(super) struct Options {
    pub(super) to: Option<String>,
    pub(super) dry_run: bool,
    pub(super) max_pause: Duration,
    pub(super) kill_blockers: bool,
    /// When, Unix milliseconds; 0: now.
    pub(super) at_ms: i64,
}

pub(super) async fn switchover(context: &Context<'_>, options: Options) -> Result<Outcome, Error> {
    let Options { to, dry_run, max_pause, kill_blockers, at_ms } = options;
    let max_pause_ms = u64::try_from(max_pause.as_millis()).unwrap_or(u64::MAX);
    if max_pause_ms == 0 {
        return Err(Error::usage("a pause of no length", "pass for example --max-pause 500ms"));
    }
    let to = to.unwrap_or_default();
    let by = context.by.clone();
    let request = SwitchoverRequest {
        to,
        dry_run,
        max_pause_ms,
        kill_blockers,
        by,
        at_ms,
        ..SwitchoverRequest::default()
    };
    let reply = if dry_run {
        let asked = context.group.ask(move |mut node| {
            let request = request.clone();
            async move { node.switchover(request).await }
        });
        with_news(LOOKING, async || None, asked).await?
    } else {
        let change = context.group.change(|mut node| async move { node.switchover(request).await });
        let news = async || report::operation(context).await;
        with_news(LOOKING, news, change).await?
    };
    let text = render::switchover(&reply, &context.settings.cluster, context.style);
    Outcome::new(&reply, text, exit_of(&reply, dry_run))
}

/// Ends the appointment there is.
pub(super) async fn cancel(context: &Context<'_>) -> Result<Outcome, Error> {
    let request = SwitchoverRequest { cancel: true, by: context.by.clone(), ..SwitchoverRequest::default() };
    let change = context.group.change(|mut node| async move { node.switchover(request).await });
    let reply: SwitchoverReply = with_progress("ending the appointment", change).await?;
    let text = format!("{}\n", reply.message);
    Outcome::new(&reply, text, Exit::Ok)
}

/// Asked to move the writer and not moved is a refusal, whatever stood in the way.
fn exit_of(reply: &SwitchoverReply, dry_run: bool) -> Exit {
    if reply.moved || reply.appointed_ms != 0 || dry_run && !reply.refused { Exit::Ok } else { Exit::Refused }
}
