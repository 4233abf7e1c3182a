//! A switchover whose time has come: looked at again, begun or refused.

use tracing::{info, warn};

use super::super::lead::Term;
use super::measure::measure;
use crate::decide::switchover::{Due, Wish, due, preflight};
use crate::state::{Appointment, Change, ClusterState, Ending, Plan, UnixMillis};

/// The appointment whose time has come, if there is one.
pub(in super::super) fn due_now(state: &ClusterState, now_ms: UnixMillis) -> Option<&Appointment> {
    state.appointment.as_ref().filter(|appointment| appointment.at_ms <= now_ms)
}

/// Whether something was committed for it; otherwise what stands in the way may pass.
pub(in super::super) async fn attend(
    term: &Term<'_>,
    state: &ClusterState,
    appointment: &Appointment,
) -> Result<bool, String> {
    let proposer = &term.lead.proposer;
    let planned = appointment.planned;
    let wish = Wish { to: appointment.to.clone(), running: None, kill_blockers: planned.kill_blockers };
    let seen = term.lead.table.snapshot(state);
    let measured = measure(&*term.lead.hands, term.number, state, &seen, &wish).await;
    let found = preflight(state, &seen, &wish, &measured, proposer.now_ms());
    let operation = appointment.operation.clone();
    let change = match due(appointment, &found, proposer.now_ms(), term.leading()) {
        Due::NotYet | Due::Wait => return Ok(false),
        Due::Begin(to) => {
            info!(%operation, %to, "the time of an appointed switchover has come");
            let by = format!("appointed by {}", appointment.by);
            Change::PlanAppointed(Plan { operation, epoch: state.epoch(), to, planned, by })
        }
        Due::Refuse(why) => {
            warn!(%operation, why, "an appointed switchover comes to nothing");
            Change::EndAppointment { operation, ending: Ending::Failed, why }
        }
    };
    proposer.must(change).await?;
    Ok(true)
}
