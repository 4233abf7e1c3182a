//! Looks at the whole world all the time, and asks every invariant.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use baton_node::state::ClusterState;
use tokio::time::{Instant, sleep};

use crate::sim::fleet::{Host, ServerSeen};
use crate::sim::invariants::{Applied, Invariant, Moment, all};
use crate::sim::world::World;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(5);

/// The looks of one run.
pub(super) struct Watch {
    world: Arc<World>,
    begun: Instant,
    invariants: Vec<Box<dyn Invariant>>,
    before: BTreeMap<Host, ServerSeen>,
    accepted: BTreeSet<Host>,
    read: usize,
    said: String,
    /// What there was at the latest look: as long as it stays there is nothing new.
    looked: Option<(u64, Vec<(u32, Option<u64>)>)>,
}

impl Watch {
    /// Has seen nothing yet.
    pub(super) fn new(world: Arc<World>) -> Self {
        Self {
            world,
            begun: Instant::now(),
            invariants: all(),
            before: BTreeMap::new(),
            accepted: BTreeSet::new(),
            read: 0,
            said: String::new(),
            looked: None,
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
        let there_is = (world.fleet.generation(), world.applied());
        if self.looked.as_ref() == Some(&there_is) {
            return Ok(());
        }
        self.looked = Some(there_is);
        let servers: BTreeMap<Host, ServerSeen> = world
            .fleet
            .hosts()
            .into_iter()
            .filter_map(|h| Some((h.clone(), world.fleet.seen(&h)?)))
            .collect();
        let accepting = world.fleet.accepting_writes();
        let now: BTreeSet<Host> = accepting.iter().cloned().collect();
        let opened: BTreeSet<Host> = now.difference(&self.accepted).cloned().collect();
        let states: Vec<_> = world
            .nodes
            .iter()
            .filter_map(|n| {
                let applied = n.running()?.states.borrow().clone();
                let (state, index) = (Arc::clone(&applied.state), applied.index);
                Some(Applied { node: n.name.clone(), store: n.store(), state, index })
            })
            .collect();
        let newest = world.newest();
        let acknowledged = world.fleet.acknowledged(self.read);
        self.read += acknowledged.len();
        let moment = Moment {
            at: self.begun.elapsed(),
            fleet: &world.fleet,
            servers: &servers,
            before: &self.before,
            accepting: &accepting,
            opened: &opened,
            states: &states,
            newest: &newest,
            acknowledged: &acknowledged,
        };
        let broken = self.invariants.iter_mut().find_map(|i| {
            let wrong = i.look(&moment).err()?;
            Some(format!("invariant {}: {wrong}", i.name()))
        });
        let said = summary(&newest.0, &accepting);
        if said != self.said && newest.1 > 0 {
            world.trace.line(|| said.clone());
            self.said = said;
        }
        // A server that stands still has not been closed: going on, it is not opened.
        let frozen = servers.iter().filter(|(_, s)| s.frozen).map(|(h, _)| h);
        self.accepted = now.iter().chain(frozen.filter(|h| self.accepted.contains(*h))).cloned().collect();
        self.before = servers;
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
