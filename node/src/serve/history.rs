//! What has happened: finished operations, newest first, and the one under way. Pure.

use baton_proto::control::{HistoryReply, Operation as Shown, Step};

use crate::state::{ClusterState, Finished, Operation, OperationKind, UnixMillis};

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
        started_ms: operation.lost_ms(),
        ended_ms,
        outcome: match finished.map(|f| f.ending.to_string()) {
            None => "running".into(),
            Some(ending) => ending,
        },
        outage_ms: operation.outage_ms(finished.map_or(now_ms, |f| f.ended_ms)),
        loss: operation.loss.as_ref().map(ToString::to_string).unwrap_or_default(),
        proof: operation.proof.as_ref().map(ToString::to_string).unwrap_or_default(),
        steps: steps(operation),
        // Of what a person asked for, the word is the reason.
        evidence: match operation.evidence.as_slice() {
            [said] if *said == operation.diagnosis => String::new(),
            seen => seen.join("; "),
        },
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
