//! What the replicated state wants of this node's server. Pure.

use crate::state::{ClusterState, Epoch, NodeName, Phase};

/// What the replicated state wants of this node's server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Duty {
    /// Touch nothing.
    Observe,
    /// Keep it closed.
    Closed,
    /// Be the writer under this epoch.
    Write(Epoch),
    /// The writer that was adopted open, not yet under a lease.
    TakeOver(Epoch),
}

/// `refused` is the newest epoch this guard has promised never to open under.
pub(super) fn duty(state: &ClusterState, me: &NodeName, refused: Epoch) -> Duty {
    if state.phase == Phase::Observing {
        return Duty::Observe;
    }
    match state.live_grant() {
        Some(grant) if grant.node == *me && grant.epoch > refused => {
            if grant.unleased {
                Duty::TakeOver(grant.epoch)
            } else {
                Duty::Write(grant.epoch)
            }
        }
        _ => Duty::Closed,
    }
}
