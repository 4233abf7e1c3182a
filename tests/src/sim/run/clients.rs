//! Clients: some write through the router, and one on each server's host writes straight to that server, open or not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use baton_node::state::Phase;
use tokio::time::sleep;

use crate::sim::fleet::{Client, Row, User, Written};
use crate::sim::world::World;
use crate::sim::world::draw::Draw;

/// Where applications run.
pub(super) const HOST: &str = "clients";
/// Clients that write through the router.
const CLIENTS: usize = 6;
/// How long a client waits for anything.
const PATIENCE: Duration = Duration::from_secs(2);

/// What became of all writes.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    next: AtomicU64,
    /// Told to be committed.
    acknowledged: AtomicU64,
    /// Told to be refused.
    failed: AtomicU64,
    /// Told nothing.
    unknown: AtomicU64,
}

impl Ledger {
    /// All writes that were tried.
    pub(super) fn tried(&self) -> u64 {
        [&self.acknowledged, &self.failed, &self.unknown].iter().map(|n| n.load(Ordering::Relaxed)).sum()
    }

    /// Writes that clients were told to be committed.
    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    fn row(&self) -> Row {
        Row(self.next.fetch_add(1, Ordering::Relaxed))
    }

    fn note(&self, written: &Written) {
        let count = match written {
            Written::Acknowledged => &self.acknowledged,
            Written::Failed(_) => &self.failed,
            Written::Unknown(_) => &self.unknown,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// Starts them all.
pub(super) fn start(world: &Arc<World>, ledger: &Arc<Ledger>) {
    for _ in 0..CLIENTS {
        tokio::spawn(routed(Arc::clone(world), Arc::clone(ledger), world.draw.fork()));
    }
    for host in world.fleet.hosts() {
        tokio::spawn(direct(Arc::clone(world), host, Arc::clone(ledger), world.draw.fork()));
    }
}

/// Writes through the router for ever. The router follows what some node has applied.
async fn routed(world: Arc<World>, ledger: Arc<Ledger>, draw: Draw) {
    let mut connected: Option<(String, Client)> = None;
    loop {
        sleep(draw.millis(100..500)).await;
        let Some(writer) = writer(&world, &draw) else { continue };
        // The router cuts the connections to an old writer.
        let client = match connected.take().filter(|(host, _)| *host == writer) {
            Some((_, client)) => client,
            None => match world.fleet.client(HOST, &writer, User::Ordinary, PATIENCE).await {
                Ok(client) => client,
                Err(_) => continue,
            },
        };
        let written = client.write(ledger.row(), PATIENCE).await;
        ledger.note(&written);
        if !matches!(written, Written::Unknown(_)) {
            connected = Some((writer, client));
        }
    }
}

fn writer(world: &World, draw: &Draw) -> Option<String> {
    let running: Vec<_> = world.nodes.iter().filter_map(|n| n.running()).collect();
    let state = Arc::clone(&draw.one(&running)?.states.borrow().state);
    match state.phase {
        Phase::Observing => Some("db1".into()),
        Phase::Managed => state.live_grant().filter(|g| g.opened_ms.is_some()).map(|g| g.node.to_string()),
    }
}

/// Writes to one server for ever, from its own host.
async fn direct(world: Arc<World>, host: String, ledger: Arc<Ledger>, draw: Draw) {
    loop {
        sleep(draw.millis(100..300)).await;
        let Ok(client) = world.fleet.client(&host, &host, User::Ordinary, PATIENCE).await else { continue };
        loop {
            let written = client.write(ledger.row(), PATIENCE).await;
            ledger.note(&written);
            if matches!(written, Written::Unknown(_)) {
                break;
            }
            sleep(draw.millis(50..400)).await;
        }
    }
}
