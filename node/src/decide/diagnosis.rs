//! The names of what can be wrong, one paragraph each, in the words of `docs/safety.md`.

use std::fmt;
use std::time::Duration;

use super::tried::Disk;
use crate::state::NodeName;

/// What the cluster's condition is now.
#[derive(Clone, Debug, PartialEq)]
pub struct Diagnosis {
    /// The writer, first of all.
    pub writer: Writer,
    /// Everything else that is wrong, worst first.
    pub troubles: Vec<Trouble>,
}

/// The writer's condition.
#[derive(Clone, Debug, PartialEq)]
pub enum Writer {
    /// Nobody holds the grant: the cluster is observed only.
    None,
    /// Granted and open, and nothing speaks against it.
    Serving,
    /// Granted and not open yet.
    Opening,
    /// Something speaks against it, and something holds a failover back.
    Suspected(WriterLost, Vec<String>),
    /// It is lost: a failover is due.
    Lost(WriterLost),
    /// Its epoch is being revoked: an operation is under way.
    Ending,
}

/// Why the writer counts as lost, and who says so.
#[derive(Clone, Debug, PartialEq)]
pub struct WriterLost {
    /// The kind.
    pub kind: LostKind,
    /// What was seen, by whom, in words.
    pub evidence: Vec<String>,
}

/// The ways to lose a writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LostKind {
    /// The node beside the server saw its process exit, and the port refuses. Its word is enough.
    WriterCrashed,
    /// The server runs again in another process than the one that was opened: closed, as it boots.
    WriterRestarted,
    /// A majority of the voters has no answer from it, and no replica receives from it.
    WriterUnreachable,
    /// It runs, but neither a new connection nor a write comes through.
    WriterHung,
    /// It takes connections and cannot commit: disk full or stalled, file system read-only.
    WriterCannotWrite,
    /// Its own guard closed it because the lease ran out or could not be had.
    WriterSelfClosed,
    /// Somebody set `read_only`, and the time for which that is left alone has passed.
    WriterClosedByHand,
    /// It was granted the write role and has not opened within the bound.
    WriterNeverOpened,
}

impl fmt::Display for LostKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What else is wrong.
#[derive(Clone, Debug, PartialEq)]
pub enum Trouble {
    /// Voters have no answer from the writer, but a replica still receives from it: no failover.
    WriterUnreachableButReplicating {
        /// The replicas that receive.
        replicas: Vec<NodeName>,
    },
    /// Too few voters answer: nothing can be decided.
    QuorumLost {
        /// How many answer.
        answer: usize,
        /// Of how many.
        of: usize,
    },
    /// The writer takes connections and cannot commit; a failover follows if it stays so.
    WriterCannotWrite(NodeName, String),
    /// Clients find no connection left at the writer. Baton keeps its own.
    WriterOutOfConnections(NodeName),
    /// Little is left on the disk of a server.
    DiskNearlyFull(NodeName, Disk),
    /// A node's wall clock differs from the leader's: histories mislead. No lease depends on it.
    ClockSkew(NodeName, i64),
    /// The certificate of a node, or its CA's, ends soon; after that nobody accepts the node any more.
    CertificateExpires(NodeName, Duration),
    /// Two servers accept client writes at once.
    TwoWritersSeen(Vec<NodeName>),
    /// A server other than the writer's accepts client writes; its guard closes it.
    ReplicaOpen(NodeName),
    /// The group was recovered without this node, and its server accepts client writes all the same. The leader closes it.
    LeftBehindOpen(NodeName),
    /// No server accepts client writes.
    NoWriter,
    /// A node of Baton does not answer; its server does.
    NodeDownServerUp(NodeName),
    /// A node does not answer, and neither does its server, if it has one.
    NodeDown(NodeName),
    /// A replica's server is not running or does not answer.
    ReplicaDown(NodeName),
    /// A server is there and its node may not use it, or it does not answer before adoption.
    ServerUnusable(NodeName, String),
    /// A replica's receiver or applier has stopped.
    ReplicaStopped(NodeName, String),
    /// A replica is behind.
    ReplicaLagging(NodeName, Duration),
    /// A replica replicates from another server than the writer.
    ReplicaOfWrongSource(NodeName, String),
    /// A source rejects the replication account: a replica's own word, or what its node tried.
    ReplicationUserRejected(NodeName, String),
    /// A replica has transactions that the writer lacks.
    ErrantTransactions(NodeName, String),
    /// A server is out: quarantine or maintenance.
    ServerOut(NodeName, String),
    /// A guard cannot do its work.
    GuardTrouble(NodeName, String),
    /// Commits wait and no acker is connected.
    SemiSyncBlocked(u32),
    /// Not every acknowledged write is at an acker too.
    NotLossless(String),
    /// Somebody closed the writer by hand; left alone for the time that is configured.
    WriterClosedByHand(NodeName),
    /// A node's configuration file differs from the replicated settings.
    ConfigDiverged(NodeName, Vec<String>),
    /// The lint found something unsafe.
    UnsafeSettings(NodeName, String),
    /// A ProxySQL leads clients elsewhere than it should, or cannot be asked.
    RoutingDiverged(String, String),
    /// The archive of the binlog does not get on, for this reason.
    ArchiveStalled(String),
    /// Transactions are missing in the middle of the archive: nothing can be restored across them.
    ArchiveHole(String),
    /// A schedule's backup failed as often as it is tried, for this reason.
    BackupFailed(String, String),
    /// A schedule's backup is due and no server can be read.
    BackupWaits(String, String),
    /// Backups are scheduled and there is no new one.
    BackupStale {
        /// How old the newest is; `None` where there is none.
        newest: Option<Duration>,
        /// After how long it is told.
        after: Duration,
    },
}

