//! Which events run at the writer: a replica marks all of them as not to run there, also those that do not run at the
//! writer, so the next writer learns it from here.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::apply::live;
use super::{ClusterState, Epoch, NodeName, Refusal};

/// An event of a server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EventName {
    /// Its schema.
    pub schema: String,
    /// Its name there.
    pub name: String,
}

/// What the writer's node has found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Events {
    /// Under which epoch: an older one than the present says that its writer has not been seen to yet.
    pub epoch: Epoch,
    /// Those that run.
    pub enabled: BTreeSet<EventName>,
}

/// Only the writer's own node knows.
pub(super) fn found(state: &mut ClusterState, by: &NodeName, events: &Events) -> Result<(), Refusal> {
    let grant = live(state, events.epoch)?;
    if grant.node != *by {
        return Err(Refusal::OtherEpoch { have: grant.epoch, given: events.epoch });
    }
    state.events = events.clone();
    Ok(())
}
