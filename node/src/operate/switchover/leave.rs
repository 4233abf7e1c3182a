//! The routers let go of the writer before it is closed: a statement that reached it after that would be refused.

use std::time::Duration;

use futures::future::join_all;
use tokio::time::{Instant, timeout};

use super::super::action::{Acted, Action};
use super::super::lead::Term;
use crate::decide::diagnose::FRESH;
use crate::decide::seen::Observations;
use crate::state::{ClusterState, NodeName, Operation};

/// How many milliseconds of the pause statements under way may take: most are answered in a few, and whoever has a longer one
/// loses it to the close.
const SESSIONS_MS: u64 = 50;
/// How long a node may take to hear of it, on a disk that keeps a write back, and for that.
pub(super) const LEAVES_WITHIN: Duration = Duration::from_millis(150);

/// Waits, bounded, until every router leads nobody to the writer any more, and no session of theirs is there. Returns the
/// nodes of which that is not known. One that has not been heard lately is not waited for.
/// Half of what is left of the pause stays for the rest.
pub(super) async fn routers_leave(term: &Term<'_>, operation: &Operation, deadline: Instant) -> Vec<String> {
    let left = deadline.saturating_duration_since(Instant::now());
    let within = LEAVES_WITHIN.min(left / 2);
    let quarter_ms = u64::try_from((left / 4).as_millis()).unwrap_or(SESSIONS_MS);
    let state = term.state();
    let seen = term.lead.table.snapshot(&state);
    let leave = Action::LeaveWriter { sessions_ms: SESSIONS_MS.min(quarter_ms) };
    let leaves = asked_to_leave(&state, &seen, Some(&term.lead.me)).map(|node| async {
        let order = term.order(operation.from, &operation.id);
        let act = term.lead.hands.act(node.clone(), order, leave.clone(), within);
        match timeout(within, act).await {
            Ok(Some(Acted::Done)) => None,
            _ => Some(node.to_string()),
        }
    });
    join_all(leaves).await.into_iter().flatten().collect()
}

/// The nodes that are waited for: `me`, who asks, and those that were heard lately.
pub(super) fn asked_to_leave<'a>(
    state: &'a ClusterState,
    seen: &'a Observations,
    me: Option<&'a NodeName>,
) -> impl Iterator<Item = &'a NodeName> {
    let is_heard = |node: &NodeName| seen.of(node).is_some_and(|heard| heard.age <= FRESH);
    state.members.keys().filter(move |node| Some(*node) == me || is_heard(node))
}
