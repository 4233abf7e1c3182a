//! What the nodes see, as decisions take it in. Ages are counted from the present of whoever reads them, so no two
//! clocks are ever compared.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::archive::Archiving;
use super::backup::Backing;
use super::backup::schedule::Due;
use super::copying::Copying;
use super::diagnose::FRESH;
use super::tried::Tried;
use super::vouched::began;
use crate::gtid::{Dialect, GtidSet};
use crate::state::{Epoch, LeavesFor, NodeName, UnixMillis};

/// The latest report of every node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observations {
    reports: BTreeMap<NodeName, Heard>,
    /// What each server said of itself in the report before, and how long ago.
    before: BTreeMap<NodeName, (Pulse, Duration)>,
    /// For how long the open writer has had fewer ackers connected than a commit waits for. A server counts an acker
    /// whose host was cut off as connected until TCP gives up, minutes later: whoever fills this in also counts from when
    /// commits began to wait without its set growing.
    pub acker_short_for: Option<Duration>,
    /// For how long the process of each server that is gone has been known to be, by the reader's clock: the same process,
    /// in every report since, none of which was long in coming. A server that ran meanwhile begins anew.
    pub gone_for: BTreeMap<NodeName, Duration>,
    /// By how many milliseconds each sender's wall clock was ahead of the reader's when its report came in; behind is
    /// negative. The way here counts as behind.
    pub clock_ahead_ms: BTreeMap<NodeName, i64>,
    /// The reader's wall clock, milliseconds since 1970; 0 where it is not known.
    pub wall_ms: UnixMillis,
    /// The backup that is due by its schedule then.
    pub due_backup: Option<Due>,
}

/// A report and how long ago it came in.
#[derive(Clone, Debug, PartialEq)]
pub struct Heard {
    /// Since it came in.
    pub age: Duration,
    /// The report.
    pub report: Report,
}

/// What one node sees.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Counts the sender's reports; an older one that arrives late is dropped.
    pub serial: u64,
    /// Baton's version at the sender.
    pub version: String,
    /// The server beside it; `None` on a witness.
    pub own: Option<OwnServer>,
    /// Every server as seen over the network, its own among them.
    pub probes: BTreeMap<NodeName, Probe>,
    /// The sender's configuration differs from the replicated settings in these keys.
    pub config_differs: Vec<String>,
    /// What it tried on the server beside it; `None` on a witness.
    #[serde(default)]
    pub tried: Option<Tried>,
    /// How far the rebuild of its server is.
    #[serde(default)]
    pub copying: Option<Copying>,
    /// What it lacks to take part in the rebuild of a MariaDB server, with the mend.
    #[serde(default)]
    pub lacks_for_copy: Option<String>,
    /// Every ProxySQL; none but of a leader.
    #[serde(default)]
    pub routing: Vec<ProxySeen>,
    /// How far its task about backups is.
    #[serde(default)]
    pub backing: Option<Backing>,
    /// How it archives the binlog; `None` where its file has no archive.
    #[serde(default)]
    pub archiving: Option<Archiving>,
    /// What it lacks to make a backup, in words that follow its name.
    #[serde(default)]
    pub lacks_for_backup: Option<String>,
    /// The servers where the replication account may not replicate, as the sender tried it, and why; none of a witness.
    #[serde(default)]
    pub sources_refused: BTreeMap<NodeName, String>,
    /// The sender's wall clock, milliseconds since 1970; 0 where it does not say.
    #[serde(default)]
    pub wall_ms: UnixMillis,
    /// For how long the sender's certificate and its CA's are valid yet; `None` where it does not say.
    #[serde(default)]
    pub certificate_left: Option<Duration>,
}

/// A ProxySQL as the leader sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxySeen {
    /// Its name in the configuration.
    pub name: String,
    /// Why it does not lead clients as it should, with the mend where there is one.
    pub trouble: Option<String>,
    /// How often it was put right since this leader leads.
    pub repairs: u64,
    /// How long it took to be read last.
    #[serde(default)]
    pub read_took: Duration,
}

/// A server as its own node sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OwnServer {
    /// The server's process.
    pub process: Process,
    /// What it last answered.
    pub pulse: Option<Pulse>,
    /// How old that answer is.
    pub pulse_age: Duration,
    /// Why it does not answer, if it does not.
    pub error: Option<NoAnswer>,
    /// The guard's lease and what it did.
    pub guard: GuardSeen,
    /// Seldom changes.
    pub about: Option<About>,
}

/// Why a server does not tell its own node how it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoAnswer {
    /// What happened.
    pub what: String,
    /// What to do about it.
    pub mend: String,
    /// The server was there and said no: this is no sign of its death.
    pub refused: bool,
}

