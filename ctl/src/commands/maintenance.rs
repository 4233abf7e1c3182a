//! `batonctl maintenance` and `batonctl restart`. A restart is a maintenance with work in it: whatever becomes of this
//! program, the maintenance ends by itself.

use std::time::Duration;

use baton_proto::control::{Done, MaintenanceRequest, NodeStatus, RestartRequest, StatusReply};
use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::operate::done;
use super::switchover::{self, Options};
use super::{Context, Outcome, report};
use crate::error::Error;
use crate::exit::Exit;
use crate::terminal::{with_news, with_progress};

/// A restart that has not come to its end by then has left its server to people.
const RESTART: Duration = Duration::from_secs(30 * 60);
/// How long a stop and a start are waited for.
const RESTARTS_WITHIN: Duration = Duration::from_secs(10 * 60);
/// How long the server may take to follow the writer again.
const FOLLOWS_WITHIN: Duration = Duration::from_secs(5 * 60);
/// Between two looks at the status.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// It follows once it is at most so far behind.
const NEAR_S: f64 = 5.0;
/// How long the writes may pause, as `switchover` has it.
const MAX_PAUSE: Duration = Duration::from_millis(500);

pub(super) async fn begin(
    context: &Context<'_>,
    node: String,
    length: Duration,
    reason: Option<String>,
    switchover: bool,
) -> Result<Outcome, Error> {
    if let Some(refused) = moved_away(context, &node, switchover).await? {
        return Ok(refused);
    }
    let reply = aside(context, &node, length, reason.unwrap_or_default()).await?;
    done(context, &reply)
}

pub(super) async fn end(context: &Context<'_>, node: String) -> Result<Outcome, Error> {
    done(context, &ended(context, &node).await?)
}

pub(super) async fn restart(
    context: &Context<'_>,
    node: String,
    reason: Option<String>,
    switchover: bool,
) -> Result<Outcome, Error> {
    if let Some(refused) = moved_away(context, &node, switchover).await? {
        return Ok(refused);
    }
    let reason = reason.unwrap_or_else(|| "its server is restarted".into());
    let acked = report::ask_status(context).await?;
    let was_acker = of(&acked, &node).is_some_and(|node| node.acker);
    aside(context, &node, RESTART, reason).await?;
    let restarted = with_progress(&format!("restarting {node}"), restarted(context, &node)).await;
    // Also after a failure: what stands in the way is shown as that of any replica then.
    ended(context, &node).await?;
    restarted?;
    let news = async || report::operation(context).await;
    with_news(&format!("waiting for {node} to follow"), news, follows(context, &node, was_acker)).await?;
    let message = format!("{node}'s server has been restarted, and follows the writer again");
    done(context, &Done { message, details: Vec::new() })
}

/// The switchover's own outcome where the writer has not moved away.
async fn moved_away(context: &Context<'_>, node: &str, switchover: bool) -> Result<Option<Outcome>, Error> {
    let status = report::ask_status(context).await?;
    if !switchover || status.writer != node {
        return Ok(None);
    }
    let options = Options { to: None, dry_run: false, max_pause: MAX_PAUSE, kill_blockers: false, at_ms: 0 };
    let outcome = switchover::switchover(context, options).await?;
    Ok((outcome.exit != Exit::Ok).then_some(outcome))
}

async fn aside(context: &Context<'_>, node: &str, length: Duration, reason: String) -> Result<Done, Error> {
    let for_ms = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
    let (node, by) = (node.to_owned(), context.by.clone());
    let request = MaintenanceRequest { node, for_ms, reason, by, end: false };
    let change = context.group.change(|mut node| async move { node.maintenance(request).await });
    with_progress("taking it out", change).await
}

async fn ended(context: &Context<'_>, node: &str) -> Result<Done, Error> {
    let (node, by) = (node.to_owned(), context.by.clone());
    let request = MaintenanceRequest { node, by, end: true, ..MaintenanceRequest::default() };
    let change = context.group.change(|mut node| async move { node.maintenance(request).await });
    with_progress("ending the maintenance", change).await
}

/// Asks again for as long as the answer does not come: the same id is the same restart.
async fn restarted(context: &Context<'_>, node: &str) -> Result<Done, Error> {
    let id = format!("restart-{}-{}", std::process::id(), Timestamp::now().as_millisecond());
    let deadline = Instant::now() + RESTARTS_WITHIN;
    loop {
        let request = RestartRequest { node: node.to_owned(), id: id.clone(), by: context.by.clone() };
        let change = context.group.change(|mut node| async move { node.restart_server(request).await });
        match change.await {
            Err(Error::Unconfirmed { .. }) if Instant::now() < deadline => sleep(LOOK_AGAIN).await,
            answer => return answer,
        }
    }
}

async fn follows(context: &Context<'_>, node: &str, was_acker: bool) -> Result<(), Error> {
    let deadline = Instant::now() + FOLLOWS_WITHIN;
    loop {
        let status = report::ask_status(context).await?;
        match of(&status, node) {
            Some(found) if is_back(found, was_acker) => return Ok(()),
            _ if Instant::now() >= deadline => {
                return Err(Error::Refused {
                    what: format!("{node} was restarted and does not follow the writer yet"),
                    mend: "batonctl status says why".into(),
                });
            }
            _ => sleep(LOOK_AGAIN).await,
        }
    }
}

fn of<'a>(status: &'a StatusReply, node: &str) -> Option<&'a NodeStatus> {
    status.nodes.iter().find(|found| found.name == node)
}

fn is_back(node: &NodeStatus, was_acker: bool) -> bool {
    node.role == "replica"
        && (node.acker || !was_acker)
        && node.replicating
        && (0.0..=NEAR_S).contains(&node.lag_seconds)
}
