//! A group that is started anew by hand, by the one member that is left.

use super::apply::begin_failover;
use super::{Begin, ClusterState, Epoch, Phase, Recover, Recovered, Refusal, UnixMillis};

/// The name of a recovery in the history: what made it necessary.
const DIAGNOSIS: &str = "QuorumLost";
/// Epochs of a recovered group begin after the next multiple of this, and of a later generation after a later one: members
/// that were dropped may have granted some that the one that is left has never heard of, and one epoch names one node.
const EPOCHS_APART: u64 = 1000;

/// The kept node is the only member. A managed cluster has lost its writer in any case: it is no longer known under which
/// lease it runs, also where it is the kept node's own.
pub(super) fn recover(state: &mut ClusterState, at: UnixMillis, recover: &Recover) -> Result<(), Refusal> {
    if recover.generation <= state.generation {
        return Err(Refusal::OldGeneration { have: state.generation, given: recover.generation });
    }
    if !state.members.contains_key(&recover.keep) {
        return Err(Refusal::NoSuchNode(recover.keep.clone()));
    }
    if state.phase == Phase::Managed {
        begin_failover(state, at, &begin(state, recover))?;
        if let Some(operation) = &mut state.operation {
            operation.recovered = Some(Recovered { accepts_loss: recover.accepts_loss });
        }
    }
    let gone = std::mem::take(&mut state.members);
    let (kept, dropped) = gone.into_iter().partition(|(name, _)| *name == recover.keep);
    state.members = kept;
    state.left_behind.extend(dropped);
    state.appointment = None;
    state.maintenance.retain(|node, _| *node == recover.keep);
    state.out.retain(|node, _| *node == recover.keep);
    // The list of ackers stays until the next grant: it says who else may hold what was acknowledged.
    state.generation = recover.generation;
    let newest = state.epoch().max(state.revoked_through).max(state.epochs_after).0;
    let apart = (newest / EPOCHS_APART + 1).max(recover.generation.saturating_sub(1));
    state.epochs_after = Epoch(apart.saturating_mul(EPOCHS_APART));
    let word = format!("{}: {}", recover.word.by, recover.word.reason);
    state.note(at, &format!("recovered as generation {}, {} alone", recover.generation, recover.keep), word);
    Ok(())
}

fn begin(state: &ClusterState, recover: &Recover) -> Begin {
    Begin {
        operation: recover.operation.clone(),
        epoch: state.epoch(),
        diagnosis: DIAGNOSIS.into(),
        evidence: recover.evidence.clone(),
        forced: Some(recover.word.clone()),
        wanted: None,
        last_seen: None,
    }
}