/// The server's process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Process {
    /// It has never been found since the node started.
    Unknown,
    /// It runs.
    Running {
        /// Its pid.
        pid: i32,
    },
    /// It was seen to exit and its port refuses.
    Gone {
        /// The pid it had.
        pid: i32,
    },
    /// Nothing listens, and no process was seen to exit.
    Absent,
}

/// What a server says about itself several times a second.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pulse {
    /// Accepts client writes.
    pub open: bool,
    /// Committed.
    pub executed: GtidSet,
    /// Committed ∪ in the relay log.
    pub received: GtidSet,
    /// Where it replicates from.
    pub channel: Option<Channel>,
    /// Commits wait for ackers.
    pub waits: bool,
    /// Ackers connected.
    pub ackers: u32,
    /// Commits waiting now.
    pub waiting: u32,
    /// It acknowledges what it receives.
    pub acks: bool,
    /// Since its start.
    pub uptime: Duration,
}

/// A replication channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Channel {
    /// `host:port` of the source as configured.
    pub source: String,
    /// How long ago its count of heartbeats or events was last seen to rise; `None` when never.
    pub received_ago: Option<Duration>,
    /// The receiver is connected, by its own word; no evidence that it receives.
    pub io_running: bool,
    /// The applier runs.
    pub sql_running: bool,
    /// Error number and text of the receiver.
    pub io_error: Option<(u32, String)>,
    /// Error number and text of the applier.
    pub sql_error: Option<(u32, String)>,
    /// The server's own estimate.
    pub behind: Option<Duration>,
    /// A delayed replica is no candidate.
    pub delayed: bool,
}

/// The guard of a data node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GuardSeen {
    /// The lease it holds: epoch and time left.
    pub lease: Option<(Epoch, Duration)>,
    /// The newest epoch under which it ever opened its server.
    pub opened: Epoch,
    /// The newest epoch that it refuses to open under.
    pub refused: Epoch,
    /// The keeper lives and may kill the server.
    pub keeper: bool,
    /// Another process runs now than the one that was opened under `opened`: the server was restarted.
    pub restarted: bool,
    /// The newest epoch under which the guard itself closed the server again.
    pub closed: Epoch,
    /// Index of the newest entry of durability when it last made the server wait for its ackers.
    pub waits_since: u64,
    /// Why it cannot take a lease, or its server does not follow the writer, if so.
    pub trouble: Option<String>,
    /// Transactions of the writer that its replica has not received, as the node itself compared the two a second ago or
    /// so. It does where commits do not wait for that replica; `None` elsewhere, and while that is not known.
    pub lacks: Option<u64>,
    /// It is to leave the list of ackers, and acknowledges nothing more.
    #[serde(default)]
    pub left: Option<Left>,
}

/// A replica that is to leave the list of ackers acknowledges nothing more under this epoch: its node stopped the receiver,
/// and then read that it stands still.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Left {
    /// Under which epoch. It says nothing of another one.
    pub epoch: Epoch,
    /// Why it is to leave, as its node has applied it.
    pub cause: LeavesFor,
    /// What the server had received when that was read. Whatever it acknowledged in that run is in it.
    pub received: GtidSet,
}

/// What seldom changes about a server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// MySQL or MariaDB.
    pub dialect: Dialect,
    /// As the server writes it.
    pub version: String,
    /// Major, minor, patch.
    pub number: (u16, u16, u16),
    /// MySQL's `server_uuid`.
    pub server_uuid: Option<String>,
    /// `server_id`.
    pub server_id: u32,
    /// Findings of the lint: level, what, mend.
    pub findings: Vec<LintFinding>,
}

/// One finding of the lint of a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LintFinding {
    /// Whether Baton cannot work safely with it.
    pub error: bool,
    /// What is wrong.
    pub what: String,
    /// The statement or change that mends it.
    pub mend: String,
    /// What mends it where another server does not have it, when `mend` would then break replication.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mend_here: Option<String>,
}

/// A server seen over the network.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// Since it last answered, or since the sender began to probe it.
    pub silent_for: Duration,
    /// It has answered at least once.
    pub ever: bool,
    /// How long its last answer took.
    #[serde(default)]
    pub took: Option<Duration>,
    /// Why it did not answer the last time.
    pub error: Option<ProbeError>,
    /// It accepts client writes, when it last answered.
    pub open: Option<bool>,
    /// What it had executed, when it last answered.
    pub executed: Option<GtidSet>,
    /// How it replicates, when it last answered; `None` where it does not.
    #[serde(default)]
    pub replica: Option<Replica>,
}

