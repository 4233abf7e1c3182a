//! What an operator wants to be run when the writer moves: which hook, when, where, and what it is told. Pure.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::state::{ClusterState, Ending, NodeName, Operation, OperationId, OperationKind, StepName};

/// One hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// What logs call it.
    pub name: String,
    /// At which point it is run.
    pub at: Point,
    /// For which moves.
    pub when: When,
    /// Where.
    pub on: Place,
    /// Program and arguments.
    pub command: Vec<String>,
    /// It is killed, with all that it started, after this long.
    pub timeout: Duration,
}

/// A point of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Point {
    /// A switchover is about to close the writer. It waits for the hook, which may stop it.
    BeforeClose,
    /// The next writer is open. Nothing waits for the hook.
    AfterOpen,
    /// The routers lead to the next writer. Nothing waits for the hook.
    AfterRoute,
    /// A move was taken back or given up, or a failover finds nobody to promote. Nothing waits for the hook.
    AfterFailure,
}

impl Point {
    /// As the configuration has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BeforeClose => "before_close",
            Self::AfterOpen => "after_open",
            Self::AfterRoute => "after_route",
            Self::AfterFailure => "after_failure",
        }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Switchovers.
    Planned,
    /// Failovers.
    Unplanned,
    /// Both.
    Any,
}

/// On which node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The group's leader.
    Leader,
    /// The writer's that is, or was, to be left.
    OldWriter,
    /// The writer's that comes next.
    NewWriter,
}

/// What a hook is told on its standard input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// At which point.
    pub point: Point,
    /// The operation's id.
    pub operation: OperationId,
    /// `switchover` or `failover`.
    pub kind: OperationKind,
    /// Whether it is a switchover.
    pub planned: bool,
    /// The epoch that it ends.
    pub from_epoch: u64,
    /// Whose that was.
    pub from: Option<NodeName>,
    /// `host:port` of that server.
    pub from_server: Option<String>,
    /// The next epoch, once granted.
    pub to_epoch: Option<u64>,
    /// Who has it or, before that, is to have it.
    pub to: Option<NodeName>,
    /// `host:port` of that server.
    pub to_server: Option<String>,
    /// Why the writer moves, or did not.
    pub why: String,
}

impl Hook {
    /// Whether it is run at that point of such an operation.
    pub fn is_for(&self, point: Point, planned: bool) -> bool {
        let moves = match self.when {
            When::Planned => planned,
            When::Unplanned => !planned,
            When::Any => true,
        };
        self.at == point && moves
    }

    /// Whether this node, which leads or not, runs it.
    pub fn is_mine(&self, event: &Event, me: &NodeName, leads: bool) -> bool {
        match self.on {
            Place::Leader => leads,
            Place::OldWriter => event.from.as_ref() == Some(me),
            Place::NewWriter => event.to.as_ref() == Some(me),
        }
    }
}

/// The event before the close of a switchover.
pub fn before_close(state: &ClusterState, operation: &Operation) -> Event {
    event(state, operation, Point::BeforeClose, operation.diagnosis.clone())
}

/// What has come about of every move that is known, the oldest first, and whether that move is over.
pub fn events(state: &ClusterState) -> Vec<(Event, bool)> {
    let finished = state.history.iter().map(|finished| (&finished.operation, Some(finished.ending)));
    let under_way = state.operation.iter().map(|operation| (operation, None));
    finished
        .chain(under_way)
        .filter(|(operation, _)| is_a_move(operation.kind))
        .flat_map(|(operation, ending)| {
            let points = [
                (operation.opened_ms.is_some(), Point::AfterOpen),
                (operation.has_taken(StepName::Route), Point::AfterRoute),
                (has_failed(operation, ending), Point::AfterFailure),
            ];
            let why = |point| match point {
                Point::AfterFailure => why_failed(operation),
                _ => operation.diagnosis.clone(),
            };
            points
                .into_iter()
                .filter(|(has_come, _)| *has_come)
                .map(move |(_, point)| (event(state, operation, point, why(point)), ending.is_some()))
                .collect::<Vec<_>>()
        })
        .collect()
}

fn is_a_move(kind: OperationKind) -> bool {
    matches!(kind, OperationKind::Failover | OperationKind::Switchover)
}

/// One that another took over has not failed: the other one says how it went.
fn has_failed(operation: &Operation, ending: Option<Ending>) -> bool {
    let given_up = matches!(ending, Some(Ending::Failed | Ending::Cancelled));
    given_up || (operation.kind == OperationKind::Failover && operation.has_taken(StepName::Held))
}

fn why_failed(operation: &Operation) -> String {
    let said = [StepName::Undo, StepName::Held];
    let last = operation.steps.iter().rfind(|step| said.iter().any(|name| step.name == name.as_str()));
    last.map_or_else(|| operation.diagnosis.clone(), |step| step.detail.clone())
}

fn event(state: &ClusterState, operation: &Operation, point: Point, why: String) -> Event {
    let server = |node: &Option<NodeName>| state.members.get(node.as_ref()?)?.server.clone();
    let (to_epoch, to) = match &operation.to {
        Some((epoch, node)) => (Some(epoch.0), Some(node.clone())),
        None => (None, operation.wanted.clone()),
    };
    Event {
        point,
        operation: operation.id.clone(),
        kind: operation.kind,
        planned: operation.kind == OperationKind::Switchover,
        from_epoch: operation.from.0,
        from_server: server(&operation.from_node),
        from: operation.from_node.clone(),
        to_epoch,
        to_server: server(&to),
        to,
        why,
    }
}
