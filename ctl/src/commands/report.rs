//! Questions: status, history, why, check, routing, recovery.

use baton_proto::control::{
    CheckRequest, EventsReply, EventsRequest, HistoryRequest, RecoveryRequest, RoutingRequest, StatusReply,
    StatusRequest, WhyRequest,
};
use jiff::Timestamp;

use super::{Context, Outcome};
use crate::error::Error;
use crate::exit::Exit;
use crate::render;
use crate::terminal::with_progress;

pub(super) async fn ask_status(context: &Context<'_>) -> Result<StatusReply, Error> {
    let question = context.group.ask(|mut node| async move { node.status(StatusRequest {}).await });
    with_progress("asking the nodes", question).await
}

/// What the group is doing, for whoever waits for it; silence when nobody can say.
pub(super) async fn operation(context: &Context<'_>) -> Option<String> {
    let question = context.group.ask(|mut node| async move { node.status(StatusRequest {}).await });
    question.await.ok().map(|status| status.operation)
}

pub(super) async fn status(context: &Context<'_>) -> Result<Outcome, Error> {
    let reply = ask_status(context).await?;
    let exit = match reply.health.as_str() {
        "healthy" => Exit::Ok,
        "no_writer" => Exit::NoWriter,
        // A word of a newer node is not known to be healthy.
        _ => Exit::Degraded,
    };
    let text = render::status(&reply, Timestamp::now(), context.style);
    Outcome::new(&reply, text, exit)
}

pub(super) async fn ask_events(
    context: &Context<'_>,
    since_ms: i64,
    limit: u32,
) -> Result<EventsReply, Error> {
    let request = EventsRequest { since_ms, limit };
    context.group.ask(move |mut node| async move { node.events(request).await }).await
}

pub(super) async fn events(context: &Context<'_>, limit: u32) -> Result<Outcome, Error> {
    let reply = with_progress("reading what happened", ask_events(context, 0, limit)).await?;
    Outcome::new(&reply, render::events(&reply.events, context.style), Exit::Ok)
}

pub(super) async fn history(
    context: &Context<'_>,
    limit: u32,
    epoch: Option<u64>,
    steps: bool,
) -> Result<Outcome, Error> {
    let request = HistoryRequest { limit, epoch: epoch.unwrap_or(0) };
    let question = context.group.ask(move |mut node| async move { node.history(request).await });
    let reply = with_progress("reading the history", question).await?;
    let text = render::history(&reply, steps || limit == 1 || epoch.is_some(), context.style);
    Outcome::new(&reply, text, Exit::Ok)
}

pub(super) async fn why(context: &Context<'_>, epoch: Option<u64>) -> Result<Outcome, Error> {
    let request = WhyRequest { epoch: epoch.unwrap_or(0) };
    let question = context.group.ask(move |mut node| async move { node.why(request).await });
    let reply = with_progress("asking for the reasons", question).await?;
    Outcome::new(&reply, render::why(&reply, context.style), Exit::Ok)
}

pub(super) async fn check(context: &Context<'_>) -> Result<Outcome, Error> {
    let question = context.group.ask(|mut node| async move { node.check(CheckRequest {}).await });
    let reply = with_progress("checking every server", question).await?;
    let wrong = reply.findings.iter().any(|finding| finding.level == "error");
    let exit = if wrong { Exit::Degraded } else { Exit::Ok };
    Outcome::new(&reply, render::check(&reply, context.style), exit)
}

pub(super) async fn routing(context: &Context<'_>) -> Result<Outcome, Error> {
    let question = context.group.ask(|mut node| async move { node.routing(RoutingRequest {}).await });
    let reply = with_progress("asking for the routing", question).await?;
    let right = reply.proxies.iter().all(|proxy| proxy.state == "right");
    let exit = if right || !reply.managed { Exit::Ok } else { Exit::Degraded };
    Outcome::new(&reply, render::routing(&reply, Timestamp::now(), context.style), exit)
}

pub(super) async fn recovery(context: &Context<'_>) -> Result<Outcome, Error> {
    let question = context.group.ask(|mut node| async move { node.recovery(RecoveryRequest {}).await });
    let reply = with_progress("asking what can be restored", question).await?;
    let nothing = reply.windows.is_empty() && reply.alone.is_empty();
    let exit = if nothing { Exit::Degraded } else { Exit::Ok };
    Outcome::new(&reply, render::recovery(&reply, Timestamp::now(), context.style), exit)
}
