//! Questions to the two servers' nodes, each with its bound.

use std::time::Duration;

use tokio::time::timeout;

use super::super::action::{Acted, Action, Sets};
use super::super::lead::Term;
use crate::state::{NodeName, Operation};

/// What an answer may take beyond what was asked for.
pub(super) const ANSWERS_WITHIN: Duration = Duration::from_millis(500);
/// Pause before an unanswered request is repeated.
pub(super) const AGAIN: Duration = Duration::from_millis(50);

pub(super) async fn read(
    term: &Term<'_>,
    operation: &Operation,
    node: &NodeName,
    within: Duration,
) -> Result<Sets, String> {
    match act(term, operation, node, Action::ReadSets, within).await {
        Some(Acted::Sets(sets)) => Ok(sets),
        Some(Acted::Failed(why)) => Err(format!("{node}: {why}")),
        _ => Err(format!("{node} has not said within {} ms what it has", within.as_millis())),
    }
}

pub(super) async fn act(
    term: &Term<'_>,
    operation: &Operation,
    node: &NodeName,
    action: Action,
    within: Duration,
) -> Option<Acted> {
    let order = term.order(operation.from, &operation.id);
    let asked = term.lead.hands.act(node.clone(), order, action, within);
    // What is on its way back comes within this as well.
    timeout(within + ANSWERS_WITHIN, asked).await.ok()?
}
