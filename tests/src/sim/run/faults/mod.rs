//! What goes wrong in a run, drawn from its seed: one fault after the other, sometimes two at once on two hosts, and
//! sometimes a whole [`Plot`]. No host loses its daemon and its keeper while nobody can reach it: what then remains is
//! written down in `docs/safety.md`.

mod act;
mod kind;
mod outvoted;
mod plot;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use self::act::{begin, mend};
pub(super) use self::act::{lose_power, moved, planned};
use self::kind::Fault;
use self::plot::Plot;
use crate::sim::world::World;
use crate::sim::world::draw::Draw;
use crate::sim::world::node::Node;

/// systemd's RestartSec of a server.
const SERVER_STARTS_AGAIN: Duration = Duration::from_millis(1000);
/// So many faults at least, however long they take.
const LEAST: u64 = 8;
/// Of a thousand strikes so many are a plot.
const PLOTS: u64 = 250;

/// The faults of one run.
pub(super) struct Faults {
    world: Arc<World>,
    draw: Draw,
    made: Arc<AtomicU64>,
}

impl Faults {
    /// Faults that are counted in `made`.
    pub(super) fn new(world: Arc<World>, draw: Draw, made: Arc<AtomicU64>) -> Self {
        Self { world, draw, made }
    }

    /// One after the other until `end`, and then everything is mended.
    pub(super) async fn run(self, end: Instant) {
        while Instant::now() < end || self.made.load(Ordering::Relaxed) < LEAST {
            sleep(self.draw.millis(500..6000)).await;
            self.strike().await;
            self.world.trace.line(|| "mended".into());
        }
        self.world.nodes.iter().for_each(|node| mend(&self.world, node));
        self.world.trace.line(|| "no more faults".into());
    }

    /// One fault, or two at once, and what mends them.
    async fn strike(&self) {
        let (world, draw) = (&self.world, &self.draw);
        if draw.chance(PLOTS) {
            if let Some(plot) = draw.one(&Plot::ALL) {
                self.play(plot).await;
            }
            return;
        }
        let Some(fault) = draw.one(&Fault::ALL) else { return };
        let Some(node) = fault.target(world, draw) else { return };
        let lasts = draw.millis(200..7000);
        let second = draw.chance(300).then(|| draw.one(&world.nodes)).flatten();
        let other = second.filter(|other| other.name != node.name);
        self.begin(fault, &node);
        if let Some(other) = &other {
            let more = match draw.of(0..3) {
                0 => Fault::KillDaemon,
                1 if other.has_server => Fault::KillServer,
                _ => Fault::Isolate,
            };
            sleep(draw.millis(0..2500)).await;
            self.begin(more, other);
        }
        sleep(lasts).await;
        mend(world, &node);
        if let Some(other) = &other {
            mend(world, other);
        }
    }

    fn begin(&self, fault: Fault, node: &Arc<Node>) {
        self.count(|| format!("{fault:?} {}", node.name));
        begin(&self.world, &self.draw, fault, node);
    }

    fn count(&self, what: impl Fn() -> String) {
        self.made.fetch_add(1, Ordering::Relaxed);
        self.world.trace.line(|| format!("FAULT {}", what()));
    }
}

/// systemd starts a server that has ended, unless its host has no power.
pub(super) async fn servers_start_again(world: Arc<World>) {
    loop {
        sleep(SERVER_STARTS_AGAIN).await;
        for host in world.fleet.hosts() {
            let powered = world.node(&host).is_some_and(|n| n.is_wanted());
            if powered && world.fleet.process(&host).is_none() {
                world.trace.line(|| format!("{host} server starts"));
                world.fleet.start(&host);
            }
        }
    }
}
