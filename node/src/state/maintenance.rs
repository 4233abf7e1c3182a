//! Servers in maintenance: for a time that ends by itself nobody reads from them, none becomes the writer, and none is
//! counted on for an acknowledgement. Baton leaves such a server alone.

use serde::{Deserialize, Serialize};

use super::apply::member;
use super::apply_durability::take_out;
use super::{ClusterState, Forced, NodeName, OutReason, Phase, Refusal, UnixMillis};

/// The maintenance of one server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maintenance {
    /// When it ends by itself.
    pub until_ms: UnixMillis,
    /// Since when.
    pub since_ms: UnixMillis,
    /// Who and why.
    pub word: Forced,
}

impl ClusterState {
    /// Whether a server is in maintenance: it is not read from, and no candidate. It may still be an acker, until the
    /// others have all that it had.
    pub fn in_maintenance(&self, node: &NodeName) -> bool {
        self.maintenance.contains_key(node)
    }

    /// Whether a server in maintenance may leave the list of ackers while the cluster stays lossless.
    pub fn others_acknowledge(&self, node: &NodeName) -> bool {
        let others = self.ackers.iter().filter(|a| *a != node && !self.in_maintenance(a));
        self.in_maintenance(node) && others.count() >= self.safety.wait_count as usize
    }
}

/// Begins it, or gives it another end. Refused for the writer, and while the writer moves: it may be the next one.
pub(super) fn begin(
    state: &mut ClusterState,
    at: UnixMillis,
    node: &NodeName,
    until_ms: UnixMillis,
    word: &Forced,
) -> Result<(), Refusal> {
    if state.phase == Phase::Observing {
        return Err(Refusal::Observing);
    }
    if member(state, node)?.server.is_none() {
        return Err(Refusal::Witness(node.clone()));
    }
    if let Some(operation) = &state.operation {
        return Err(Refusal::UnderWay(operation.id.clone()));
    }
    if state.grant.as_ref().is_some_and(|grant| grant.node == *node) {
        return Err(Refusal::HoldsGrant(node.clone()));
    }
    if state.rebuild_of(node).is_some() {
        return Err(Refusal::Rebuilding(node.clone()));
    }
    if state.out.contains_key(node) && !state.in_maintenance(node) {
        return Err(Refusal::IsOut(node.clone()));
    }
    let since_ms = state.maintenance.get(node).map_or(at, |m| m.since_ms);
    state.maintenance.insert(node.clone(), Maintenance { until_ms, since_ms, word: word.clone() });
    state.note(at, &format!("{node} goes into maintenance"), format!("{}: {}", word.by, word.reason));
    Ok(())
}

/// It is out: no acker any more. Refused where the maintenance has ended meanwhile, or the cluster is lossless and it is
/// an acker.
pub(super) fn stand_aside(
    state: &mut ClusterState,
    at: UnixMillis,
    index: u64,
    node: &NodeName,
) -> Result<(), Refusal> {
    if !state.in_maintenance(node) {
        return Err(Refusal::NotInMaintenance(node.clone()));
    }
    take_out(state, at, index, node, &OutReason::Maintenance)
}

/// Ends it: at its own time, for which `until_ms` names the end it had, or before.
pub(super) fn end(
    state: &mut ClusterState,
    at: UnixMillis,
    node: &NodeName,
    until_ms: Option<UnixMillis>,
    by: &str,
) -> Result<(), Refusal> {
    let known = state.maintenance.get(node).filter(|m| until_ms.is_none_or(|until| m.until_ms == until));
    if known.is_none() {
        return Err(Refusal::NotInMaintenance(node.clone()));
    }
    forget(state, node);
    state.note(at, &format!("{node}'s maintenance is over"), by.to_owned());
    Ok(())
}

/// Nothing is left of it.
pub(super) fn forget(state: &mut ClusterState, node: &NodeName) {
    state.maintenance.remove(node);
    if state.out.get(node).is_some_and(|out| out.reason == OutReason::Maintenance) {
        state.out.remove(node);
    }
}
