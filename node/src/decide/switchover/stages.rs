//! What the group would agree on in a switchover, entry by entry, by the rules of the state itself. Pure.

use super::super::seen::Observations;
use super::grant::next_grant;
use crate::state::{
    Change, ClusterState, Command, CommandId, Ending, NodeName, OperationId, Outcome, Plan, Planned, Proof,
    ProofKind, Step, StepName,
};

/// The state at the moments at which servers and routers are changed.
#[derive(Clone, Debug)]
pub struct Stages {
    /// The writer is about to be closed.
    pub frozen: ClusterState,
    /// The next one is open.
    pub opened: ClusterState,
    /// It is over, and everybody follows the new writer.
    pub over: ClusterState,
}

/// The stages from `from` to `to`; `None` where the state would refuse one of the entries.
pub fn stages(
    state: &ClusterState,
    seen: &Observations,
    (from, to): (&NodeName, &NodeName),
    planned: Planned,
) -> Option<Stages> {
    let operation = OperationId("dry-run".into());
    let (epoch, next) = (state.epoch(), state.next_epoch());
    let mut now = state.clone();
    let mut count = 0_u32;
    let mut applies = |state: &mut ClusterState, by: &NodeName, change: Change| {
        count += 1;
        let id = CommandId(format!("dry-run {count}"));
        let command = Command { id, by: by.clone(), at_ms: 1, change };
        (state.apply(0, &command) == Outcome::Applied).then_some(())
    };
    let freeze =
        Step { at_ms: 1, node: from.clone(), name: StepName::Freeze.to_string(), detail: String::new() };
    let plan = Plan { operation: operation.clone(), epoch, to: to.clone(), planned, by: String::new() };
    applies(&mut now, from, Change::Plan(plan))?;
    applies(&mut now, from, Change::Journal { operation: operation.clone(), step: freeze })?;
    let frozen = now.clone();
    applies(&mut now, from, Change::Revoke { operation: operation.clone(), epoch })?;
    let begun = now.operation.clone()?;
    let set = seen.last_seen_set(from)?;
    let proof = Proof { kind: ProofKind::Closed, detail: String::new() };
    applies(&mut now, from, Change::Grant(next_grant(state, seen, &begun, to, &set, proof)))?;
    applies(&mut now, to, Change::Opened { epoch: next })?;
    let opened = now.clone();
    applies(&mut now, from, Change::End { operation, ending: Ending::Done })?;
    Some(Stages { frozen, opened, over: now })
}
