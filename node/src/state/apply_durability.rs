//! The commands that change what an acknowledged write can survive: the list of ackers, degraded, lossless, out.

use std::collections::BTreeSet;

use super::apply::{fit, live, member};
use super::{ClusterState, DegradeReason, Durability, Epoch, NodeName, Out, OutReason, Refusal, UnixMillis};
use crate::gtid::GtidSet;

pub(super) fn set_ackers(
    state: &mut ClusterState,
    at: UnixMillis,
    index: u64,
    epoch: Epoch,
    ackers: &BTreeSet<NodeName>,
    why: &str,
) -> Result<(), Refusal> {
    let writer = live(state, epoch)?.node.clone();
    for acker in ackers {
        fit(state, acker)?;
        if *acker == writer {
            return Err(Refusal::HoldsGrant(writer));
        }
    }
    // With fewer than a commit waits for, the answers of all of them would prove nothing.
    if state.durability.is_lossless() && ackers.len() < state.safety.wait_count as usize {
        return Err(Refusal::TooFewAckers);
    }
    let shrinks = !state.ackers.is_subset(ackers);
    state.ackers = ackers.clone();
    if shrinks {
        acker_left(state, index);
    }
    state.note(at, "ackers changed", why.to_owned());
    Ok(())
}

/// An acker may be the only one with an acknowledged write as long as the cluster is lossless: it leaves the list by
/// [`Change::Ackers`] alone, which is proposed once the others have all that it had.
pub(super) fn may_shrink(state: &ClusterState, node: &NodeName) -> Result<(), Refusal> {
    if state.durability.is_lossless() && state.ackers.contains(node) {
        return Err(Refusal::IsAcker(node.clone()));
    }
    Ok(())
}

pub(super) fn remove_acker(state: &mut ClusterState, index: u64, node: &NodeName) {
    if state.ackers.remove(node) {
        acker_left(state, index);
    }
}

/// A `Lossless` whose one acknowledged commit came from a server that has left the list since must not stand.
fn acker_left(state: &mut ClusterState, at_index: u64) {
    if let Durability::Degraded { index, .. } = &mut state.durability {
        *index = at_index;
    }
}

pub(super) fn degrade(
    state: &mut ClusterState,
    at: UnixMillis,
    index: u64,
    epoch: Epoch,
    reason: &DegradeReason,
    upto: Option<&GtidSet>,
) -> Result<(), Refusal> {
    live(state, epoch)?;
    // What was acknowledged while lossless has to stay known, however many epochs later it is asked for.
    if state.durability.is_lossless() && upto.is_none() {
        return Err(Refusal::UptoMissing);
    }
    let upto = match (state.durability.upto(), upto) {
        (Some(before), Some(now)) => Some(before.union(now).unwrap_or_else(|_| now.clone())),
        (before, now) => before.or(now).cloned(),
    };
    state.durability =
        Durability::Degraded { since_ms: at, reason: reason.clone(), upto, may_let_go: true, index };
    state.note(at, "not lossless", reason.to_string());
    Ok(())
}

pub(super) fn lossless(
    state: &mut ClusterState,
    at: UnixMillis,
    epoch: Epoch,
    after: u64,
) -> Result<(), Refusal> {
    live(state, epoch)?;
    let unchanged = match &state.durability {
        Durability::Degraded { index, .. } => *index == after,
        Durability::Unknown => true,
        Durability::Lossless { .. } => return Ok(()),
    };
    if !unchanged || state.ackers.len() < state.safety.wait_count as usize {
        return Err(Refusal::DurabilityChanged);
    }
    state.durability = Durability::Lossless { since_ms: at };
    state.note(at, "lossless", "one commit was acknowledged by the ackers".to_owned());
    Ok(())
}

pub(super) fn take_out(
    state: &mut ClusterState,
    at: UnixMillis,
    index: u64,
    node: &NodeName,
    reason: &OutReason,
) -> Result<(), Refusal> {
    member(state, node)?;
    if state.is_writer(node) {
        return Err(Refusal::HoldsGrant(node.clone()));
    }
    may_shrink(state, node)?;
    remove_acker(state, index, node);
    // More of the same is no new beginning.
    let since_ms = match reason {
        OutReason::Quarantine(_) if state.quarantine(node).is_some() => {
            state.out.get(node).map(|o| o.since_ms)
        }
        _ => None,
    };
    state.out.insert(node.clone(), Out { reason: reason.clone(), since_ms: since_ms.unwrap_or(at) });
    let why = match reason {
        OutReason::Quarantine(quarantine) => {
            format!("it has {} that the writer lacks", quarantine.extra.amount())
        }
        OutReason::Maintenance => "maintenance".to_owned(),
        OutReason::Rebuild => "it is being rebuilt".to_owned(),
    };
    state.note(at, &format!("{node} is out"), why);
    Ok(())
}
