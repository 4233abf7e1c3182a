//! Looks at the whole world all the time, and asks every invariant.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use baton_node::state::ClusterState;
use tokio::time::{Instant, sleep};

use crate::sim::fleet::{Host, ServerSeen};
use crate::sim::invariants::{Applied, Invariant, Moment, all};
use crate::sim::world::{AppliedUpTo, Newest, World};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(5);

/// The looks of one run.
pub(super) struct Watch {
    world: Arc<World>,
    begun: Instant,
    invariants: Vec<Box<dyn Invariant>>,
    servers: BTreeMap<Host, Arc<ServerSeen>>,
    states: Vec<Applied>,
    newest: Newest,
    accepted: BTreeSet<Host>,
    read: usize,
    said: String,
    /// The servers' generation and how far each node was at the latest look: as long as they stay there is nothing new.
    generation: u64,
    applied: Vec<AppliedUpTo>,
}

impl Watch {
    /// Has seen nothing yet.
    pub(super) fn new(world: Arc<World>) -> Self {
        Self {
            world,
            begun: Instant::now(),
            invariants: all(),
            servers: BTreeMap::new(),
            states: Vec::new(),
            newest: Newest::default(),
            accepted: BTreeSet::new(),
            read: 0,
            said: String::new(),
            generation: 0,
            applied: Vec::new(),
        }
    }

    /// Looks for so long.
    ///
    /// # Errors
    /// The first invariant that does not hold, and how.
    pub(super) async fn run(&mut self, length: Duration) -> Result<(), String> {
        let end = Instant::now() + length;
        while Instant::now() < end {
            self.look()?;
            sleep(LOOK).await;
        }
        Ok(())
    }

    fn look(&mut self) -> Result<(), String> {
        let world = &self.world;
        let (generation, applied) = (world.fleet.generation(), world.applied());
        let news = self.applied != applied;
        if self.generation == generation && !news {
            return Ok(());
        }
        let before = self.servers.clone();
        self.generation = world.fleet.see_again(&mut self.servers, self.generation);
        if news {
            self.applied = applied;
            self.states = world.states();
            self.newest = world.newest();
        }
        let accepting = world.fleet.accepting_writes();
        let now: BTreeSet<Host> = accepting.iter().cloned().collect();
        let opened: BTreeSet<Host> = now.difference(&self.accepted).cloned().collect();
        let acknowledged = world.fleet.acknowledged(self.read);
        self.read += acknowledged.len();
        let moment = Moment {
            at: self.begun.elapsed(),
            fleet: &world.fleet,
            servers: &self.servers,
            before: &before,
            accepting: &accepting,
            opened: &opened,
            states: &self.states,
            news,
            newest: &self.newest,
            acknowledged: &acknowledged,
        };
        let broken = self.invariants.iter_mut().find_map(|i| {
            let wrong = i.look(&moment).err()?;
            Some(format!("invariant {}: {wrong}", i.name()))
        });
        if (news || now != self.accepted) && self.newest.1 > 0 {
            let said = summary(&self.newest.0, &accepting);
            if said != self.said {
                world.trace.line(|| said.clone());
                self.said = said;
            }
        }
        // A server that stands still has not been closed: going on, it is not opened.
        let frozen = self.servers.iter().filter(|(_, s)| s.frozen).map(|(h, _)| h);
        self.accepted = now.iter().chain(frozen.filter(|h| self.accepted.contains(*h))).cloned().collect();
        broken.map_or(Ok(()), Err)
    }
}

fn summary(state: &ClusterState, accepting: &[Host]) -> String {
    let grant = state.grant.as_ref().map(|g| format!("{} {}", g.epoch, g.node)).unwrap_or_default();
    let revoked = if state.grant.is_some() && state.live_grant().is_none() { " revoked" } else { "" };
    let under_way = state.operation.as_ref().map(|o| format!(", {} from {}", o.diagnosis, o.from));
    let out: Vec<_> = state.out.keys().map(ToString::to_string).collect();
    let out = if out.is_empty() { String::new() } else { format!(", out {}", out.join(" ")) };
    let durable = if state.durability.is_lossless() { "lossless" } else { "degraded" };
    format!(
        "epoch {grant}{revoked}, {durable}{}{out}, open: {}",
        under_way.unwrap_or_default(),
        accepting.join(" ")
    )
}