impl Trouble {
    /// Its name, as the documentation calls it.
    pub fn name(&self) -> String {
        let debug = format!("{self:?}");
        debug.chars().take_while(char::is_ascii_alphanumeric).collect()
    }

    /// Whose it is; `None` for one of the cluster, or of several nodes.
    pub fn node(&self) -> Option<&NodeName> {
        match self {
            Self::ReplicaOpen(n)
            | Self::LeftBehindOpen(n)
            | Self::NodeDownServerUp(n)
            | Self::NodeDown(n)
            | Self::ReplicaDown(n)
            | Self::ServerUnusable(n, _)
            | Self::ReplicaStopped(n, _)
            | Self::ReplicaLagging(n, _)
            | Self::ReplicaOfWrongSource(n, _)
            | Self::ReplicationUserRejected(n, _)
            | Self::ErrantTransactions(n, _)
            | Self::ServerOut(n, _)
            | Self::GuardTrouble(n, _)
            | Self::WriterClosedByHand(n)
            | Self::WriterCannotWrite(n, _)
            | Self::WriterOutOfConnections(n)
            | Self::DiskNearlyFull(n, _)
            | Self::ClockSkew(n, _)
            | Self::CertificateExpires(n, _)
            | Self::ConfigDiverged(n, _)
            | Self::UnsafeSettings(n, _) => Some(n),
            Self::WriterUnreachableButReplicating { .. }
            | Self::TwoWritersSeen(_)
            | Self::NoWriter
            | Self::QuorumLost { .. }
            | Self::SemiSyncBlocked(_)
            | Self::RoutingDiverged(..)
            | Self::ArchiveStalled(_)
            | Self::ArchiveHole(_)
            | Self::BackupFailed(..)
            | Self::BackupWaits(..)
            | Self::BackupStale { .. }
            | Self::NotLossless(_) => None,
        }
    }

