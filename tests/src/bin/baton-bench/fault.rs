//! The faults: where each strikes, and how it ends.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use baton_proto::control::StatusReply;
use baton_tests::cluster::{Cluster, Layout, Node, ReturnOfOldWriter};
use baton_tests::sandbox::Server;
use clap::ValueEnum;
use rustix::process::Signal;
use tokio::time::sleep;

const SOON: Duration = Duration::from_secs(10);
const DIES_WITHIN: Duration = Duration::from_secs(2);

/// What happens to a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Fault {
    /// SIGKILL of the primary's server
    Kill,
    /// SIGKILL of the primary's server, and of the leader's daemon as soon as it has begun the failover
    LeaderMid,
    /// SIGSTOP of the primary's server, and SIGCONT once another is the writer
    Hang,
    /// The primary's host is cut off
    Cut,
    /// The leader's host is cut off; the writer is elsewhere
    Leader,
    /// The witness is cut off
    Witness,
    /// A host that is neither the leader's nor the writer's is cut off
    Voter,
    /// Two data nodes: SIGKILL of the replica's server
    ReplicaKill,
    /// Two data nodes: the replica's host is cut off
    ReplicaCut,
    /// Two data nodes, no replica fit: SIGKILL of the primary's server, which is started again
    Reopen,
}

impl Fault {
    /// Which hosts have servers.
    pub(crate) fn layout(self) -> Layout {
        match self {
            Self::Kill | Self::LeaderMid | Self::Hang | Self::Cut | Self::Leader | Self::Voter => {
                Layout::ThreeServers
            }
            Self::Witness | Self::ReplicaKill | Self::ReplicaCut | Self::Reopen => {
                Layout::TwoServersAndWitness
            }
        }
    }

    /// The word of the command line.
    pub(crate) fn word(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// Whether the write role has to move for writes to go on.
    pub(crate) fn moves_the_writer(self) -> bool {
        matches!(self, Self::Kill | Self::LeaderMid | Self::Hang | Self::Cut)
    }

    /// Whether a host is cut off.
    pub(crate) fn is_a_cut(self) -> bool {
        !self.kills() && self != Self::Hang
    }

    fn kills(self) -> bool {
        matches!(self, Self::Kill | Self::LeaderMid | Self::ReplicaKill | Self::Reopen)
    }

    /// The node whose server or host it strikes.
    pub(crate) fn victim(self, cluster: &Cluster, status: &StatusReply) -> Result<&'static str> {
        let is_writer = |name: &str| name == status.writer;
        let fits = |name: &str| match self {
            Self::Kill | Self::LeaderMid | Self::Hang | Self::Cut | Self::Reopen => is_writer(name),
            Self::Leader => name == status.leader,
            Self::Witness => cluster.server(name).is_err(),
            Self::Voter => !is_writer(name) && name != status.leader,
            Self::ReplicaKill | Self::ReplicaCut => !is_writer(name) && cluster.server(name).is_ok(),
        };
        let mut names = cluster.nodes().iter().map(|node| node.name());
        names.find(|name| fits(name)).with_context(|| format!("nobody to strike in {status:?}"))
    }

    /// It happens. Processes are killed, not stopped: nobody says good-bye.
    pub(crate) async fn strike(self, cluster: &Cluster, victim: &str, leader: &str) -> Result<()> {
        if self.kills() {
            let leader = cluster.node(leader)?;
            let told = std::fs::metadata(leader.log())?.len();
            cluster.server(victim)?.kill(Signal::KILL)?;
            return match self {
                Self::LeaderMid => begun(leader, told).await.and_then(|()| leader.signal(Signal::KILL)),
                _ => Ok(()),
            };
        }
        if self == Self::Hang {
            return cluster.server(victim)?.kill(Signal::STOP);
        }
        cluster.can_cut().map_err(|reason| anyhow!("nothing can be cut: {reason}"))?;
        cluster.host(victim)?.cut().await
    }

    /// It is over: the host is back in the network, the server runs, and the cluster is as before. Says whether it may
    /// be used again; a server that came back with transactions of its own stays out, and the next run takes a new
    /// cluster.
    pub(crate) async fn mend(self, cluster: &mut Cluster, victim: &str) -> Result<bool> {
        if self.is_a_cut() {
            cluster.host(victim)?.heal().await?;
        }
        if self == Self::Hang {
            wake(cluster.server_mut(victim)?).await?;
        }
        let names: Vec<_> = cluster.nodes().iter().map(Node::name).collect();
        for name in names {
            if !cluster.node_mut(name)?.runs()? {
                cluster.node_mut(name)?.start()?;
            }
        }
        if let Ok(server) = cluster.server_mut(victim) {
            if self.kills() {
                server.wait_exit(SOON).await?;
            }
            // Also what the keeper has killed.
            if server.exited()?.is_some() {
                server.start().await?;
            }
            if self.moves_the_writer()
                && matches!(cluster.old_writer_returns(victim).await?, ReturnOfOldWriter::Quarantined(_))
            {
                return Ok(false);
            }
        }
        cluster.settled().await?;
        Ok(true)
    }
}

/// SIGCONT, unless Baton has killed the server; one that was stopped when it was told to die dies now.
async fn wake(server: &mut Server) -> Result<()> {
    if server.exited()?.is_none() {
        server.kill(Signal::CONT)?;
        // It goes on living where it could be closed before it did anything else.
        drop(server.wait_exit(DIES_WITHIN).await);
    }
    Ok(())
}

/// Waits until the leader's log, from `told` on, says that the intent of a failover is committed. Not by `batonctl`,
/// which takes as long to start as a failover takes.
async fn begun(leader: &Node, told: u64) -> Result<()> {
    let mut log = File::open(leader.log())?;
    log.seek(SeekFrom::Start(told))?;
    let (mut new, end) = (String::new(), Instant::now() + SOON);
    while !new.contains("step=intent") {
        ensure!(Instant::now() < end, "no failover begins:{}", leader.log_tail());
        log.read_to_string(&mut new)?;
        sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}
