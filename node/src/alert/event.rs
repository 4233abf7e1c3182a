//! What is worth telling of what is wrong: conditions that are the case now. Operations are told as a `story`. Pure.

use std::time::Duration;

use crate::decide::diagnosis::{Diagnosis, Trouble, Writer};
use crate::decide::holding::holds;
use crate::operate::Followers;
use crate::state::{ClusterState, Durability, NodeName, Phase, Severity, UnixMillis};

/// What is over as soon as it began is not worth a message.
const SOON: Duration = Duration::from_secs(1);
/// Reports of a node that restarts are missing for about this long.
const SETTLED: Duration = Duration::from_secs(5);
/// A replica that lags, or is not back yet after the writer moved, often mends itself.
const PATIENT: Duration = Duration::from_secs(30);

/// An archive that takes longer is told of without.
const ARCHIVED: Duration = Duration::from_secs(60);

/// Something that is wrong now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The same for the same thing at the same server.
    pub key: String,
    /// How bad it is.
    pub severity: Severity,
    /// In words, without numbers that change all the time.
    pub what: String,
    /// How long it must have been so before it is told.
    pub settle: Duration,
}

/// Everything that is wrong now, beside what an operation under way is about.
pub fn conditions(state: &ClusterState, diagnosis: &Diagnosis, now_ms: UnixMillis) -> Vec<Condition> {
    if state.phase != Phase::Managed {
        return Vec::new();
    }
    let mut found: Vec<Condition> = Vec::new();
    if let Writer::Lost(lost) = &diagnosis.writer {
        let writer = state.grant.as_ref().map(|g| g.node.to_string()).unwrap_or_default();
        let why = holds(state, now_ms).first().map_or_else(String::new, |hold| format!(": {hold}"));
        found.push(Condition {
            key: "WriterLost".into(),
            severity: Severity::Critical,
            what: format!("no writer: {writer} is lost ({}) and no failover runs{why}", lost.kind),
            settle: SOON,
        });
    }
    found.extend(diagnosis.troubles.iter().filter(|t| is_news(state, t)).map(|t| condition(state, t)));
    found
}

/// What is wrong with servers without a node, while the cluster is under care.
pub fn of_followers(state: &ClusterState, followers: &Followers) -> Vec<Condition> {
    let troubled = followers.values().filter_map(|f| Some((&f.declared.name, f.trouble.as_ref()?)));
    let all = troubled.map(|(name, trouble)| Condition {
        key: format!("FollowerTrouble:{name}"),
        severity: Severity::Warning,
        what: format!("{name}: {trouble}"),
        settle: PATIENT,
    });
    if state.phase == Phase::Managed { all.collect() } else { Vec::new() }
}

/// What an operation or a rebuild tells itself is not told again.
fn is_news(state: &ClusterState, trouble: &Trouble) -> bool {
    let rebuilt = |node: &NodeName| state.rebuild_of(node).is_some();
    match trouble {
        Trouble::ReplicaDown(n) | Trouble::ServerOut(n, _) | Trouble::ReplicaStopped(n, _) => !rebuilt(n),
        Trouble::NoWriter => state.live_grant().is_some_and(|g| g.opened_ms.is_some()),
        _ => true,
    }
}

fn condition(state: &ClusterState, trouble: &Trouble) -> Condition {
    let name = trouble.name();
    let key = trouble.whose().map_or_else(|| name.clone(), |whose| format!("{name}:{whose}"));
    let (severity, settle) = weight(state, trouble);
    // Whoever works on a server knows.
    let expected = severity == Severity::Warning && trouble.node().is_some_and(|n| state.in_maintenance(n));
    let severity = if expected { Severity::Info } else { severity };
    Condition { key, severity, what: words(state, trouble), settle }
}

fn words(state: &ClusterState, trouble: &Trouble) -> String {
    match trouble {
        Trouble::ReplicaLagging(node, _) => format!("{node} lags behind the writer"),
        Trouble::NotLossless(why) => {
            let writer = state.grant.as_ref().map(|g| g.node.to_string()).unwrap_or_default();
            format!("NOT LOSSLESS: a write may be on {writer} alone ({why})")
        }
        Trouble::SemiSyncBlocked(_) => "commits wait and no acker is connected".into(),
        Trouble::ServerOut(node, why) => {
            let extra = state.quarantine(node).map(|q| format!("{} only it has; ", q.extra.amount()));
            format!("{node} is out: {}{why}", extra.unwrap_or_default())
        }
        Trouble::ErrantTransactions(node, _) => format!("{node} has transactions that the writer lacks"),
        Trouble::ClockSkew(node, ahead) => {
            let side = if *ahead > 0 { "ahead of" } else { "behind" };
            format!("{node}'s clock is {side} the leader's by more than a second")
        }
        Trouble::DiskNearlyFull(node, disk) => {
            format!("{node}: its disk is nearly full, {} MiB are free", disk.free >> 20)
        }
        Trouble::BackupStale { after, .. } => {
            format!("there is no backup of the last {}", crate::config::show_duration(*after))
        }
        Trouble::ArchiveStalled(_) => {
            "the archive of the binlog does not get on; `batonctl check` says why".into()
        }
        other => other.to_string(),
    }
}

fn weight(state: &ClusterState, trouble: &Trouble) -> (Severity, Duration) {
    use Severity::{Critical, Warning};
    match trouble {
        Trouble::TwoWritersSeen(_) | Trouble::LeftBehindOpen(_) | Trouble::ReplicaOpen(_) => (Critical, SOON),
        // Somebody's hand is no report that comes late.
        Trouble::WriterClosedByHand(_) => (Critical, SOON),
        Trouble::WriterUnreachableButReplicating { .. }
        | Trouble::WriterCannotWrite(..)
        | Trouble::NoWriter
        | Trouble::QuorumLost { .. }
        | Trouble::SemiSyncBlocked(_)
        | Trouble::WriterOutOfConnections(_) => (Critical, SETTLED),
        // The story of the operation says it, until an acker ought to be back.
        Trouble::NotLossless(_) if newly_granted(state) => (Warning, PATIENT),
        Trouble::NotLossless(_) => (Warning, SOON),
        // Once its transactions are archived there is something to decide.
        Trouble::ServerOut(n, _) if state.quarantine(n).is_some_and(|q| q.archive.is_none()) => {
            (Warning, ARCHIVED)
        }
        Trouble::ReplicaLagging(..) => (Warning, PATIENT),
        _ => (Warning, SETTLED),
    }
}

fn newly_granted(state: &ClusterState) -> bool {
    use crate::state::DegradeReason::NewEpoch;
    matches!(&state.durability, Durability::Degraded { reason: NewEpoch, .. })
}
