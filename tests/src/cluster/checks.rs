//! What has to be true before a scenario and after it, asked of Baton and of the servers themselves.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use baton_node::gtid::GtidSet;
use baton_proto::control::StatusReply;

use super::Cluster;
use crate::sandbox::{Dialect, Ledger, Server, replication, until};

/// How long replicas may take to apply the last writes, on a disk that others keep busy; a file system of a test's own is
/// slower still.
const CAUGHT_UP: Duration = Duration::from_secs(60);
/// How long Baton may take to judge a server that returned.
const JUDGED: Duration = Duration::from_secs(45);
/// How long a writer may take to commit what its ackers have applied already.
const COMMITTED: Duration = Duration::from_secs(5);

/// Variables that count transactions, and change by themselves.
const COUNTERS: [&str; 7] = [
    "gtid_executed",
    "gtid_owned",
    "gtid_purged",
    "gtid_binlog_pos",
    "gtid_binlog_state",
    "gtid_current_pos",
    "gtid_slave_pos",
];

/// Of a server that must not be a replica.
pub(super) const ADMITTED: &str = "was admitted with transactions of its own";

/// What became of a writer that lost its role and came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReturnOfOldWriter {
    /// It had nothing that the new writer lacks, and follows it.
    Follows,
    /// It had these transactions of its own, and is out.
    Quarantined(String),
}

impl Cluster {
    /// The check before a fault: Baton calls the cluster settled, the servers agree, and every replica has what the writer
    /// has. Returns the status.
    ///
    /// # Errors
    /// What is not as it should be.
    pub async fn pre_flight(&self) -> Result<StatusReply> {
        let status = self.settled().await?;
        self.servers_agree(&status, &[]).await.context("before the fault")?;
        self.applied_everywhere(&status.writer).await.context("before the fault")?;
        Ok(status)
    }

    /// Waits until every other data node's server has applied what the writer has committed by now: what made the cluster
    /// may still be on its way to a replica that is connected, and would be taken for what the scenario does.
    ///
    /// # Errors
    /// When one does not in time; the message has what it says of its replication.
    pub async fn applied_everywhere(&self, writer: &str) -> Result<()> {
        let committed = executed(self.server(writer)?).await?;
        for name in self.data_nodes().filter(|name| *name != writer) {
            let server = self.server(name)?;
            let look = async || {
                let missing = committed.subtract(&executed(server).await?)?;
                ensure!(missing.is_empty(), "it has yet to apply {missing}");
                Ok(Some(()))
            };
            if let Err(error) = until("a replica to apply everything", CAUGHT_UP, look).await {
                return Err(error.context(format!("{name} says: {}", replication::explained(server).await)));
            }
        }
        Ok(())
    }

    /// The check after a fault and its end: the roles are settled, replication runs, no acknowledged row is lost, no
    /// refused row is there, on the writer and on every replica; only the writer is open. The nodes named may be out.
    ///
    /// # Errors
    /// What is not as it should be.
    pub async fn post_check(&self, ledger: &Ledger, out: &[&str]) -> Result<StatusReply> {
        let status = self.settled_without(out).await?;
        let checks = async {
            self.servers_agree(&status, out).await?;
            self.rows_are_right(&status.writer, ledger).await?;
            for name in self.data_nodes().filter(|name| *name != status.writer && !out.contains(name)) {
                let look = async || {
                    self.rows_are_right(name, ledger).await?;
                    Ok(Some(()))
                };
                if let Err(error) = until("a replica to have every row", CAUGHT_UP, look).await {
                    let said = replication::explained(self.server(name)?).await;
                    return Err(error.context(format!("{name} says: {said}")));
                }
            }
            Ok(())
        };
        checks.await.map_err(|error: anyhow::Error| self.explained(error.context("after the fault")))?;
        Ok(status)
    }

    /// The global variables of every server that runs, by its host and their names, without those that only count.
    ///
    /// # Errors
    /// When one cannot be asked.
    pub async fn settings(&self) -> Result<BTreeMap<(String, String), String>> {
        let mut all = BTreeMap::new();
        for server in self.servers().iter().filter(|server| server.pid().is_some()) {
            let variables: Vec<(String, String)> = server.query("SHOW GLOBAL VARIABLES").await?;
            let set = variables.into_iter().filter(|(name, _)| !COUNTERS.contains(&name.as_str()));
            all.extend(set.map(|(name, value)| ((server.host().name().to_owned(), name), value)));
        }
        Ok(all)
    }