    /// The name of the node, of the ProxySQL or of the schedule whose it is.
    pub fn whose(&self) -> Option<&str> {
        match self {
            Self::RoutingDiverged(name, _) | Self::BackupFailed(name, _) | Self::BackupWaits(name, _) => {
                Some(name)
            }
            other => other.node().map(NodeName::as_str),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WriterUnreachableButReplicating { replicas } => {
                write!(
                    f,
                    "the writer does not answer, but {} still receive from it: no failover",
                    list(replicas)
                )
            }
            Self::QuorumLost { answer, of } => {
                write!(f, "{answer} of {of} voters answer; nothing is promoted until a majority is back")
            }
            Self::WriterCannotWrite(node, why) => {
                write!(f, "{node} takes connections and cannot write: {why}")
            }
            Self::WriterOutOfConnections(node) => write!(f, "{node} has no connection left for clients"),
            Self::DiskNearlyFull(node, disk) => {
                write!(f, "{node}: {} MiB of {} MiB are free on its disk", disk.free >> 20, disk.size >> 20)
            }
            Self::ClockSkew(node, ahead) => {
                let side = if *ahead > 0 { "ahead of" } else { "behind" };
                write!(f, "{node}'s clock is {} ms {side} the leader's", ahead.abs())
            }
            Self::CertificateExpires(node, left) => {
                let days = left.as_secs() / 86_400;
                let plural = if days == 1 { "" } else { "s" };
                write!(
                    f,
                    "{node}'s certificate, or its CA's, expires in {days} day{plural}; see `batonctl certs show`"
                )
            }
            Self::TwoWritersSeen(nodes) => write!(f, "more than one server is open: {}", list(nodes)),
            Self::ReplicaOpen(node) => write!(f, "{node} is open and not the writer; its guard closes it"),
            Self::LeftBehindOpen(node) => write!(
                f,
                "{node}, which the group was recovered without, is open: keep clients away from it; Baton closes it over \
                 SQL"
            ),
            Self::NoWriter => f.write_str("no server accepts writes"),
            Self::NodeDownServerUp(node) => write!(f, "{node}: its server answers, its Baton node does not"),
            Self::NodeDown(node) => write!(f, "{node} does not answer"),
            Self::ServerUnusable(node, why) => write!(f, "{node}: {why}"),
            Self::ReplicaDown(node) => write!(f, "{node}: its server is down"),
            Self::ReplicaStopped(node, why) => write!(f, "{node}: replication stopped, {why}"),
            Self::ReplicaLagging(node, by) => write!(f, "{node} is {} s behind", by.as_secs()),
            Self::ReplicaOfWrongSource(node, source) => {
                write!(f, "{node} replicates from {source}, not the writer")
            }
            Self::ReplicationUserRejected(node, why) => write!(f, "{node}: {why}"),
            Self::ErrantTransactions(node, set) => {
                write!(f, "{node} has transactions the writer lacks: {set}")
            }
            Self::ServerOut(node, why) => write!(f, "{node} is out: {why}"),
            Self::GuardTrouble(node, why) => write!(f, "{node}: {why}"),
            Self::SemiSyncBlocked(waiting) => write!(f, "{waiting} commits wait and no acker is connected"),
            Self::NotLossless(why) => f.write_str(why),
            Self::WriterClosedByHand(node) => write!(f, "{node}: somebody set read_only; left alone for now"),
            Self::ConfigDiverged(node, keys) => {
                write!(f, "{node}: its file differs from the replicated settings: {}", keys.join(", "))
            }
            Self::UnsafeSettings(node, what) => write!(f, "{node}: {what}; see `batonctl check`"),
            Self::RoutingDiverged(proxy, why) => write!(f, "ProxySQL {proxy}: {why}"),
            Self::ArchiveStalled(why) => write!(f, "the archive of the binlog does not get on: {why}"),
            Self::ArchiveHole(gtids) => {
                write!(f, "the archive of the binlog lacks {gtids}: nothing can be restored across that")
            }
            Self::BackupFailed(schedule, why) => {
                write!(f, "the backup of schedule {schedule} failed and waits for its next slot: {why}")
            }
            Self::BackupWaits(schedule, why) => {
                write!(f, "the backup of schedule {schedule} is due and no server can be read: {why}")
            }
            Self::BackupStale { newest: Some(age), .. } => {
                write!(f, "the newest backup is {} h old", age.as_secs() / 3600)
            }
            Self::BackupStale { newest: None, .. } => {
                f.write_str("backups are scheduled, and there is none yet")
            }
        }
    }
}

fn list(nodes: &[NodeName]) -> String {
    nodes.iter().map(NodeName::as_str).collect::<Vec<_>>().join(", ")
}
