//! The faults: where each strikes, and how it ends.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use baton_proto::control::StatusReply;
use baton_tests::cluster::{Cluster, Layout, ReturnOfOldWriter};
use clap::ValueEnum;
use rustix::process::Signal;

const SOON: Duration = Duration::from_secs(10);

/// What happens to a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Fault {
    /// SIGKILL of the primary's server
    Kill,
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
            Self::Kill | Self::Cut | Self::Leader | Self::Voter => Layout::ThreeServers,
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
        matches!(self, Self::Kill | Self::Cut)
    }

    /// Whether a host is cut off.
    pub(crate) fn is_a_cut(self) -> bool {
        !self.kills()
    }

    fn kills(self) -> bool {
        matches!(self, Self::Kill | Self::ReplicaKill | Self::Reopen)
    }

    /// The node whose server or host it strikes.
    pub(crate) fn victim(self, cluster: &Cluster, status: &StatusReply) -> Result<&'static str> {
        let is_writer = |name: &str| name == status.writer;
        let fits = |name: &str| match self {
            Self::Kill | Self::Cut | Self::Reopen => is_writer(name),
            Self::Leader => name == status.leader,
            Self::Witness => cluster.server(name).is_err(),
            Self::Voter => !is_writer(name) && name != status.leader,
            Self::ReplicaKill | Self::ReplicaCut => !is_writer(name) && cluster.server(name).is_ok(),
        };
        let mut names = cluster.nodes().iter().map(|node| node.name());
        names.find(|name| fits(name)).with_context(|| format!("nobody to strike in {status:?}"))
    }

    /// It happens. Processes are killed, not stopped: nobody says good-bye.
    pub(crate) async fn strike(self, cluster: &Cluster, victim: &str) -> Result<()> {
        if self.kills() {
            return cluster.server(victim)?.kill(Signal::KILL);
        }
        cluster.can_cut().map_err(|reason| anyhow!("nothing can be cut: {reason}"))?;
        cluster.host(victim)?.cut().await
    }

    /// It is over: the host is back in the network, the server runs, and the cluster is as before. Says whether it may
    /// be used again; a server that came back with transactions of its own stays out, and the next run takes a new
    /// cluster.
    pub(crate) async fn mend(self, cluster: &mut Cluster, victim: &str) -> Result<bool> {
        if !self.kills() {
            cluster.host(victim)?.heal().await?;
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
