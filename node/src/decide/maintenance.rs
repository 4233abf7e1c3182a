//! Whether a server may go into maintenance now without a write waiting for it. Pure.

use super::candidates::contains;
use super::diagnose::FRESH;
use super::seen::{Observations, Pulse};
use crate::gtid::GtidSet;
use crate::state::{ClusterState, NodeName};

/// Nothing that is counted on is taken away: it is no acker, or the cluster is not lossless, or others acknowledge, or no
/// other is there at all, so that it is given up on purpose. Otherwise another has been listed and does not acknowledge yet,
/// which passes by itself. One acknowledges that has received `upto`, what the writer had when this was asked first: a replica
/// acknowledges in order, and a write would wait for all that it lacks from before.
pub fn may_begin(state: &ClusterState, seen: &Observations, node: &NodeName, upto: Option<&GtidSet>) -> bool {
    let wanted = state.safety.wait_count as usize;
    let others: Vec<&NodeName> =
        state.ackers.iter().filter(|a| *a != node && !state.in_maintenance(a)).collect();
    if !state.durability.is_lossless() || !state.ackers.contains(node) || others.len() < wanted {
        return true;
    }
    let acks = |node: &&&NodeName| {
        let pulse = seen.pulse(node).filter(|(_, age)| *age <= FRESH);
        pulse.is_some_and(|(pulse, _)| {
            let receives = pulse.channel.as_ref().is_some_and(|c| c.io_running);
            pulse.acks && receives && upto.is_some_and(|upto| contains(&pulse.received, upto))
        })
    };
    // A replica may say so before its source takes its word.
    let writer = writer(state, seen);
    others.iter().filter(acks).count() >= wanted && writer.is_some_and(|w| w.ackers as usize > wanted)
}

/// What the writer has committed, if it was heard lately.
pub fn written(state: &ClusterState, seen: &Observations) -> Option<GtidSet> {
    writer(state, seen).map(|pulse| pulse.executed.clone())
}

fn writer<'a>(state: &ClusterState, seen: &'a Observations) -> Option<&'a Pulse> {
    let grant = state.live_grant()?;
    seen.pulse(&grant.node).filter(|(_, age)| *age <= FRESH).map(|(pulse, _)| pulse)
}
