//! What is told, when, to whom, and in which words.
#![allow(clippy::unwrap_used)]

mod asking;
mod conditions;
mod deciding;
mod due;
mod leaders;
mod room;
mod sinks;
mod story;
mod words;

use std::sync::Arc;

use crate::decide::sample::{NOW_MS, managed, name};
use crate::state::{
    AlertChange, Change, ClusterState, Command, CommandId, Ending, Epoch, Finished, Loss, Operation,
    OperationId, OperationKind, Proof, ProofKind, Step, StepName,
};

/// A cluster whose alerts are listened to.
fn listened() -> ClusterState {
    let (mut state, _) = managed();
    agree(&mut state, NOW_MS, vec![AlertChange::Listen(true)]);
    state
}

/// Commits changes at a time.
fn agree(state: &mut ClusterState, at_ms: i64, changes: Vec<AlertChange>) {
    let id = CommandId(format!("{at_ms}-{}-{:?}", state.alerts.notices.len(), changes));
    let command = Command { id, by: name("db2"), at_ms, change: Change::Alerts(changes) };
    state.apply(1, &command).into_result().unwrap();
}

/// db1 crashed, and db2 took over 312 ms later.
fn failover() -> Operation {
    let step = |at_ms, node: &str, step: StepName, detail: &str| Step {
        at_ms: NOW_MS + at_ms,
        node: name(node),
        name: step.as_str().into(),
        detail: detail.into(),
    };
    Operation {
        id: OperationId("f00d".into()),
        started_ms: NOW_MS + 4,
        diagnosis: "WriterCrashed".into(),
        evidence: vec!["db1: the server's process exited and its port refuses".into()],
        proof: Some(Proof { kind: ProofKind::Gone, detail: "process 1000 exited, port 3306 refuses".into() }),
        loss: Some(Loss::None { proven_by: vec![name("db2")] }),
        to: Some((Epoch(2), name("db2"))),
        opened_ms: Some(NOW_MS + 312),
        steps: vec![step(0, "db1", StepName::Intent, "WriterCrashed: epoch 1 revoked")],
        ..Operation::of(OperationKind::Failover, Epoch(1), name("db1"))
    }
}

/// The failover is over and db2 writes, without an acker yet.
fn failed_over(state: &mut ClusterState) {
    let grant = state.grant.as_mut().unwrap();
    (grant.epoch, grant.node) = (Epoch(2), name("db2"));
    state.revoked_through = Epoch(1);
    state.durability = crate::state::Durability::Degraded {
        since_ms: NOW_MS + 312,
        reason: crate::state::DegradeReason::NewEpoch,
        upto: None,
        may_let_go: false,
        index: 1,
    };
    let finished = Finished { operation: failover(), ended_ms: NOW_MS + 400, ending: Ending::Done };
    state.history.push_back(Arc::new(finished));
}

/// db1 is back and acknowledges.
fn lossless_again(state: &mut ClusterState) {
    state.durability = crate::state::Durability::Lossless { since_ms: NOW_MS + 2_400 };
    state.ackers = [name("db1")].into();
}
