//! Whether a healthy writer can be moved on purpose, and to which server. Pure. The dry run shows what is found here, and
//! the leader asks the same again right before it closes the writer.

mod appointed;
mod found;
mod grant;
mod inspected;
mod stages;
mod steps;
mod target;

use std::time::Duration;

pub use appointed::{Due, due};
pub use grant::next_grant;
pub use inspected::{EventScheduler, Inspected, Lock, Transaction};
pub use stages::{Stages, stages};
pub use steps::{Statements, steps};
pub use target::predicted;

use super::candidates::Field;
use super::choose::Answer;
use super::diagnose::{Lasting, diagnose};
use super::diagnosis::{Diagnosis, Trouble, Writer};
use super::finding::{Finding, Level};
use super::seen::Observations;
use crate::gtid::GtidSet;
use crate::state::{ClusterState, NodeName, Operation, OperationId, OperationKind, Phase, UnixMillis};

/// The writer is closed only while its successor is at most so far behind.
pub const LAG_AT_FREEZE: Duration = Duration::from_millis(50);
/// A successor that does not come as close as that within this is not waited for.
pub const LAG_WITHIN: Duration = Duration::from_secs(3);
/// A transaction open for so long is worth naming: the close ends it.
pub const LONG: Duration = Duration::from_secs(2);

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// The next writer; without one it is chosen.
    pub to: Option<NodeName>,
    /// The switchover that asks; no reason against itself.
    pub running: Option<OperationId>,
    /// Sessions that hold up the close are killed.
    pub kill_blockers: bool,
}

/// What was asked of the servers for this, beside what is seen all the time.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// How long the successor took to apply what the writer had just then; `None` when it did not, or nobody asked.
    pub lag: Option<Duration>,
    /// Whether that was asked.
    pub asked: bool,
    /// What the successor has and the writer lacks, its own set read before the writer's.
    pub extra: Option<GtidSet>,
    /// The writer, looked at more closely; `None` where it did not answer.
    pub writer: Option<Inspected>,
    /// The successor, likewise.
    pub target: Option<Inspected>,
    /// How long the writes would pause, by the round trips measured.
    pub pause: Option<Duration>,
}

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Preflight {
    /// The writer; `None` where there is none.
    pub from: Option<NodeName>,
    /// Who would be the next; `None` where nobody can.
    pub to: Option<NodeName>,
    /// The worst first. An error stops the switchover, a warning makes it wait or costs somebody something.
    pub findings: Vec<Finding>,
}

impl Preflight {
    /// Whether something stops the switchover.
    pub fn is_refused(&self) -> bool {
        self.from.is_none() || self.to.is_none() || self.findings.iter().any(|f| f.level == Level::Error)
    }

    /// The first of what stops it, in words.
    pub fn why_refused(&self) -> Option<String> {
        let stop = self.findings.iter().find(|f| f.level == Level::Error)?;
        let whose = stop.node.as_ref().map(|node| format!("{node}: ")).unwrap_or_default();
        Some(format!("{whose}{}", stop.what))
    }
}

/// Who would be the next writer, as far as the reports tell: what there is to measure is measured there.
pub fn successor(state: &ClusterState, seen: &Observations, wish: &Wish) -> Option<NodeName> {
    if wish.to.is_some() {
        return wish.to.clone();
    }
    let from = &state.live_grant()?.node;
    let ranked = ranked(state, seen, from);
    let fit =
        |node: &&NodeName| !target::findings(state, seen, from, node).iter().any(|f| f.level == Level::Error);
    ranked.iter().find(fit).or_else(|| ranked.first()).cloned()
}

