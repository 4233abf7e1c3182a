//! `batonctl switchover`: what a preflight finds, the steps, and the switchover itself.

use std::time::Duration;

use baton_proto::control::{Change as Shown, Finding as ShownFinding, SwitchoverReply, SwitchoverRequest};
use futures::future::join;
use tokio::time::Instant;
use tonic::Status;

use super::Control;
use super::history::outage_ms;
use super::refusal::refused;
use super::words::under_way;
use crate::decide::finding::{Finding, Level};
use crate::decide::seen::Observations;
use crate::decide::switchover::{
    LONG, Measured, Preflight, Transaction, Wish, predicted, preflight, steps, successor,
};
use crate::gtid::GtidSet;
use crate::operate::{Acted, Action, Order, Sets};
use crate::sql::LongTransaction;
use crate::state::{Change, ClusterState, Ending, NodeName, Operation, OperationId, Plan, Planned, StepName};

/// When nobody says how long the writes may pause.
const MAX_PAUSE: Duration = Duration::from_millis(500);
/// Bounds of what may be said: shorter than this nothing could be closed, and longer nothing should be.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Each question to a server.
const ASKED: Duration = Duration::from_secs(1);
/// Between two looks at what the writer has.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// From the grant to the opening, where no earlier operation tells.
const OPENING: Duration = Duration::from_millis(60);
/// For how long the end is waited for, beyond the pause allowed: the lag is waited for before, siblings after.
const ENDS_WITHIN: Duration = Duration::from_secs(30);

impl Control {
    pub(super) async fn switchover(&self, request: SwitchoverRequest) -> Result<SwitchoverReply, Status> {
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
        let measured = self.measured(&state, &seen, &wish).await;
        let found = preflight(&state, &seen, &wish, &measured, self.now_ms());
        let pause = measured.pause;
        let reply = reply(&state, &seen, &found, pause);
        let ends = found.from.clone().zip(found.to.clone()).filter(|_| !found.is_refused());
        let Some((from, to)) = ends.filter(|_| !request.dry_run) else { return Ok(reply) };
        let operation = self.operation_id();
        let plan = Plan {
            operation: operation.clone(),
            epoch: state.epoch(),
            to,
            planned: Planned {
                max_pause_ms: u64::try_from(max_pause.as_millis()).unwrap_or(u64::MAX),
                kill_blockers: request.kill_blockers,
            },
            by: format!("asked for by {}", request.by),
        };
        self.commit(Change::Plan(plan)).await?;
        self.ended(&operation, &from, reply, max_pause + ENDS_WITHIN).await
    }

    /// Asks both servers: what they have, how quickly the one follows the other, and what is open on the writer.
    async fn measured(&self, state: &ClusterState, seen: &Observations, wish: &Wish) -> Measured {
        let Some(from) = state.live_grant().map(|g| g.node.clone()) else { return Measured::default() };
        let to = successor(state, seen, wish).filter(|to| state.data_nodes().any(|(n, _)| n == to));
        let long = async {
            match self.ask_server(state, &from, Action::LongTransactions(LONG.as_secs())).await {
                Some(Acted::Long(found)) => found.into_iter().map(transaction).collect(),
                // A preflight without them is one all the same.
                _ => Vec::new(),
            }
        };
        let Some(to) = to.filter(|to| *to != from) else {
            return Measured { long: long.await, ..Measured::default() };
        };
        let both = async {
            let (of_target, to_target) = self.timed_sets(state, &to).await?;
            let (of_writer, to_writer) = self.timed_sets(state, &from).await?;
            let begun = Instant::now();
            let wait = Action::WaitApplied(of_writer.executed.clone());
            let applied = self.ask_server(state, &to, wait).await;
            let lag = (applied == Some(Acted::Applied(true))).then(|| begun.elapsed());
            let extra = self.extra(state, &from, of_target.executed, of_writer.executed).await;
            let pause = lag.map(|lag| predicted(to_writer, to_target, lag, opening(state)));
            Some(Measured { lag, asked: true, extra, long: Vec::new(), pause })
        };
        let (long, both) = join(long, both).await;
        Measured { long, ..both.unwrap_or(Measured { asked: true, ..Measured::default() }) }
    }

    /// What the target has executed and the writer has not, also a moment later: a replica may be ahead of its source by
    /// the commits that wait there for its acknowledgement.
    async fn extra(
        &self,
        state: &ClusterState,
        writer: &NodeName,
        of_target: GtidSet,
        mut of_writer: GtidSet,
    ) -> Option<GtidSet> {
        let deadline = Instant::now() + ASKED;
        loop {
            let extra = of_target.subtract(&of_writer).ok()?;
            if extra.is_empty() || Instant::now() >= deadline {
                return Some(extra);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
            of_writer = self.timed_sets(state, writer).await?.0.executed;
        }
    }

    async fn timed_sets(&self, state: &ClusterState, node: &NodeName) -> Option<(Sets, Duration)> {
        let begun = Instant::now();
        match self.ask_server(state, node, Action::ReadSets).await? {
            Acted::Sets(sets) => Some((sets, begun.elapsed())),
            _ => None,
        }
    }

    async fn ask_server(&self, state: &ClusterState, node: &NodeName, action: Action) -> Option<Acted> {
        let term = self.group.leadership().borrow().term;
        let order = Order { term, epoch: state.epoch(), operation: "preflight".into() };
        self.hands.act(node.clone(), order, action, ASKED).await
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
    let pause_ms = outage_ms(operation, 0);
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
    seen: &Observations,
    found: &Preflight,
    pause: Option<Duration>,
) -> SwitchoverReply {
    let ends = found.from.as_ref().zip(found.to.as_ref()).filter(|_| !found.is_refused());
    let shown = |step: crate::decide::adoption::PlannedChange| Shown {
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
        steps: ends
            .map(|(from, to)| steps(state, seen, from, to).into_iter().map(shown).collect())
            .unwrap_or_default(),
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

fn transaction(long: LongTransaction) -> Transaction {
    // The host has a port in MySQL's list.
    let host = long.host.rsplit_once(':').map_or(long.host.as_str(), |(host, _)| host);
    Transaction {
        id: long.id,
        account: format!("{}@{host}", long.user),
        age: long.age,
        statement: long.statement,
    }
}

/// From the grant to the opening, as the last operation took it.
fn opening(state: &ClusterState) -> Duration {
    let took = |operation: &Operation| {
        let granted = operation.steps.iter().find(|s| s.name == StepName::Grant.as_str())?;
        u64::try_from(operation.opened_ms? - granted.at_ms).ok()
    };
    let last = state.history.iter().rev().find_map(|finished| took(&finished.operation));
    last.map_or(OPENING, Duration::from_millis)
}
