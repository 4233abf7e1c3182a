//! Which events a new writer has to enable. Pure.

use std::collections::BTreeSet;

use crate::state::{ClusterState, EventName, Events, NodeName};

/// More are not carried over: they would swell the replicated state.
pub const CARRIED_MAX: usize = 500;

/// An event as its server has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its name.
    pub name: EventName,
    /// Whether it runs.
    pub enabled: bool,
    /// It does not run because it was made on another server, from which it came by replication.
    pub from_elsewhere: bool,
}

/// What is to be done about the writer's events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventsDue {
    /// These ran at the writer before.
    Enable(BTreeSet<EventName>),
    /// The group does not know yet which run here.
    Record(Events),
}

/// What is due at `me`, whose server has `seen`; nothing while it is not the open writer. `given_up` could not be enabled.
pub fn due(
    state: &ClusterState,
    me: &NodeName,
    seen: &[Event],
    given_up: &BTreeSet<EventName>,
) -> Option<EventsDue> {
    let grant = state.live_grant().filter(|grant| grant.node == *me && grant.opened_ms.is_some())?;
    let known = &state.events;
    if known.epoch < grant.epoch {
        let lost =
            |e: &&Event| e.from_elsewhere && known.enabled.contains(&e.name) && !given_up.contains(&e.name);
        let lost: BTreeSet<EventName> = seen.iter().filter(lost).map(|e| e.name.clone()).collect();
        if !lost.is_empty() {
            return Some(EventsDue::Enable(lost));
        }
    }
    let enabled: BTreeSet<EventName> =
        seen.iter().filter(|e| e.enabled).map(|e| e.name.clone()).take(CARRIED_MAX).collect();
    // A cluster without events needs no entry in the log for each epoch.
    let nothing = enabled.is_empty() && known.enabled.is_empty();
    let is_known = known.epoch == grant.epoch && known.enabled == enabled;
    (!nothing && !is_known).then_some(EventsDue::Record(Events { epoch: grant.epoch, enabled }))
}
