//! The proof `starved`: too few ackers are left which would ever receive from an epoch again. Pure.

use std::collections::BTreeSet;

use crate::state::{ClusterState, Epoch, NodeName};

/// Those listed ackers of the revoked `epoch` whose promise proves that its writer can acknowledge nothing more; `None`
/// while too many are left. `stopped` are the nodes whose receivers have stopped and that have promised on disk never to
/// receive from that epoch again; one that cannot be asked is not among them, and counts as left.
///
/// Only while lossless: a writer that does not wait acknowledges without anybody. Neither that nor the list changes once
/// the epoch is revoked.
pub fn starved(state: &ClusterState, epoch: Epoch, stopped: &BTreeSet<NodeName>) -> Option<Vec<NodeName>> {
    if state.epoch() != epoch || !state.is_revoked(epoch) || !state.durability.is_lossless() {
        return None;
    }
    let (promised, left): (Vec<_>, Vec<_>) = state.ackers.iter().partition(|a| stopped.contains(*a));
    (left.len() < state.safety.wait_count as usize).then(|| promised.into_iter().cloned().collect())
}
