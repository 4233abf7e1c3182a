//! The faults that chaos draws from. Each strikes one node, lasts a while, and is undone.

use std::time::Duration;

use anyhow::Result;
use baton_tests::cluster::Cluster;
use rand::Rng;
use rand::seq::IndexedRandom;
use rustix::process::Signal;

/// What happens to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    ServerKilled,
    ServerStopped,
    DaemonKilled,
    DaemonStopped,
    KeeperKilled,
    KeeperStopped,
    BothKilled,
    BothStopped,
    HostFrozen,
    HostCut,
    HostMute,
    HostDeaf,
    HostLost,
    Loss,
    DiskFull,
    DiskStalled,
    ReadOnlyByHand,
}

const ALL: [Kind; 17] = [
    Kind::ServerKilled,
    Kind::ServerStopped,
    Kind::DaemonKilled,
    Kind::DaemonStopped,
    Kind::KeeperKilled,
    Kind::KeeperStopped,
    Kind::BothKilled,
    Kind::BothStopped,
    Kind::HostFrozen,
    Kind::HostCut,
    Kind::HostMute,
    Kind::HostDeaf,
    Kind::HostLost,
    Kind::Loss,
    Kind::DiskFull,
    Kind::DiskStalled,
    Kind::ReadOnlyByHand,
];

impl Kind {
    fn needs_links(self) -> bool {
        matches!(self, Self::HostCut | Self::HostMute | Self::HostDeaf | Self::Loss)
    }

    fn needs_a_disk(self) -> bool {
        matches!(self, Self::DiskFull | Self::DiskStalled)
    }

    fn needs_a_server(self) -> bool {
        !matches!(
            self,
            Self::HostFrozen | Self::HostCut | Self::HostMute | Self::HostDeaf | Self::HostLost | Self::Loss
        )
    }
}

/// A fault that was drawn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    pub(crate) node: &'static str,
    pub(crate) lasts: Duration,
}

impl Fault {
    /// Draws one that can be had on this cluster. The same numbers give the same fault.
    pub(crate) fn draw(random: &mut impl Rng, cluster: &Cluster) -> Option<Self> {
        let node = cluster.nodes().choose(random)?.name();
        let has_server = cluster.server(node).is_ok();
        let links = cluster.can_cut().is_ok();
        let has_disk = cluster.server(node).is_ok_and(|server| server.disk().is_ok());
        let fits = |kind: &&Kind| {
            (links || !kind.needs_links())
                && (has_server || !kind.needs_a_server())
                && (has_disk || !kind.needs_a_disk())
        };
        let kinds: Vec<&Kind> = ALL.iter().filter(fits).collect();
        let kind = **kinds.choose(random)?;
        Some(Self { kind, node, lasts: Duration::from_millis(random.random_range(50..8000)) })
    }

    /// It happens.
    pub(crate) async fn strike(&self, cluster: &mut Cluster) -> Result<()> {
        let node = self.node;
        match self.kind {
            Kind::ServerKilled => cluster.server(node)?.kill(Signal::KILL),
            Kind::ServerStopped => cluster.server(node)?.kill(Signal::STOP),
            Kind::DaemonKilled => cluster.node_mut(node)?.kill().await,
            Kind::DaemonStopped => cluster.node(node)?.signal(Signal::STOP),
            Kind::KeeperKilled => cluster.node(node)?.signal_keeper(Signal::KILL),
            Kind::KeeperStopped => cluster.node(node)?.signal_keeper(Signal::STOP),
            Kind::BothKilled => {
                cluster.node(node)?.signal_keeper(Signal::KILL)?;
                cluster.node_mut(node)?.kill().await
            }
            Kind::BothStopped => {
                cluster.node(node)?.signal_keeper(Signal::STOP)?;
                cluster.node(node)?.signal(Signal::STOP)
            }
            Kind::HostFrozen => {
                cluster.host(node)?.freeze();
                Ok(())
            }
            Kind::HostCut => cluster.host(node)?.cut().await,
            Kind::HostMute | Kind::HostDeaf => self.cut_one_way(cluster).await,
            Kind::HostLost => cluster.host(node)?.power_off().await,
            Kind::Loss => cluster.host(node)?.lose_packets(20).await,
            Kind::DiskFull => cluster.server(node)?.disk()?.fill(),
            Kind::DiskStalled => cluster.server(node)?.disk()?.freeze().await,
            Kind::ReadOnlyByHand => cluster.server(node)?.execute(["SET GLOBAL read_only = ON"]).await,
        }
    }

    async fn cut_one_way(&self, cluster: &Cluster) -> Result<()> {
        let host = cluster.host(self.node)?;
        for other in cluster.sandbox().hosts().iter().filter(|other| other.name() != host.name()) {
            match self.kind {
                Kind::HostMute => host.mute_towards(other).await?,
                _ => other.mute_towards(host).await?,
            }
        }
        Ok(())
    }
}

/// Undoes every fault but a server that a person closed, which is Baton's to open: links whole, disks with room and
/// going on, processes going on, what ended started again, as systemd would.
pub(crate) async fn undo_all(cluster: &mut Cluster) -> Result<()> {
    let names: Vec<&'static str> = cluster.nodes().iter().map(|node| node.name()).collect();
    for name in names {
        let host = cluster.host(name)?.clone();
        if cluster.can_cut().is_ok() {
            host.heal().await?;
        }
        host.thaw();
        if let Ok(disk) = cluster.server(name).and_then(|server| server.disk()) {
            disk.thaw();
            disk.empty()?;
        }
        if let Ok(server) = cluster.server_mut(name)
            && server.exited()?.is_some()
        {
            server.start().await?;
        }
        if !cluster.node_mut(name)?.runs()? {
            cluster.node_mut(name)?.start()?;
        }
    }
    Ok(())
}
