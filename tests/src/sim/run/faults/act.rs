//! What a fault does to a host, and how everything there becomes right again.

use std::sync::Arc;
use std::time::Duration;

use baton_node::sql::Switch;
use baton_node::state::{Begin, Change, Forced, OperationId, Plan, Planned};

use super::kind::Fault;
use crate::sim::fleet::Disk;
use crate::sim::run::clients;
use crate::sim::world::World;
use crate::sim::world::draw::Draw;
use crate::sim::world::node::Node;

/// The fault begins.
pub(super) fn begin(world: &World, draw: &Draw, fault: Fault, node: &Arc<Node>) {
    let host = node.name.to_string();
    let (fleet, net) = (&world.fleet, &world.net);
    match fault {
        Fault::KillServer => fleet.kill(&host),
        Fault::FreezeServer => fleet.freeze(&host),
        Fault::Power => lose_power(world, node),
        Fault::KillDaemon | Fault::KillLeader => node.kill(),
        Fault::KillLeaderAndWriter => {
            node.kill();
            if let Some(writer) = world.writer() {
                fleet.kill(writer.name.as_str());
            }
        }
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
        Fault::Isolate => others(world, &host).for_each(|other| net.cut_both(&host, &other)),
        Fault::OneWay => {
            let out = draw.chance(500);
            others(world, &host)
                .for_each(|other| if out { net.cut(&host, &other) } else { net.cut(&other, &host) });
        }
        Fault::Pair => {
            if let Some(other) = draw.one(&others(world, &host).collect::<Vec<_>>()) {
                net.cut_both(&host, &other);
            }
        }
        Fault::Weather => net.weather(draw.of(10..200), draw.millis(1..80)),
        Fault::SetClock => {
            node.clock.set_wall(i64::try_from(draw.of(0..7_200_000)).unwrap_or(0) - 3_600_000);
        }
        Fault::ServerDiskFull => fleet.set_disk(&host, Disk::Full),
        Fault::ServerDiskStalls => fleet.set_disk(&host, Disk::Stalled),
        Fault::NodeDiskHangs => node.disk().hang(true),
        Fault::NodeAppliesNothing => node.disk().hold_applying(true),
        Fault::SlowApplier => fleet.set_apply_delay(&host, draw.millis(5..400)),
        Fault::ClosedByHand => fleet.set_switch(&host, Switch::Closed),
        Fault::Moved => node.propose(moved(world, draw, node)),
        Fault::Switchover => node.propose(planned(world, draw, node)),
    }
}

/// The host is without power until its node is started.
pub(in crate::sim::run) fn lose_power(world: &World, node: &Node) {
    node.hold_down();
    if let Some(keeper) = node.keeper() {
        keeper.kill();
    }
    world.fleet.lose_power(node.name.as_str());
}

/// Every host but this one.
pub(super) fn others<'a>(world: &'a World, host: &'a str) -> impl Iterator<Item = String> + 'a {
    let nodes = world.nodes.iter().map(|n| n.name.to_string());
    nodes.chain([clients::HOST.to_owned()]).filter(move |n| n != host)
}

/// An operator's order, with a word that stands in for a proof only when no proof comes.
pub(in crate::sim::run) fn moved(world: &World, draw: &Draw, to: &Node) -> Change {
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

/// A planned move of the writer.
pub(in crate::sim::run) fn planned(world: &World, draw: &Draw, to: &Node) -> Change {
    Change::Plan(Plan {
        operation: OperationId(format!("{:016x}", draw.number())),
        epoch: world.newest().0.epoch(),
        to: to.name.clone(),
        planned: Planned { max_pause_ms: 1000, kill_blockers: false },
        by: "asked for".into(),
    })
}

/// Everything about this host is as it should be.
pub(super) fn mend(world: &World, node: &Arc<Node>) {
    let host = node.name.as_str();
    world.net.calm();
    node.go_on();
    node.disk().hang(false);
    node.disk().hold_applying(false);
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
