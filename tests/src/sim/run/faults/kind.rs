//! The kinds of faults, and whom each of them strikes.

use std::sync::Arc;

use crate::sim::world::World;
use crate::sim::world::draw::Draw;
use crate::sim::world::node::Node;

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
    /// The node writes its log, and applies nothing of it.
    NodeAppliesNothing,
    /// A replica applies slowly.
    SlowApplier,
    /// Somebody closes the writer by hand.
    ClosedByHand,
    /// An operator moves the writer.
    Moved,
    /// An operator plans a switchover.
    Switchover,
}

impl Fault {
    /// All of them; what matters most more than once.
    pub(super) const ALL: [Self; 28] = [
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
        Self::NodeAppliesNothing,
        Self::SlowApplier,
        Self::ClosedByHand,
        Self::Moved,
        Self::Switchover,
        Self::Switchover,
    ];

    /// Whom it strikes: the writer's host more often than another.
    pub(super) fn target(self, world: &World, draw: &Draw) -> Option<Arc<Node>> {
        let writer = world.writer();
        let servers: Vec<_> = world.nodes.iter().filter(|n| n.has_server).cloned().collect();
        match self {
            Self::KillLeader | Self::KillLeaderAndWriter => world.leader().cloned(),
            Self::ClosedByHand => writer.cloned(),
            Self::SlowApplier | Self::Moved | Self::Switchover => draw.one(&world.replicas()),
            Self::KillServer
            | Self::FreezeServer
            | Self::KillKeeper
            | Self::StopKeeper
            | Self::ServerDiskFull
            | Self::ServerDiskStalls => match writer {
                Some(writer) if draw.chance(600) => Some(Arc::clone(writer)),
                _ => draw.one(&servers),
            },
            _ => match writer {
                Some(writer) if draw.chance(500) => Some(Arc::clone(writer)),
                _ => draw.one(&world.nodes),
            },
        }
    }
}
