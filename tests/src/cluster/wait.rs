//! Waiting for a cluster to come into a state, each time with a bound.

use std::time::Duration;

use anyhow::{Result, ensure};
use baton_proto::control::{NodeStatus, Operation, StatusReply};

use super::Cluster;
use crate::sandbox::{Ledger, until};

/// How long a group may take to form on a busy machine.
const FORMED: Duration = Duration::from_secs(30);
/// How long a cluster may take until it is healthy again after a fault.
const SETTLED: Duration = Duration::from_secs(45);
/// How long a failover may take in a test. What it should take is measured by `script/bench`.
const MOVED: Duration = Duration::from_secs(20);
/// How long a killed process may take to be gone.
pub(super) const GONE: Duration = Duration::from_secs(10);

/// So many more show that writes go on.
const MORE_WRITES: usize = 50;

impl Cluster {
    /// Waits for more acknowledged writes, `within` at most.
    ///
    /// # Errors
    /// When there are too few in time; the message has the ends of the nodes' logs.
    pub async fn writes_go_on(&self, ledger: &Ledger, within: Duration) -> Result<()> {
        let before = ledger.acknowledged();
        let more = async || Ok((ledger.acknowledged() >= before + MORE_WRITES).then_some(()));
        until("more acknowledged writes", within, more).await.map_err(|error| self.explained(error))
    }

    /// Waits until the group has formed, sees every server, and nothing stands in the way of an adoption.
    ///
    /// # Errors
    /// When it does not in time; the message has the ends of the nodes' logs.
    pub async fn formed(&self) -> Result<StatusReply> {
        self.reaches("the group to form and to see every server", FORMED, |status| {
            !status.leader.is_empty()
                && status.voters as usize == self.nodes.len()
                && status.voters_answering == status.voters
                && status.nodes.iter().filter(|node| node.server_answers).count() == self.servers.len()
        })
        .await?;
        let look = async || {
            let plan = self.ctl.adoption_plan("db1").await?;
            let in_the_way = plan.findings.iter().find(|finding| finding.level == "error");
            ensure!(in_the_way.is_none(), "stands in the way: {in_the_way:?}");
            Ok(Some(()))
        };
        until("the cluster to be fit for adoption", FORMED, look)
            .await
            .map_err(|error| self.explained(error))?;
        let status = async || Ok(Some(self.ctl.status().await?));
        until("a status", FORMED, status).await
    }

    /// Waits until everything is as it should be: a writer that is open, everybody else replicating from it, and no
    /// write that one server's loss could lose.
    ///
    /// # Errors
    /// When it does not in time; the message has the last status and the ends of the nodes' logs.
    pub async fn settled(&self) -> Result<StatusReply> {
        self.settled_without(&[]).await
    }

    /// The same, except for the nodes named, which may be away or out.
    ///
    /// # Errors
    /// As [`Cluster::settled`].
    pub async fn settled_without(&self, away: &[&str]) -> Result<StatusReply> {
        self.reaches("the cluster to settle", SETTLED, |status| is_settled(status, away)).await
    }

    /// Waits until another node's server than `old`'s is the open writer.
    ///
    /// # Errors
    /// When none is in time; the message has the last status and the ends of the nodes' logs.
    pub async fn moved_from(&self, old: &str) -> Result<StatusReply> {
        self.moved_later(old, Duration::ZERO).await
    }

    /// The same where it takes this much longer.
    ///
    /// # Errors
    /// As [`Cluster::moved_from`].
    pub async fn moved_later(&self, old: &str, later: Duration) -> Result<StatusReply> {
        self.reaches("another server to be the writer", MOVED + later, |status| {
            status.writer_open && !status.writer.is_empty() && status.writer != old
        })
        .await
    }

    /// Waits until the operation that ended an epoch is over.
    ///
    /// # Errors
    /// When it is not in time.
    pub async fn operation_from(&self, epoch: u64) -> Result<Operation> {
        let look = async || self.ctl.operation_from(epoch).await.map(Some);
        until("the operation to end", SETTLED, look).await.map_err(|error| self.explained(error))
    }

    /// Waits until the status fulfils a condition.
    ///
    /// # Errors
    /// When it does not within `bound`; the message has the last status and the ends of the nodes' logs.
    pub async fn reaches(
        &self,
        what: &str,
        bound: Duration,
        condition: impl Fn(&StatusReply) -> bool,
    ) -> Result<StatusReply> {
        let look = async || {
            let status = self.ctl.status().await?;
            ensure!(condition(&status), "the last status: {status:#?}");
            Ok(Some(status))
        };
        until(what, bound, look).await.map_err(|error| self.explained(error))
    }

    /// The error, and after it the ends of the nodes' logs, once however often this is asked for.
    pub fn explained(&self, error: anyhow::Error) -> anyhow::Error {
        match error.is::<Explained>() {
            true => error,
            false => Explained { what: format!("{error:#}"), logs: self.logs() }.into(),
        }
    }
}

/// A failure with what the nodes said before it.
#[derive(Debug, thiserror::Error)]
#[error("{what}{logs}")]
struct Explained {
    what: String,
    /// Begins with a line break.
    logs: String,
}

/// Whether nothing is left to do, nodes that are away not counted.
fn is_settled(status: &StatusReply, away: &[&str]) -> bool {
    // A server without a node is none of the cluster's.
    let here = |node: &&NodeStatus| node.role != "follower" && !away.contains(&node.name.as_str());
    let well = |node: &NodeStatus| match node.role.as_str() {
        "writer" => node.open && node.server_answers,
        "replica" => !node.open && node.replicating && node.acker && node.follows == status.writer,
        "witness" => true,
        _ => false,
    };
    // A writer whose replicas are all away, with transactions of their own, has nobody to wait for.
    let is_alone = !status.nodes.iter().filter(here).any(|node| node.role == "replica");
    status.phase == "managed"
        && (status.durability == "lossless" || is_alone && !away.is_empty())
        && status.writer_open
        && status.operation.is_empty()
        && status.nodes.iter().filter(here).all(|node| node.node_answers && well(node))
}
