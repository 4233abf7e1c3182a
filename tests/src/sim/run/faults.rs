//! What goes wrong in a run, drawn from its seed: one fault after the other, and sometimes two at once, never two on one
//! host. So no host loses its daemon and its keeper while nobody can reach it: what then remains is written down in
//! `docs/safety.md`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use baton_node::sql::Switch;
use baton_node::state::{Begin, Change, Forced, OperationId, OperationKind};
use tokio::time::{Instant, sleep, timeout};

use super::steps;
use crate::sim::fleet::Disk;
use crate::sim::world::World;
use crate::sim::world::draw::Draw;
use crate::sim::world::node::Node;

/// systemd's RestartSec of a server.
const SERVER_STARTS_AGAIN: Duration = Duration::from_millis(1000);

/// A step that a failover has not reached by then is not reached.
const STEP_WITHIN: Duration = Duration::from_secs(10);

/// One kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// SIGKILL of the server.
    KillServer,
    /// SIGSTOP of the server for a while.
    FreezeServer,
    /// The host loses its power for a while.
    Power,
    /// SIGKILL of the daemon.
    KillDaemon,
    /// The daemon is away for a while.
    DaemonAway,
    /// SIGSTOP of the daemon for a while.
    StopDaemon,
    /// SIGKILL of the keeper.
    KillKeeper,
    /// SIGSTOP of the keeper for a while.
    StopKeeper,
    /// SIGKILL of the daemon that leads.
    KillLeader,
    /// Leader and writer's server in the same moment.
    KillLeaderAndWriter,
    /// The writer's server dies, and the leader at a step of what follows.
    KillLeaderAtStep,
    /// The host is cut off for a while.
    Isolate,
    /// Nothing leaves the host, or nothing reaches it.
    OneWay,
    /// Two hosts do not reach each other.
    Pair,
    /// Packets are lost and late everywhere.
    Weather,
    /// The wall clock is set.
    SetClock,
    /// The server's disk is full.
    ServerDiskFull,
    /// The server's disk does not answer.
    ServerDiskStalls,
    /// The node's own disk does not answer.
    NodeDiskHangs,
    /// A replica applies slowly.
    SlowApplier,
    /// Somebody closes the writer by hand.
    ClosedByHand,
    /// An operator moves the writer.
    Planned,
}

impl Fault {
    /// All of them; what matters most more than once.
    const ALL: [Self; 27] = [
        Self::KillServer,
        Self::KillServer,
        Self::FreezeServer,
        Self::Power,
        Self::KillDaemon,
        Self::DaemonAway,
        Self::StopDaemon,
        Self::StopDaemon,
        Self::KillKeeper,
        Self::StopKeeper,
        Self::KillLeader,
        Self::KillLeaderAndWriter,
        Self::KillLeaderAtStep,
        Self::KillLeaderAtStep,
        Self::Isolate,
        Self::Isolate,
        Self::Isolate,
        Self::OneWay,
        Self::Pair,
        Self::Weather,
        Self::SetClock,
        Self::ServerDiskFull,
        Self::ServerDiskStalls,
        Self::NodeDiskHangs,
        Self::SlowApplier,
        Self::ClosedByHand,
        Self::Planned,
    ];
}

/// Faults until `end`, and then everything is mended.
pub(super) async fn run(world: Arc<World>, draw: Draw, end: Instant, made: Arc<AtomicU64>) {
    while Instant::now() < end {
        sleep(draw.millis(500..6000)).await;
        let Some(fault) = draw.one(&Fault::ALL) else { return };
        let Some(node) = target(&world, &draw, fault) else { continue };
        let lasts = draw.millis(200..7000);
        world.trace.line(|| format!("FAULT {fault:?} {} for {} ms", node.name, lasts.as_millis()));
        made.fetch_add(1, Ordering::Relaxed);
        let second = draw.chance(300).then(|| draw.one(&world.nodes)).flatten();
        let other = second.filter(|other| other.name != node.name);
        begin(&world, &draw, fault, &node);
        if let Some(other) = &other {
            let more = match draw.of(0..3) {
                0 => Fault::KillDaemon,
                1 if other.has_server => Fault::KillServer,
                _ => Fault::Isolate,
            };
            sleep(draw.millis(0..2500)).await;
            world.trace.line(|| format!("FAULT {more:?} {} too", other.name));
            made.fetch_add(1, Ordering::Relaxed);
            begin(&world, &draw, more, other);
        }
        sleep(lasts).await;
        mend(&world, &node);
        if let Some(other) = &other {
            mend(&world, other);
        }
        world.trace.line(|| "mended".into());
    }
    world.nodes.iter().for_each(|node| mend(&world, node));
    world.trace.line(|| "no more faults".into());
}

