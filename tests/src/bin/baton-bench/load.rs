//! What measurements under load have in common: how sessions write, when a cluster is ready, what the rows say after it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use baton_tests::cluster::{Cluster, executed};
use baton_tests::sandbox::{Ledger, LedgerOptions, Server, until};
use jiff::Timestamp;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use tokio::time::sleep;

const SOON: Duration = Duration::from_secs(10);
/// Sessions are all connected and caches warm.
const WARM_UP: Duration = Duration::from_millis(1500);
/// Longer than every period in the cluster: heartbeats, renewals, probes.
const RANDOM_WITHIN_MS: u64 = 1000;
/// How long a replica whose host was away may take to apply what it missed, on a disk that three servers share.
const CAUGHT_UP: Duration = Duration::from_secs(120);

/// How the sessions write: each a row every 20 ms, or as fast as answers come.
pub(crate) fn options(unpaced: bool) -> LedgerOptions {
    let options = LedgerOptions::default();
    LedgerOptions { pace: options.pace.filter(|_| !unpaced), ..options }
}

/// What the name of a measurement says about it.
pub(crate) fn named(unpaced: bool) -> &'static str {
    if unpaced { ", unpaced" } else { "" }
}

/// Until the sessions are warm, and then to a random moment.
pub(crate) async fn random_moment() {
    sleep(WARM_UP + Duration::from_millis(rand::random_range(0..RANDOM_WITHIN_MS))).await;
}

/// Waits for more acknowledged writes.
pub(crate) async fn goes_on(ledger: &Ledger) -> Result<()> {
    let before = ledger.acknowledged();
    let more = async || Ok((ledger.acknowledged() >= before + 50).then_some(()));
    until("acknowledged writes", SOON, more).await
}

/// Compares the rows of a ledger that was stopped with those of a server, and counts the lost ones.
pub(crate) async fn compare(ledger: &Ledger, server: &Server, lost: &mut usize) -> Result<()> {
    let found = ledger.found(server).await?;
    *lost += found.lost.len();
    ensure!(found.refused.is_empty() && found.doubled == 0, "refused or doubled rows: {found:?}");
    Ok(())
}

/// Every replica is connected to the writer as an acker: a figure for "another acker lives" needs one that does.
pub(crate) async fn all_acknowledge(cluster: &Cluster, writer: &str) -> Result<()> {
    let replicas: Vec<&Server> =
        cluster.data_nodes().filter(|n| *n != writer).map(|n| cluster.server(n)).collect::<Result<_>>()?;
    let writer = cluster.server(writer)?;
    let connected = async || {
        let dumps = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE COMMAND LIKE 'Binlog Dump%'";
        if writer.query::<usize>(dumps).await? != [replicas.len()] {
            return Ok(None);
        }
        for replica in &replicas {
            let on = "SHOW GLOBAL STATUS WHERE Value = 'ON' AND Variable_name IN \
                      ('Rpl_semi_sync_replica_status', 'Rpl_semi_sync_slave_status')";
            if replica.query::<(String, String)>(on).await?.is_empty() {
                return Ok(None);
            }
        }
        Ok(Some(()))
    };
    until("every replica to acknowledge", SOON, connected).await
}

/// Every replica has applied what the writer has: while it still receives what it missed, it acknowledges nothing new.
pub(crate) async fn all_caught_up(cluster: &Cluster, writer: &str) -> Result<()> {
    let look = async || {
        let upto = executed(cluster.server(writer)?).await?;
        for name in cluster.data_nodes().filter(|name| *name != writer) {
            if !executed(cluster.server(name)?).await?.contains(&upto)? {
                return Ok(None);
            }
        }
        Ok(Some(()))
    };
    until("every replica to catch up", CAUGHT_UP, look).await
}

/// Connections to the replicas, open beforehand: how far each is behind at one moment.
pub(crate) struct Lags {
    replicas: Vec<(&'static str, Conn)>,
}

impl Lags {
    pub(crate) async fn prepare(cluster: &Cluster, writer: &str) -> Result<Self> {
        let mut replicas = Vec::new();
        for name in cluster.data_nodes().filter(|name| *name != writer) {
            let server: &Server = cluster.server(name)?;
            replicas.push((name, server.connect().await?));
        }
        Ok(Self { replicas })
    }

    /// The age of the newest row that each replica shows, in milliseconds.
    pub(crate) async fn read(&mut self) -> Result<Vec<(&'static str, f64)>> {
        let mut lags = Vec::new();
        for (name, connection) in &mut self.replicas {
            let newest: Option<u64> =
                connection.query_first("SELECT at_us FROM app.writes ORDER BY id DESC LIMIT 1").await?;
            let now = Timestamp::now().as_microsecond() as f64;
            lags.push((*name, (now - newest.context("a replica without a row")? as f64) / 1000.0));
        }
        Ok(lags)
    }
}