/// Looks at everything that a switchover needs.
pub fn preflight(
    state: &ClusterState,
    seen: &Observations,
    wish: &Wish,
    measured: &Measured,
    now_ms: UnixMillis,
) -> Preflight {
    let from = state.live_grant().map(|grant| grant.node.clone());
    let to = successor(state, seen, wish);
    let mut findings = Vec::new();
    cluster(state, seen, wish, now_ms, &mut findings);
    if let Some(from) = &from {
        match &to {
            Some(to) => {
                let of_target = target::findings(state, seen, from, to);
                let is_fit = !of_target.iter().any(|f| f.level == Level::Error);
                findings.extend(of_target);
                if is_fit {
                    target::measured(from, to, measured, &mut findings);
                    target::ackers(state, seen, from, to, &mut findings);
                }
            }
            None => findings.push(Finding::cluster(
                Level::Error,
                "there is no other server that could be the writer",
                "batonctl node add, or put one in again that is out; batonctl status shows them",
            )),
        }
        if measured.asked || measured.writer.is_some() {
            // They are known of only where they are to follow.
            let events_follow = state.events.epoch == state.epoch();
            inspected::findings((from, to.as_ref()), wish, measured, events_follow, &mut findings);
        }
        found::backup(state, from, to.as_ref(), &mut findings);
        found::writer(state, seen, from, &mut findings);
    }
    findings.sort_by_key(|finding| finding.level);
    Preflight { from, to, findings }
}

fn cluster(
    state: &ClusterState,
    seen: &Observations,
    wish: &Wish,
    now_ms: UnixMillis,
    found: &mut Vec<Finding>,
) {
    let mut stop = |what: String, mend: &str| found.push(Finding::cluster(Level::Error, what, mend));
    if state.phase == Phase::Observing {
        return stop("no cluster is managed here".into(), "batonctl adopt");
    }
    let other = state.operation.as_ref().filter(|o| Some(&o.id) != wish.running.as_ref());
    if let Some(operation) = other {
        return stop(format!("a {} is under way", operation.kind), "wait for its end: batonctl status");
    }
    if let Some(pause) = state.pause.as_ref().filter(|pause| now_ms < pause.until_ms) {
        stop(format!("{} has paused Baton: {}", pause.by, pause.reason), "batonctl resume");
    }
    let Diagnosis { writer, troubles } = diagnose(state, seen, Lasting::default());
    match writer {
        Writer::Serving if state.grant.as_ref().is_some_and(|g| g.unleased) => {
            stop("the adopted writer has no lease yet".into(), "wait for it: batonctl status");
        }
        Writer::Serving => {}
        Writer::Lost(lost) | Writer::Suspected(lost, _) => {
            stop(
                format!("the writer is not well: {}", lost.kind),
                "batonctl why; batonctl failover moves a lost one",
            );
        }
        Writer::None | Writer::Opening | Writer::Ending => {
            stop("there is no open writer".into(), "batonctl why");
        }
    }
    for trouble in troubles {
        let closes = matches!(
            trouble,
            Trouble::QuorumLost { .. }
                | Trouble::TwoWritersSeen(_)
                | Trouble::NoWriter
                | Trouble::WriterClosedByHand(_)
                | Trouble::WriterCannotWrite(..)
                | Trouble::SemiSyncBlocked(_)
        );
        if closes {
            stop(trouble.to_string(), "batonctl why");
        }
    }
    if !state.durability.is_lossless() {
        stop(
            "the cluster is not lossless: the writer may be the only one with an acknowledged write".into(),
            "wait until batonctl status says LOSSLESS, or see there what an acker lacks",
        );
    }
}

/// The other servers in the order in which a failover would choose them: by priority, zone, version and disk.
fn ranked(state: &ClusterState, seen: &Observations, from: &NodeName) -> Vec<NodeName> {
    let answer = |node: &NodeName| {
        let (pulse, _) = seen.pulse(node)?;
        Some(Answer {
            node: node.clone(),
            received: pulse.received.clone(),
            executed: pulse.executed.clone(),
            still: true,
            delayed: pulse.channel.as_ref().is_some_and(|c| c.delayed),
            stuck: false,
            restarted: false,
        })
    };
    let others = || state.data_nodes().map(|(n, _)| n).filter(|n| *n != from);
    let answers: Vec<Answer> = others().filter_map(answer).collect();
    let operation = Operation::of(OperationKind::Switchover, state.epoch(), from.clone());
    let best: Vec<NodeName> =
        Field::new(state, &operation, seen, &answers).fit().into_iter().map(|a| a.node.clone()).collect();
    let unfit = others().filter(|n| !best.contains(n)).cloned();
    best.iter().cloned().chain(unfit).collect()
}