/// The writer's host more often than another.
fn target(world: &World, draw: &Draw, fault: Fault) -> Option<Arc<Node>> {
    let state = world.newest().0;
    let writer = state.grant.as_ref().and_then(|g| world.node(g.node.as_str()));
    let servers: Vec<_> = world.nodes.iter().filter(|n| n.has_server).cloned().collect();
    match fault {
        Fault::KillLeader | Fault::KillLeaderAndWriter | Fault::KillLeaderAtStep => world.leader().cloned(),
        Fault::ClosedByHand => writer.cloned(),
        Fault::SlowApplier | Fault::Planned => {
            let replicas =
                servers.into_iter().filter(|n| Some(n.name.as_str()) != writer.map(|w| w.name.as_str()));
            draw.one(&replicas.collect::<Vec<_>>())
        }
        Fault::KillServer
        | Fault::FreezeServer
        | Fault::KillKeeper
        | Fault::StopKeeper
        | Fault::ServerDiskFull
        | Fault::ServerDiskStalls => match writer {
            Some(writer) if draw.chance(600) => Some(Arc::clone(writer)),
            _ => draw.one(&servers),
        },
        _ => match writer {
            Some(writer) if draw.chance(500) => Some(Arc::clone(writer)),
            _ => draw.one(&world.nodes),
        },
    }
}

fn begin(world: &Arc<World>, draw: &Draw, fault: Fault, node: &Arc<Node>) {
    let host = node.name.to_string();
    let others: Vec<String> = world
        .nodes
        .iter()
        .map(|n| n.name.to_string())
        .chain(["clients".to_owned()])
        .filter(|n| *n != host)
        .collect();
    let (fleet, net) = (&world.fleet, &world.net);
    match fault {
        Fault::KillServer => fleet.kill(&host),
        Fault::FreezeServer => fleet.freeze(&host),
        Fault::Power => lose_power(world, node),
        Fault::KillDaemon | Fault::KillLeader => node.kill(),
        Fault::KillLeaderAndWriter => {
            node.kill();
            if let Some(grant) = &world.newest().0.grant {
                fleet.kill(grant.node.as_str());
            }
        }
        Fault::KillLeaderAtStep => kill_leader_at_a_step(world, draw),
        Fault::DaemonAway => node.hold_down(),
        Fault::StopDaemon => node.stop(),
        Fault::KillKeeper => {
            if let Some(keeper) = node.keeper() {
                keeper.kill();
            }
        }
        Fault::StopKeeper => {
            if let Some(keeper) = node.keeper() {
                keeper.stop();
            }
        }
        Fault::Isolate => others.iter().for_each(|other| {
            net.cut(&host, other);
            net.cut(other, &host);
        }),
        Fault::OneWay => {
            let out = draw.chance(500);
            others.iter().for_each(|other| if out { net.cut(&host, other) } else { net.cut(other, &host) });
        }
        Fault::Pair => {
            if let Some(other) = draw.one(&others) {
                net.cut(&host, &other);
                net.cut(&other, &host);
            }
        }
        Fault::Weather => net.weather(draw.of(10..200), draw.millis(1..80)),
        Fault::SetClock => {
            node.clock.set_wall(i64::try_from(draw.of(0..7_200_000)).unwrap_or(0) - 3_600_000);
        }
        Fault::ServerDiskFull => fleet.set_disk(&host, Disk::Full),
        Fault::ServerDiskStalls => fleet.set_disk(&host, Disk::Stalled),
        Fault::NodeDiskHangs => node.disk.hang(true),
        Fault::SlowApplier => fleet.set_apply_delay(&host, draw.millis(5..400)),
        Fault::ClosedByHand => fleet.set_switch(&host, Switch::Closed),
        Fault::Planned => node.propose(planned(world, draw, node)),
    }
}

/// The host is without power until its node is started.
pub(super) fn lose_power(world: &World, node: &Node) {
    node.hold_down();
    if let Some(keeper) = node.keeper() {
        keeper.kill();
    }
    world.fleet.lose_power(node.name.as_str());
}

/// SIGKILL of the leader at a step of a failover, which begins now; nobody waits for one that never comes.
fn kill_leader_at_a_step(world: &Arc<World>, draw: &Draw) {
    let Some(step) = draw.one(OperationKind::Failover.steps()) else { return };
    let caught = steps::at(world, step);
    let trace = world.trace.clone();
    tokio::spawn(async move {
        if let Ok(Ok(leader)) = timeout(STEP_WITHIN, caught).await {
            trace.line(|| format!("{} led, and is killed at {step}", leader.name));
            leader.kill();
        }
    });
    if let Some(grant) = &world.newest().0.grant {
        world.fleet.kill(grant.node.as_str());
    }
}

/// An operator's order, with a word that stands in for a proof only when no proof comes.
pub(super) fn planned(world: &World, draw: &Draw, to: &Node) -> Change {
    let id = OperationId(format!("{:016x}", draw.number()));
    Change::Begin(Begin {
        operation: id,
        epoch: world.newest().0.epoch(),
        diagnosis: "Forced".into(),
        evidence: vec!["asked for".into()],
        forced: None::<Forced>,
        wanted: Some(to.name.clone()),
        last_seen: None,
    })
}

/// Everything about this host is as it should be.
fn mend(world: &Arc<World>, node: &Arc<Node>) {
    let host = node.name.as_str();
    world.net.calm();
    node.go_on();
    node.disk.hang(false);
    if let Some(keeper) = node.keeper() {
        keeper.go_on();
    }
    node.clock.set_wall(0);
    node.start();
    if node.has_server {
        world.fleet.thaw(host);
        world.fleet.set_disk(host, Disk::Fine);
        world.fleet.set_apply_delay(host, Duration::ZERO);
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