/// How a server replicates, as far as reading from it goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replica {
    /// `host:port` of its source as configured there.
    pub source: String,
    /// For how long its receiver or its applier has been seen to stand still; `None` while both run.
    pub stopped_for: Option<Duration>,
    /// The server's own estimate of its lag.
    pub behind: Option<Duration>,
}

/// Why a probe failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProbeError {
    /// Nothing listens on the port.
    Refused,
    /// No answer in time.
    Silent,
    /// It has no connection left.
    TooManyConnections,
    /// It rejects Baton's account.
    Denied,
    /// Something else, but it answered.
    Other,
}

impl ProbeError {
    /// Whether the server was there to say no.
    pub fn answered(self) -> bool {
        matches!(self, Self::TooManyConnections | Self::Denied | Self::Other)
    }
}

impl Observations {
    /// Takes a report in, `age` after it arrived.
    pub fn insert(&mut self, from: NodeName, report: Report, age: Duration) {
        self.reports.insert(from, Heard { age, report });
    }

    /// Takes in what a server said in the report before its latest one, `age` ago.
    pub fn insert_before(&mut self, from: NodeName, pulse: Pulse, age: Duration) {
        self.before.insert(from, (pulse, age));
    }

    /// The latest report of a node.
    pub fn of(&self, node: &NodeName) -> Option<&Heard> {
        self.reports.get(node)
    }

    /// When a server began to run, by its own host's clock; `None` when its node says no time.
    pub fn began(&self, node: &NodeName) -> Option<UnixMillis> {
        let report = &self.of(node)?.report;
        let own = report.own.as_ref()?;
        let uptime = own.pulse.as_ref()?.uptime;
        (report.wall_ms != 0).then(|| began(report.wall_ms, own.pulse_age, uptime))
    }

    /// All reports.
    pub fn iter(&self) -> impl Iterator<Item = (&NodeName, &Heard)> {
        self.reports.iter()
    }

    /// A server as its own node sees it.
    pub fn own(&self, node: &NodeName) -> Option<&OwnServer> {
        self.of(node)?.report.own.as_ref()
    }

    /// What a server said of itself and how long ago, as its own node passed it on.
    pub fn pulse(&self, node: &NodeName) -> Option<(&Pulse, Duration)> {
        let heard = self.of(node)?;
        let own = heard.report.own.as_ref()?;
        Some((own.pulse.as_ref()?, heard.age + own.pulse_age))
    }

    /// What a server said of itself `age` ago or earlier: its latest word, or the one before that. Reports of two nodes may
    /// for ever come in the same order, so that the latest of the one is always younger than the latest of the other.
    pub fn pulse_by(&self, node: &NodeName, age: Duration) -> Option<(&Pulse, Duration)> {
        self.words(node).find(|(_, since)| *since >= age)
    }

    /// What a server said of itself, and how long ago: its latest word, and the one before.
    pub fn words(&self, node: &NodeName) -> impl Iterator<Item = (&Pulse, Duration)> {
        let before = self.before.get(node).map(|(pulse, age)| (pulse, *age));
        self.pulse(node).into_iter().chain(before)
    }

    /// What a node that was heard lately tried on its own server.
    pub fn tried(&self, node: &NodeName) -> Option<&Tried> {
        self.of(node).filter(|heard| heard.age <= FRESH)?.report.tried.as_ref()
    }

    /// For how long the server of `of` has not answered `by`; `None` when `by` itself is not heard.
    pub fn silence(&self, by: &NodeName, of: &NodeName) -> Option<Duration> {
        let heard = self.of(by)?;
        Some(heard.age + heard.report.probes.get(of)?.silent_for)
    }

    /// The newest set seen of a server, by whomever.
    pub fn last_seen_set(&self, of: &NodeName) -> Option<GtidSet> {
        let own = self.own(of).and_then(|o| o.pulse.as_ref()).map(|p| p.executed.clone());
        let probes = self.reports.values().filter_map(|h| h.report.probes.get(of)?.executed.clone());
        own.into_iter().chain(probes).reduce(|a, b| a.union(&b).unwrap_or(a))
    }
}

impl OwnServer {
    /// The process was seen to exit and its port refuses.
    pub fn is_gone(&self) -> bool {
        matches!(self.process, Process::Gone { .. })
    }
}

impl Channel {
    /// Whether it received a heartbeat or an event within `limit`.
    pub fn is_receiving(&self, age: Duration, limit: Duration) -> bool {
        self.received_ago.is_some_and(|ago| ago + age <= limit)
    }
}