    /// The rows that were acknowledged are the rows that this node's server has.
    pub(super) async fn rows_are_right(&self, name: &str, ledger: &Ledger) -> Result<()> {
        let found = ledger.found(self.server(name)?).await?;
        ensure!(
            found.lost.is_empty() && found.refused.is_empty() && found.doubled == 0,
            "{name}: {} rows, acknowledged and lost {:?}, refused and there {:?}, doubled {}",
            found.rows,
            found.lost,
            found.refused,
            found.doubled
        );
        Ok(())
    }

    /// The writer alone is open, and the others stream from it.
    async fn servers_agree(&self, status: &StatusReply, out: &[&str]) -> Result<()> {
        for name in self.data_nodes() {
            let server = self.server(name)?;
            if out.contains(&name) && server.pid().is_none() {
                continue;
            }
            let open = is_open(server).await?;
            ensure!(
                open == (name == status.writer),
                "{name}: open is {open}, and the writer is {}",
                status.writer
            );
            if name != status.writer && !out.contains(&name) {
                replication::streaming(server).await?;
            }
        }
        Ok(())
    }

    /// Waits until Baton has judged a writer that lost its role, was started again and has its network back, and says
    /// whether it judged as it should by the transactions of both.
    ///
    /// # Errors
    /// When it admitted a server with transactions of its own, quarantined one without, or did neither in time.
    pub async fn old_writer_returns(&self, old: &str) -> Result<ReturnOfOldWriter> {
        let judged = self.reaches("the old writer to be judged", JUDGED, |status| {
            if !status.writer_open {
                return false;
            }
            let node = status.nodes.iter().find(|node| node.name == old);
            node.is_some_and(|node| {
                node.role == "out" || (node.role == "replica" && node.acker && node.replicating)
            })
        });
        let status = judged.await?;
        let is_out = status.nodes.iter().any(|node| node.name == old && node.role == "out");
        // The old one first: what the writer commits meanwhile is no fault of it.
        let of_old = executed(self.server(old)?).await?;
        let mut of_writer = executed(self.server(&status.writer)?).await?;
        let mut extra = of_old.subtract(&of_writer)?;
        // An acker applies what its writer has in the binlog, and the writer commits that once it is acknowledged.
        let committed_by = Instant::now() + COMMITTED;
        while !is_out && !extra.is_empty() && Instant::now() < committed_by {
            of_writer = executed(self.server(&status.writer)?).await?;
            extra = of_old.subtract(&of_writer)?;
        }
        match (extra.is_empty(), is_out) {
            (true, false) => Ok(ReturnOfOldWriter::Follows),
            (false, true) => Ok(ReturnOfOldWriter::Quarantined(extra.to_string())),
            (true, true) => bail!("{old} has nothing of its own and is out: {of_old} in {of_writer}"),
            (false, false) => bail!("{old} {ADMITTED}: {extra}"),
        }
    }

    /// The same for checks that follow: who may be out. A writer that was killed under load may have a commit that nobody
    /// else received.
    ///
    /// # Errors
    /// As [`Cluster::old_writer_returns`].
    pub async fn out_after_return<'a>(&self, old: &'a str) -> Result<Vec<&'a str>> {
        Ok(match self.old_writer_returns(old).await? {
            ReturnOfOldWriter::Follows => Vec::new(),
            ReturnOfOldWriter::Quarantined(extra) => {
                eprintln!("{old} is out, it alone has {extra}");
                vec![old]
            }
        })
    }
}

/// Whether a server accepts writes.
///
/// # Errors
/// When it cannot be asked.
pub async fn is_open(server: &Server) -> Result<bool> {
    let rows: Vec<bool> = server.query("SELECT NOT @@GLOBAL.read_only").await?;
    rows.first().copied().context("no answer")
}

/// The GTID set of what a server has committed, who wrote it included.
///
/// # Errors
/// When it cannot be asked.
pub async fn executed(server: &Server) -> Result<GtidSet> {
    let query = match server.dialect() {
        Dialect::MySql => "SELECT @@GLOBAL.gtid_executed",
        Dialect::MariaDb => "SELECT @@GLOBAL.gtid_binlog_state",
    };
    let rows: Vec<String> = server.query(query).await?;
    let text = rows.first().context("no answer")?;
    Ok(match server.dialect() {
        Dialect::MySql => GtidSet::parse_mysql(text)?,
        Dialect::MariaDb => GtidSet::parse_mariadb_state(text)?,
    })
}
