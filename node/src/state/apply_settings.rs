//! Settings that safety depends on. What a change leaves behind is in `docs/safety.md`, under the lease.

use std::collections::BTreeMap;

use super::{ClusterState, NodeName, Phase, Placement, Refusal, Safety};

/// The settings of a file, and where its nodes stand.
pub(super) fn configure(
    state: &mut ClusterState,
    index: u64,
    seen: u64,
    safety: &Safety,
    placements: &BTreeMap<NodeName, Placement>,
) -> Result<(), Refusal> {
    if state.safety_index != seen {
        return Err(Refusal::SettingsChanged);
    }
    // A failover asks so many of the ackers that one of them has every write, counted by how many each commit waited for.
    if state.phase == Phase::Managed && state.safety.wait_count != safety.wait_count {
        return Err(Refusal::WaitCountInUse);
    }
    if let Some(unknown) = placements.keys().find(|node| !state.members.contains_key(*node)) {
        return Err(Refusal::NoSuchNode(unknown.clone()));
    }
    // What was granted under a longer lease stays granted, so the longest one is remembered.
    state.longest_lease_ms = state.longest_lease_ms.max(state.safety.lease_ttl_ms).max(safety.lease_ttl_ms);
    state.safety = Safety { live: state.safety.live, ..safety.clone() };
    state.safety_index = index;
    for (node, placement) in placements {
        if let Some(member) = state.members.get_mut(node) {
            member.zone.clone_from(&placement.zone);
            member.priority = placement.priority;
        }
    }
    Ok(())
}
