//! The next epoch of a switchover, from what the closed writer has. Pure.

use std::collections::BTreeSet;

use super::super::diagnose::FRESH;
use super::super::seen::Observations;
use crate::gtid::GtidSet;
use crate::state::{
    ClusterState, DegradeReason, Durability, Loss, NextGrant, NodeName, Operation, Proof, WithoutAckers,
};

/// The grant for `to`: the target, which has applied everything that the closed writer has, or that writer itself.
///
/// The ackers go on to be those that are there, and with a new writer the old one joins them: the two have the same. Such
/// an epoch begins degraded by name and with commits that wait; that they are acknowledged is yet to be seen.
pub fn next_grant(
    state: &ClusterState,
    seen: &Observations,
    operation: &Operation,
    to: &NodeName,
    set: &GtidSet,
    proof: Proof,
) -> NextGrant {
    let mut ackers: BTreeSet<NodeName> =
        state.ackers.iter().filter(|node| *node != to && can_ack(seen, node)).cloned().collect();
    let old = operation.from_node.as_ref().filter(|old| *old != to && is_sound(seen, old));
    ackers.extend(old.cloned());
    let enough = ackers.len() >= state.safety.wait_count as usize;
    NextGrant {
        operation: operation.id.clone(),
        from: operation.from,
        node: to.clone(),
        proof,
        loss: Loss::None { proven_by: operation.from_node.iter().cloned().collect() },
        durability: Durability::Degraded {
            since_ms: 0,
            reason: if enough { DegradeReason::NewEpoch } else { DegradeReason::NoAcker },
            upto: Some(set.clone()),
            may_let_go: !enough && state.safety.without_ackers == WithoutAckers::Degrade,
            index: 0,
        },
        ackers,
    }
}

/// A listed acker that is there and acknowledges.
pub(super) fn can_ack(seen: &Observations, node: &NodeName) -> bool {
    let pulse = seen.pulse(node).filter(|(_, age)| *age <= FRESH);
    let runs = seen.own(node).is_some_and(|own| !own.is_gone());
    runs && pulse.is_some_and(|(pulse, _)| pulse.acks && pulse.channel.as_ref().is_some_and(|c| c.io_running))
}

/// Nothing is wrong with its settings, so that it may be an acker.
pub(super) fn is_sound(seen: &Observations, node: &NodeName) -> bool {
    let about = seen.own(node).and_then(|own| own.about.as_ref());
    about.is_some_and(|about| !about.findings.iter().any(|finding| finding.error))
}
