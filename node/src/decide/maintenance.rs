//! Whether a server may go into maintenance now without a write waiting for it. Pure.

use super::diagnose::FRESH;
use super::seen::Observations;
use crate::state::{ClusterState, NodeName};

/// Nothing that is counted on is taken away: it is no acker, or the cluster is not lossless, or others acknowledge, or no
/// other is there at all, so that it is given up on purpose. Otherwise another has been listed and does not acknowledge yet,
/// which passes by itself.
pub fn may_begin(state: &ClusterState, seen: &Observations, node: &NodeName) -> bool {
    let wanted = state.safety.wait_count as usize;
    let others: Vec<&NodeName> =
        state.ackers.iter().filter(|a| *a != node && !state.in_maintenance(a)).collect();
    if !state.durability.is_lossless() || !state.ackers.contains(node) || others.len() < wanted {
        return true;
    }
    let acks = |node: &&&NodeName| {
        let pulse = seen.pulse(node).filter(|(_, age)| *age <= FRESH);
        pulse.is_some_and(|(pulse, _)| pulse.acks && pulse.channel.as_ref().is_some_and(|c| c.io_running))
    };
    // A replica may say so before its source takes its word.
    let writer =
        state.live_grant().and_then(|grant| seen.pulse(&grant.node)).filter(|(_, age)| *age <= FRESH);
    others.iter().filter(acks).count() >= wanted && writer.is_some_and(|(w, _)| w.ackers as usize > wanted)
}
