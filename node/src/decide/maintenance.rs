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

/// Why it may not begin yet, in words that name what is waited for.
pub fn waits_for(
    state: &ClusterState,
    seen: &Observations,
    node: &NodeName,
    upto: Option<&GtidSet>,
) -> String {
    let others = state.ackers.iter().filter(|a| *a != node && !state.in_maintenance(a));
    let reasons = others.filter_map(|other| {
        let Some((pulse, _)) = seen.pulse(other).filter(|(_, age)| *age <= FRESH) else {
            return Some(format!("{other} is not heard"));
        };
        if !pulse.acks || !pulse.channel.as_ref().is_some_and(|c| c.io_running) {
            return Some(format!("{other} does not acknowledge"));
        }
        let missing = upto?.subtract(&pulse.received).ok().filter(|missing| !missing.is_empty())?;
        Some(format!("{other} has yet to receive {}", missing.amount()))
    });
    let reasons: Vec<String> = reasons.collect();
    match (reasons.as_slice(), writer(state, seen)) {
        ([], Some(writer)) => format!("the writer counts only {} that acknowledge", writer.ackers),
        ([], None) => "the writer is not heard".to_owned(),
        _ => reasons.join(", "),
    }
}

/// What the writer has committed, if it was heard lately.
pub fn written(state: &ClusterState, seen: &Observations) -> Option<GtidSet> {
    writer(state, seen).map(|pulse| pulse.executed.clone())
}

fn writer<'a>(state: &ClusterState, seen: &'a Observations) -> Option<&'a Pulse> {
    let grant = state.live_grant()?;
    seen.pulse(&grant.node).filter(|(_, age)| *age <= FRESH).map(|(pulse, _)| pulse)
}
