//! Words that several answers share.

use crate::decide::diagnosis::Trouble;
use crate::state::{ClusterState, Durability, NodeName, Operation, OperationKind};

/// Names in one line.
pub(super) fn list<'a>(names: impl IntoIterator<Item = &'a NodeName>) -> String {
    names.into_iter().map(NodeName::as_str).collect::<Vec<_>>().join(", ")
}

/// A trouble with its name, as `status`, `why` and `check` show it.
pub(super) fn named(trouble: &Trouble) -> String {
    format!("{}: {trouble}", trouble.name())
}

/// 0 is the worst. The order of `batonctl status`: what may lose writes, what stops them, what takes redundancy, the rest.
pub(super) fn badness(trouble: &Trouble) -> u8 {
    match trouble {
        Trouble::TwoWritersSeen(_) | Trouble::LeftBehindOpen(_) => 0,
        Trouble::NoWriter | Trouble::WriterClosedByHand(_) | Trouble::QuorumLost { .. } => 1,
        Trouble::WriterUnreachableButReplicating { .. }
        | Trouble::SemiSyncBlocked(_)
        | Trouble::WriterCannotWrite(..)
        | Trouble::WriterOutOfConnections(_) => 2,
        Trouble::ReplicaOpen(_) | Trouble::ErrantTransactions(..) => 3,
        Trouble::NotLossless(_) => 4,
        Trouble::NodeDown(_) | Trouble::ReplicaDown(_) | Trouble::ServerUnusable(..) => 5,
        Trouble::NodeDownServerUp(_) | Trouble::GuardTrouble(..) | Trouble::RoutingDiverged(..) => 6,
        Trouble::ReplicaStopped(..)
        | Trouble::ReplicaOfWrongSource(..)
        | Trouble::ReplicationUserRejected(..)
        | Trouble::ArchiveStalled(_)
        | Trouble::ArchiveHole(_)
        | Trouble::BackupFailed(..)
        | Trouble::BackupWaits(..)
        | Trouble::BackupStale { .. }
        | Trouble::ServerOut(..) => 7,
        Trouble::ReplicaLagging(..)
        | Trouble::UnsafeSettings(..)
        | Trouble::ConfigDiverged(..)
        | Trouble::DiskNearlyFull(..)
        | Trouble::CertificateExpires(..)
        | Trouble::ClockSkew(..) => 8,
    }
}

/// Whether a trouble is this node's.
pub(super) fn concerns(trouble: &Trouble, node: &NodeName) -> bool {
    match trouble {
        Trouble::TwoWritersSeen(nodes) => nodes.contains(node),
        other => other.node() == Some(node),
    }
}

/// Why the cluster is not lossless, where it is Baton's to say.
pub(super) fn why_not_lossless(state: &ClusterState) -> Option<String> {
    match &state.durability {
        Durability::Lossless { .. } => None,
        Durability::Degraded { reason, .. } => Some(reason.to_string()),
        Durability::Unknown => Some("no acker has acknowledged a commit yet".into()),
    }
}

/// The operation under way, in one line: "failover of epoch 7, away from db1: proof: gone". Adoption counts as under way
/// until its first lease.
pub(super) fn under_way(state: &ClusterState) -> Option<String> {
    if let Some(operation) = &state.operation {
        return Some(of_operation(operation));
    }
    let grant = state.grant.as_ref().filter(|g| g.unleased)?;
    Some(format!("adoption of {}: waiting for its first lease", grant.node))
}

fn of_operation(operation: &Operation) -> String {
    let mut text = format!("{} of epoch {}", operation.kind, operation.from);
    let moves = matches!(operation.kind, OperationKind::Failover | OperationKind::Switchover);
    if let Some(from) = operation.from_node.as_ref().filter(|_| moves) {
        text += &format!(", away from {from}");
    }
    if let Some((epoch, node)) = &operation.to {
        text += &format!(", epoch {epoch} is {node}'s");
    }
    match operation.steps.last() {
        Some(step) if step.detail.is_empty() || step.detail == step.name => text + ": " + &step.name,
        Some(step) => text + &format!(": {}: {}", step.name, step.detail),
        None => text + ": " + &operation.diagnosis,
    }
}
