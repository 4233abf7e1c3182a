//! A planned switchover in the state: its plan, which leaves the epoch alone, and the revocation once the writer is
//! closed. The next epoch is granted as in a failover, to the target or, where it is taken back, to the old writer.

use serde::{Deserialize, Serialize};

use super::apply::{fit, keep, live, may_write, new_operation, running};
use super::{
    ClusterState, Ending, Epoch, NodeName, Operation, OperationId, OperationKind, Phase, Refusal, Step,
    StepName, UnixMillis,
};

/// Begins a switchover.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The operation's name.
    pub operation: OperationId,
    /// The epoch that it is to end.
    pub epoch: Epoch,
    /// Who is to be the writer.
    pub to: NodeName,
    /// How it is to be done.
    pub planned: Planned,
    /// Who asked, in words.
    pub by: String,
}

/// How a switchover is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// From the moment at which the writer is asked to close until the next epoch is granted; after so long it is taken
    /// back. Milliseconds.
    pub max_pause_ms: u64,
    /// Whether sessions that hold up the close are killed.
    pub kill_blockers: bool,
}

/// A switchover at a later time, whoever leads then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Appointment {
    /// The operation's name, once it is begun.
    pub operation: OperationId,
    /// When, by the wall clock of whoever leads then.
    pub at_ms: UnixMillis,
    /// The next writer; without one it is chosen then.
    pub to: Option<NodeName>,
    /// How it is to be done.
    pub planned: Planned,
    /// Who asked.
    pub by: String,
}

/// Begins the switchover appointed for now: void once that was cancelled, or begun by an earlier leader.
pub(super) fn plan_appointed(state: &mut ClusterState, at: UnixMillis, begun: &Plan) -> Result<(), Refusal> {
    if state.appointment.as_ref().is_none_or(|a| a.operation != begun.operation) {
        return Err(Refusal::NotAppointed);
    }
    plan(state, at, begun)?;
    state.appointment = None;
    Ok(())
}

/// Sets a time for a switchover. There is one appointment at a time: a new one takes the place of none.
pub(super) fn appoint(
    state: &mut ClusterState,
    at: UnixMillis,
    appointment: &Appointment,
) -> Result<(), Refusal> {
    if state.phase == Phase::Observing {
        return Err(Refusal::Observing);
    }
    if let Some(other) = &state.appointment {
        return Err(Refusal::Appointed(other.operation.clone()));
    }
    if let Some(to) = &appointment.to {
        fit(state, to)?;
        may_write(state, to)?;
    }
    let to = appointment.to.as_ref().map_or_else(String::new, |to| format!(" to {to}"));
    state.note(at, &format!("switchover{to} appointed"), format!("asked for by {}", appointment.by));
    state.appointment = Some(appointment.clone());
    Ok(())
}

/// An appointment comes to nothing: an operator ends it, or nothing could be begun at its time. The history keeps it.
pub(super) fn end_appointment(
    state: &mut ClusterState,
    at: UnixMillis,
    by: &NodeName,
    (id, ending, why): (&OperationId, Ending, &str),
) -> Result<(), Refusal> {
    let appointment = state.appointment.take_if(|a| a.operation == *id).ok_or(Refusal::NotAppointed)?;
    let diagnosis = format!("appointed by {}", appointment.by);
    let line =
        Step { at_ms: at, node: by.clone(), name: StepName::Refused.as_str().into(), detail: why.to_owned() };
    let operation = Operation {
        from_node: state.grant.as_ref().map(|g| g.node.clone()),
        wanted: appointment.to,
        planned: Some(appointment.planned),
        steps: vec![line],
        ..new_operation(id, OperationKind::Switchover, state.epoch(), at, diagnosis)
    };
    state.note(at, &format!("switchover {ending}"), why.to_owned());
    keep(state, at, operation, ending);
    Ok(())
}

/// Refused where another operation is under way, even one that has granted its epoch: it is not over.
pub(super) fn plan(state: &mut ClusterState, at: UnixMillis, plan: &Plan) -> Result<(), Refusal> {
    if state.phase == Phase::Observing {
        return Err(Refusal::Observing);
    }
    let grant = live(state, plan.epoch)?;
    let (from_node, is_open) = (grant.node.clone(), grant.opened_ms.is_some() && !grant.unleased);
    if let Some(operation) = &state.operation {
        return Err(Refusal::UnderWay(operation.id.clone()));
    }
    if !is_open {
        return Err(Refusal::NotOpen(from_node));
    }
    if state.pause.as_ref().is_some_and(|pause| at < pause.until_ms) {
        return Err(Refusal::Paused);
    }
    if plan.to == from_node {
        return Err(Refusal::HoldsGrant(from_node));
    }
    fit(state, &plan.to)?;
    may_write(state, &plan.to)?;
    state.note(at, &format!("switchover to {}", plan.to), plan.by.clone());
    state.operation = Some(Operation {
        from_node: Some(from_node),
        wanted: Some(plan.to.clone()),
        planned: Some(plan.planned),
        evidence: vec![plan.by.clone()],
        ..new_operation(&plan.operation, OperationKind::Switchover, plan.epoch, at, plan.by.clone())
    });
    Ok(())
}

/// From here on no voter grants the epoch again, and the operation ends with the next one and in no other way.
pub(super) fn revoke(
    state: &mut ClusterState,
    at: UnixMillis,
    id: &OperationId,
    epoch: Epoch,
) -> Result<(), Refusal> {
    let operation = running(state, id)?;
    if operation.kind != OperationKind::Switchover || operation.from != epoch {
        return Err(Refusal::NotUnderWay(id.clone()));
    }
    // The second of two leaders that found the same.
    if state.is_revoked(epoch) {
        return Ok(());
    }
    live(state, epoch)?;
    state.revoked_through = epoch;
    state.note(at, &format!("epoch {epoch} is over"), "its writer is closed for a switchover".to_owned());
    Ok(())
}
