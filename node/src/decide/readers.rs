//! Which servers may be read from. Pure.
//!
//! Nobody publishes a list of readers. Each node goes by its own probes of the servers, and the leader by those that the
//! nodes report ([`of_reports`]): so a router leads to no server that its own host cannot reach, and goes on when nobody
//! leads. What must be the same everywhere, who is the writer, who is out and how much lag is too much, is replicated.
//!
//! While there is no open writer nothing newer can be read anywhere, and during an operation replicas stand still to be
//! pointed elsewhere: neither throws them out, or each planned move would end every reader's sessions.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use super::seen::{Observations, Probe, Replica};
use crate::state::{ClusterState, NodeName, OutReason, Phase};

/// A server that has not answered for so long is not read from.
pub const SILENT: Duration = Duration::from_secs(2);
/// A thread of replication that stands still for so long has stopped; less is a restart of it.
const STOPPED: Duration = Duration::from_secs(2);
/// A reader that left comes back once it is this part of the limit behind, so that one at the limit does not come and go.
const BACK_AT: u32 = 2;

/// Who is read from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Replicas fit to be read from. None: the writer is read from ([`Self::is_left_to_writer`]).
    pub readers: BTreeSet<NodeName>,
    /// Every other server but the writer's, and why.
    pub left_out: BTreeMap<NodeName, Unfit>,
}

impl Reading {
    /// Whether no replica is fit, so that the writer takes the reads.
    pub fn is_left_to_writer(&self) -> bool {
        self.readers.is_empty()
    }
}

/// Why a server is not read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It holds the write role.
    Writer,
    /// It has no server, or is no member.
    NoServer,
    /// It is out: quarantined, in maintenance or being rebuilt.
    Out(&'static str),
    /// It has not answered for so long, or never.
    Silent(Option<Duration>),
    /// It accepts client writes and is not the writer.
    Open,
    /// It replicates from nobody.
    NoSource,
    /// It replicates from another server than the writer.
    OtherSource(String),
    /// Its replication has stood still for so long.
    Stopped(Duration),
    /// It is so far behind, and may be this far.
    Behind {
        /// By its own estimate.
        by: Duration,
        /// The most that is borne.
        limit: Duration,
    },
    /// It cannot say how far behind it is.
    LagUnknown,
    /// There is no open writer to compare it with, and it was not read from before.
    NoWriter,
}

impl Unfit {
    /// Whether it is still there to be read from: sessions on it need not end at once.
    pub fn serves(&self) -> bool {
        !matches!(self, Self::NoServer | Self::Silent(_))
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |d: &Duration| format!("{:.1} s", d.as_secs_f64());
        match self {
            Self::Writer => f.write_str("is the writer"),
            Self::NoServer => f.write_str("has no server"),
            Self::Out(why) => write!(f, "is out: {why}"),
            Self::Silent(None) => f.write_str("has not answered yet"),
            Self::Silent(Some(silent)) => write!(f, "has not answered for {}", seconds(silent)),
            Self::Open => f.write_str("is open without being the writer"),
            Self::NoSource => f.write_str("does not replicate"),
            Self::OtherSource(source) => write!(f, "replicates from {source}, which is not the writer"),
            Self::Stopped(still) => write!(f, "its replication has stood still for {}", seconds(still)),
            Self::Behind { by, limit } => {
                write!(f, "is {} behind, more than {}", seconds(by), seconds(limit))
            }
            Self::LagUnknown => f.write_str("does not say how far behind it is"),
            Self::NoWriter => f.write_str("cannot be compared with a writer: there is none"),
        }
    }
}

/// How much is borne of one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The most lag.
    pub limit: Duration,
    /// It was read from until now: it stays through a restart of its replication and while the writer moves. One that was
    /// not must replicate first.
    pub was: bool,
}

impl Terms {
    /// As routing has it: one of those that `were` read from stays up to the limit, another must be well below it.
    pub fn of(state: &ClusterState, node: &NodeName, were: &BTreeSet<NodeName>) -> Self {
        let most = Duration::from_millis(state.safety.live.reader_max_lag_ms);
        let was = were.contains(node);
        Self { limit: if was { most } else { most / BACK_AT }, was }
    }
}

