//! `batonctl switchover`: what a preflight finds, the steps, and the switchover itself.

use std::time::Duration;

use baton_proto::control::{Change as Shown, Finding as ShownFinding, SwitchoverReply, SwitchoverRequest};
use tonic::Status;

use super::Control;
use super::hooks::with_hooks;
use super::refusal::{by_state, refused};
use super::words::under_way;
use crate::decide::adoption::PlannedChange;
use crate::decide::finding::{Finding, Level};
use crate::decide::switchover::{Preflight, Wish, preflight, steps};
use crate::operate::measure;
use crate::state::{
    Appointment, Change, ClusterState, Ending, NodeName, Operation, OperationId, Plan, Planned, Refusal,
    StepName, UnixMillis,
};

/// When nobody says how long the writes may pause.
const MAX_PAUSE: Duration = Duration::from_millis(500);
/// Bounds of what may be said: shorter than this nothing could be closed, and longer nothing should be.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// An appointment further away is a slip of the hand.
const FURTHEST: Duration = Duration::from_secs(31 * 24 * 3600);
/// For how long the end is waited for, beyond the pause allowed: the lag is waited for before, siblings after.
const ENDS_WITHIN: Duration = Duration::from_secs(30);

impl Control {
    pub(super) async fn switchover(&self, request: SwitchoverRequest) -> Result<SwitchoverReply, Status> {
        if request.cancel {
            return self.cancel_appointment(request.by).await;
        }
        let in_time = UnixMillis::try_from(FURTHEST.as_millis()).unwrap_or(UnixMillis::MAX);
        if request.at_ms != 0 && !(0..=in_time).contains(&(request.at_ms - self.now_ms())) {
            return Err(Status::invalid_argument(
                "a switchover is appointed for a time in the next 31 days; pass for example --at 2h",
            ));
        }
        let max_pause = match request.max_pause_ms {
            0 => MAX_PAUSE,
            ms => Duration::from_millis(ms),
        };
        if !(SHORTEST_PAUSE..=LONGEST_PAUSE).contains(&max_pause) {
            return Err(Status::invalid_argument(
                "writes may pause for 100 ms to 10 s; pass for example --max-pause 500ms",
            ));
        }
        let wish = Wish {
            to: (!request.to.is_empty()).then(|| NodeName::from(request.to.as_str())),
            running: None,
            kill_blockers: request.kill_blockers,
        };
        let (state, seen) = self.gathered().await;
        let number = self.group.leadership().borrow().term;
        let measured = measure(&*self.hands, number, &state, &seen, &wish).await;
        let found = preflight(&state, &seen, &wish, &measured, self.now_ms());
        let pause = measured.pause;
        let planned = Planned {
            max_pause_ms: u64::try_from(max_pause.as_millis()).unwrap_or(u64::MAX),
            kill_blockers: request.kill_blockers,
        };
        let ends = found.from.clone().zip(found.to.clone()).filter(|_| !found.is_refused());
        let planned_steps = match &ends {
            Some((from, to)) => {
                let statements = self.foretold(&state, &seen, (from, to), planned).await;
                let mut planned = steps(&state, &seen, (from, to), &statements);
                let others =
                    self.followers.borrow().keys().map(|name| follows_later(name, to)).collect::<Vec<_>>();
                planned.extend(others);
                planned
            }
            None => Vec::new(),
        };
        let reply = reply(&state, &found, pause, planned_steps);
        let reply = with_hooks(reply, &(self.hooks)(), &self.me);
        let Some((from, to)) = ends.filter(|_| !request.dry_run) else { return Ok(reply) };
        let operation = self.operation_id();
        if request.at_ms != 0 {
            let (at_ms, by) = (request.at_ms, request.by);
            self.commit(Change::Appoint(Appointment { operation, at_ms, to: wish.to.clone(), planned, by }))
                .await?;
            return Ok(SwitchoverReply { appointed_ms: at_ms, ..reply });
        }
        let by = format!("asked for by {}", request.by);
        let plan = Plan { operation: operation.clone(), epoch: state.epoch(), to, planned, by };
        self.commit(Change::Plan(plan)).await?;
        self.ended(&operation, &from, reply, max_pause + ENDS_WITHIN).await
    }

    async fn cancel_appointment(&self, by: String) -> Result<SwitchoverReply, Status> {
        let state = self.state();
        let Some(appointment) = &state.appointment else { return Err(by_state(Refusal::NotAppointed)) };
        let operation = appointment.operation.clone();
        let (ending, why) = (Ending::Cancelled, format!("ended by {by}"));
        self.commit(Change::EndAppointment { operation, ending, why }).await?;
        let message = "the appointed switchover is off".to_owned();
        Ok(SwitchoverReply { epoch: state.epoch().0, message, ..SwitchoverReply::default() })
    }

