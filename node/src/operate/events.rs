//! Events follow the writer: the node beside it records which of them run, and enables them when its server has become the
//! writer. Behind everything else: neither an opening nor a write waits for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{info, warn};

use super::Proposer;
use crate::decide::events::{Event, EventsDue, due};
use crate::sql::{EventSeen, ManagedServer, Permit};
use crate::state::{Change, ClusterState, Epoch, EventName, NodeName};

/// What changes within this before a crash is not carried over.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// An event that cannot be enabled as often as this stays as it is.
const TRIES: u32 = 5;

/// Follows the writer with the events of the server beside this node.
pub struct FollowEvents {
    me: NodeName,
    server: Arc<dyn ManagedServer>,
    states: watch::Receiver<Arc<ClusterState>>,
    proposer: Proposer,
    /// How often each could not be enabled, and why at last, in this epoch.
    failed: BTreeMap<EventName, (u32, String)>,
    failed_in: Epoch,
}

impl FollowEvents {
    /// Nothing has been done yet.
    pub fn new(
        me: NodeName,
        server: Arc<dyn ManagedServer>,
        states: watch::Receiver<Arc<ClusterState>>,
        proposer: Proposer,
    ) -> Self {
        Self { me, server, states, proposer, failed: BTreeMap::new(), failed_in: Epoch::default() }
    }

    /// Runs until the group's handle ends.
    pub async fn run(mut self) {
        let mut said: Option<String> = None;
        loop {
            let state = self.states.borrow_and_update().clone();
            let opened = opened(&state, &self.me);
            let why = match opened {
                Some(epoch) => self.turn(&state, epoch).await.err(),
                None => None,
            };
            if let Some(why) = why.as_ref().filter(|why| Some(*why) != said.as_ref()) {
                warn!(why, "events do not follow the writer");
            }
            said = why;
            // An opening, or the end of a time as the writer; whatever else the group agrees on is no news here.
            let (me, mut states) = (self.me.clone(), self.states.clone());
            let news = states.wait_for(|state| self::opened(state, &me) != opened);
            if timeout(LOOK_AGAIN, news).await.is_ok_and(|news| news.is_err()) {
                return;
            }
        }
    }

    async fn turn(&mut self, state: &ClusterState, epoch: Epoch) -> Result<(), String> {
        if self.failed_in != epoch {
            (self.failed, self.failed_in) = (BTreeMap::new(), epoch);
        }
        let found = self.server.events().await.map_err(|error| error.to_string())?;
        let given_up: BTreeSet<EventName> = self
            .failed
            .iter()
            .filter(|(_, (tries, _))| *tries >= TRIES)
            .map(|(name, _)| name.clone())
            .collect();
        let seen: Vec<Event> = found.iter().map(event).collect();
        match due(state, &self.me, &seen, &given_up) {
            None => Ok(()),
            Some(EventsDue::Record(events)) => self.proposer.must(Change::Events(events)).await,
            Some(EventsDue::Enable(names)) => {
                let due: Vec<&EventSeen> = found.iter().filter(|e| names.contains(&name(e))).collect();
                self.enable(epoch, &due).await
            }
        }
    }

    /// One that fails holds up no other.
    async fn enable(&mut self, epoch: Epoch, events: &[&EventSeen]) -> Result<(), String> {
        let (me, states) = (self.me.clone(), self.states.clone());
        let permit = Permit::new(move || opened(&states.borrow(), &me) == Some(epoch));
        for event in events {
            match self.server.enable_event(event, &permit).await {
                Ok(()) => {
                    info!(schema = event.schema, event = event.name, "enabled: it ran at the last writer")
                }
                Err(error) => {
                    let tries = self.failed.get(&name(event)).map_or(0, |(tries, _)| *tries) + 1;
                    self.failed.insert(name(event), (tries, error.to_string()));
                    if tries == TRIES {
                        self.give_up(event, &error.to_string()).await?;
                    }
                }
            }
        }
        match self.failed.iter().next() {
            Some((name, (_, why))) => Err(format!("{}.{}: {why}", name.schema, name.name)),
            None => Ok(()),
        }
    }

    async fn give_up(&self, event: &EventSeen, why: &str) -> Result<(), String> {
        let what = format!("event {}.{} stays disabled", event.schema, event.name);
        let why = format!("it ran at the last writer, and could not be enabled here: {why}");
        self.proposer.must(Change::Decided { what, why }).await
    }
}

/// The epoch under which this node's server is the open writer.
fn opened(state: &ClusterState, me: &NodeName) -> Option<Epoch> {
    state.live_grant().filter(|grant| grant.node == *me && grant.opened_ms.is_some()).map(|grant| grant.epoch)
}

fn name(event: &EventSeen) -> EventName {
    EventName { schema: event.schema.clone(), name: event.name.clone() }
}

fn event(seen: &EventSeen) -> Event {
    Event { name: name(seen), enabled: seen.enabled, from_elsewhere: seen.from_elsewhere }
}
