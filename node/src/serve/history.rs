//! What has happened: finished operations, newest first, and the one under way. Pure.

use baton_proto::control::{HistoryReply, Operation as Shown, Step};

use crate::state::{ClusterState, Finished, Operation, OperationKind, StepName, UnixMillis};

/// Answered when nobody says how many.
const LIMIT: usize = 20;

/// The newest `limit` operations (0: 20); with an `epoch` other than 0 those that ended or began it.
pub fn history(state: &ClusterState, limit: u32, epoch: u64, now_ms: UnixMillis) -> HistoryReply {
    let limit = if limit == 0 { LIMIT } else { limit as usize };
    let rebuild = state.rebuild.iter().map(|r| &r.operation);
    let running = state.operation.iter().chain(rebuild).map(|operation| shown(operation, None, now_ms));
    let finished = state.history.iter().rev().map(|f| shown(&f.operation, Some(f), now_ms));
    let wanted = |o: &Shown| epoch == 0 || o.from_epoch == epoch || o.to_epoch == epoch;
    HistoryReply { operations: running.chain(finished).filter(wanted).take(limit).collect() }
}

/// When the writer was lost: the journal may hold what was seen before the leader began.
pub(super) fn lost_ms(operation: &Operation) -> UnixMillis {
    operation.steps.iter().map(|s| s.at_ms).fold(operation.started_ms, UnixMillis::min)
}

/// Milliseconds without an open writer, so far if it is not over; 0 for operations that close none.
pub(super) fn outage_ms(operation: &Operation, now_ms: UnixMillis) -> u64 {
    let at = |name: StepName| operation.steps.iter().find(|s| s.name == name.as_str()).map(|s| s.at_ms);
    let (since, until) = match operation.kind {
        OperationKind::Failover => (Some(lost_ms(operation)), operation.opened_ms),
        // Whether the writer was closed then or held up by the attempt.
        OperationKind::Switchover if operation.to.is_none() => (at(StepName::Freeze), at(StepName::Undo)),
        OperationKind::Switchover => (at(StepName::Freeze), operation.opened_ms),
        OperationKind::Adopt | OperationKind::Release | OperationKind::Rebuild => (None, None),
    };
    since.map_or(0, |since| u64::try_from(until.unwrap_or(now_ms) - since).unwrap_or(0))
}

fn shown(operation: &Operation, finished: Option<&Finished>, now_ms: UnixMillis) -> Shown {
    let (to_epoch, to_node) = operation.to.clone().map(|(e, n)| (e.0, n.to_string())).unwrap_or_default();
    let from_node = operation.from_node.as_ref().map(ToString::to_string).unwrap_or_default();
    let reopened = operation.kind == OperationKind::Failover && !to_node.is_empty() && to_node == from_node;
    // Of an operation that was superseded nobody knows when a writer opened; the next one counts that.
    let ended_ms = finished.map_or(0, |f| f.ended_ms);
    Shown {
        kind: if reopened { "reopen".into() } else { operation.kind.to_string() },
        id: operation.id.to_string(),
        from_epoch: operation.from.0,
        to_epoch,
        from_node,
        // What a rebuild moves is data, from its source to its target.
        to_node: match (operation.kind, &operation.wanted) {
            (OperationKind::Rebuild, Some(target)) => target.to_string(),
            _ => to_node,
        },
        started_ms: lost_ms(operation),
        ended_ms,
        outcome: match finished.map(|f| f.ending.to_string()) {
            None => "running".into(),
            Some(ending) => ending,
        },
        outage_ms: outage_ms(operation, finished.map_or(now_ms, |f| f.ended_ms)),
        loss: operation.loss.as_ref().map(ToString::to_string).unwrap_or_default(),
        proof: operation.proof.as_ref().map(ToString::to_string).unwrap_or_default(),
        steps: steps(operation),
        evidence: operation.evidence.join("; "),
        reason: match &operation.forced {
            Some(word) => format!("{}, by {}", word.reason, word.by),
            None if operation.kind == OperationKind::Failover => String::new(),
            None => operation.diagnosis.clone(),
        },
    }
}

/// The journal in the order of time. The entry that began a failover is its revocation, and stands there by name.
fn steps(operation: &Operation) -> Vec<Step> {
    let mut steps: Vec<Step> = operation
        .steps
        .iter()
        .map(|s| Step {
            at_ms: s.at_ms,
            node: s.node.to_string(),
            name: s.name.clone(),
            // "open: open" says nothing twice.
            detail: if s.detail == s.name { String::new() } else { s.detail.clone() },
        })
        .collect();
    let told = operation.steps.iter().any(|s| s.name == "intent");
    if operation.kind == OperationKind::Failover && !told {
        steps.push(Step {
            at_ms: operation.started_ms,
            node: String::new(),
            name: operation.diagnosis.clone(),
            detail: format!("intent committed, epoch {} is being revoked", operation.from),
        });
    }
    steps.sort_by_key(|s| s.at_ms);
    steps
}