/// Who is read from now. `seen` is what somebody's probes saw, `were` who was read from before.
pub fn reading(state: &ClusterState, seen: &BTreeMap<NodeName, Probe>, were: &BTreeSet<NodeName>) -> Reading {
    let mut reading = Reading::default();
    for (node, _) in state.data_nodes() {
        match unfit(state, node, seen.get(node), Terms::of(state, node, were)) {
            None => {
                reading.readers.insert(node.clone());
            }
            Some(Unfit::Writer) => {}
            Some(why) => {
                reading.left_out.insert(node.clone(), why);
            }
        }
    }
    reading
}

/// Why `node` is not to be read from on these terms; `None` when it may be.
pub fn unfit(state: &ClusterState, node: &NodeName, seen: Option<&Probe>, terms: Terms) -> Option<Unfit> {
    if state.members.get(node).is_none_or(|m| m.server.is_none()) {
        return Some(Unfit::NoServer);
    }
    if state.grant.as_ref().is_some_and(|g| g.node == *node) {
        return Some(Unfit::Writer);
    }
    if let Some(out) = state.out.get(node) {
        return Some(Unfit::Out(match out.reason {
            OutReason::Quarantine(_) => "it has transactions that the writer lacks",
            OutReason::Maintenance => "maintenance",
            OutReason::Rebuild => "it is being rebuilt",
        }));
    }
    let Some(seen) = seen.filter(|probe| probe.ever) else { return Some(Unfit::Silent(None)) };
    if seen.silent_for > SILENT {
        return Some(Unfit::Silent(Some(seen.silent_for)));
    }
    match (seen.open, &seen.replica) {
        (None, _) => Some(Unfit::Silent(None)),
        (Some(true), _) => Some(Unfit::Open),
        (Some(false), None) => Some(Unfit::NoSource),
        (Some(false), Some(replica)) => stale(state, replica, terms),
    }
}

/// Whether what a closed replica shows may be too old.
fn stale(state: &ClusterState, replica: &Replica, Terms { limit, was }: Terms) -> Option<Unfit> {
    let Some(source) = source(state) else { return (!was).then_some(Unfit::NoWriter) };
    let moving = was && state.operation.is_some();
    if !moving && source.is_some_and(|source| source != replica.source) {
        return Some(Unfit::OtherSource(replica.source.clone()));
    }
    let patience = if moving { STOPPED.max(limit) } else { STOPPED };
    match (replica.stopped_for, replica.behind) {
        (Some(still), _) if !was || still > patience => Some(Unfit::Stopped(still)),
        (None, Some(by)) if by > limit => Some(Unfit::Behind { by, limit }),
        (None, None) if !was => Some(Unfit::LagUnknown),
        _ => None,
    }
}

/// Where a replica has to replicate from; nothing in particular before adoption, when its people may have given the
/// writer another name. `None` while there is no open writer.
fn source(state: &ClusterState) -> Option<Option<&str>> {
    match state.phase {
        Phase::Observing => Some(None),
        Phase::Managed => {
            let grant = state.live_grant().filter(|g| g.opened_ms.is_some())?;
            Some(state.members.get(&grant.node)?.server.as_deref())
        }
    }
}

/// What all nodes together see of each server: of each the youngest word.
pub fn of_reports(seen: &Observations) -> BTreeMap<NodeName, Probe> {
    let mut youngest: BTreeMap<NodeName, Probe> = BTreeMap::new();
    for (_, heard) in seen.iter() {
        for (node, probe) in &heard.report.probes {
            let probe = Probe { silent_for: probe.silent_for + heard.age, ..probe.clone() };
            let older = |known: &Probe| (known.ever, probe.silent_for) < (probe.ever, known.silent_for);
            if youngest.get(node).is_none_or(older) {
                youngest.insert(node.clone(), probe);
            }
        }
    }
    youngest
}