    /// Waits until it has ended, bounded, and says how it went.
    async fn ended(
        &self,
        id: &OperationId,
        from: &NodeName,
        reply: SwitchoverReply,
        within: Duration,
    ) -> Result<SwitchoverReply, Status> {
        let mut states = self.group.states();
        let over = |state: &ClusterState| state.operation.as_ref().is_none_or(|o| o.id != *id);
        let waited = tokio::time::timeout(within, states.wait_for(|applied| over(&applied.state))).await;
        let state = match waited {
            Ok(Ok(applied)) => std::sync::Arc::clone(&applied.state),
            Ok(Err(_)) => return Err(Status::deadline_exceeded("this node stopped; see `batonctl status`")),
            Err(_) => self.state(),
        };
        let Some(finished) = state.history.iter().rev().find(|f| f.operation.id == *id) else {
            let how_far = under_way(&state).unwrap_or_else(|| "begun".into());
            return Err(Status::deadline_exceeded(format!(
                "{how_far}; it goes on by itself, see `batonctl status` and `batonctl why`"
            )));
        };
        let operation = &finished.operation;
        if finished.ending == Ending::Superseded {
            return Err(refused(format!(
                "{from} was lost meanwhile, and a failover took over: batonctl status"
            )));
        }
        Ok(told(operation, finished.ending, from, reply, state.epoch().0))
    }
}

/// A server without a node, which the leader looks after once the move is over.
fn follows_later(name: &str, to: &NodeName) -> PlannedChange {
    let statement = "-- as the leader finds it then, like a replica".to_owned();
    PlannedChange { node: name.into(), what: format!("follows {to}, once the move is over"), statement }
}

/// The reply once it has ended.
fn told(
    operation: &Operation,
    ending: Ending,
    from: &NodeName,
    reply: SwitchoverReply,
    epoch: u64,
) -> SwitchoverReply {
    let moved = ending == Ending::Done;
    let why = operation.steps.iter().find(|s| s.name == StepName::Undo.as_str()).map(|s| s.detail.clone());
    let pause_ms = operation.outage_ms(0);
    let message = match (moved, why) {
        (true, _) => operation.loss.as_ref().map(ToString::to_string).unwrap_or_default(),
        (false, Some(why)) => format!("{why}; {from} stays the writer"),
        (false, None) => format!("{from} stays the writer"),
    };
    let step = |s: &crate::state::Step| baton_proto::control::Step {
        at_ms: s.at_ms,
        node: s.node.to_string(),
        name: s.name.clone(),
        detail: if s.detail == s.name { String::new() } else { s.detail.clone() },
    };
    let mut journal: Vec<_> = operation.steps.iter().map(step).collect();
    journal.sort_by_key(|s| s.at_ms);
    SwitchoverReply {
        id: operation.id.to_string(),
        moved,
        tried: true,
        epoch: operation.to.as_ref().map_or(epoch, |(epoch, _)| epoch.0),
        pause_ms,
        started_ms: operation.started_ms,
        journal,
        message,
        ..reply
    }
}

fn reply(
    state: &ClusterState,
    found: &Preflight,
    pause: Option<Duration>,
    steps: Vec<PlannedChange>,
) -> SwitchoverReply {
    let shown = |step: PlannedChange| Shown {
        node: step.node.to_string(),
        what: step.what,
        statement: step.statement,
    };
    let name = |node: &Option<NodeName>| node.as_ref().map(ToString::to_string).unwrap_or_default();
    SwitchoverReply {
        from: name(&found.from),
        to: name(&found.to),
        epoch: state.epoch().0,
        refused: found.is_refused(),
        findings: found.findings.iter().map(finding).collect(),
        steps: steps.into_iter().map(shown).collect(),
        pause_ms: pause.and_then(|pause| u64::try_from(pause.as_millis()).ok()).unwrap_or(0),
        ..SwitchoverReply::default()
    }
}

fn finding(finding: &Finding) -> ShownFinding {
    ShownFinding {
        level: match finding.level {
            Level::Error => "stop",
            Level::Warning => "wait",
            Level::Ok => "ok",
        }
        .into(),
        node: finding.node.as_ref().map(ToString::to_string).unwrap_or_default(),
        what: finding.what.clone(),
        mend: finding.mend.clone(),
    }
}
