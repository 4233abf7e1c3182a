//! The primary's server is killed and no replica is fit: how soon is the same server open again?

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use baton_tests::cluster::Cluster;
use baton_tests::sandbox::{LedgerOptions, Server, until};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use rustix::process::Signal;
use tokio::time::sleep;

use crate::load::goes_on;

const SOON: Duration = Duration::from_secs(10);
const START: Duration = Duration::from_secs(60);

/// One run. Returns the milliseconds from the first connection that the server accepts to the moment it is open, and how
/// many acknowledged rows were lost.
pub(crate) async fn run(cluster: &mut Cluster) -> Result<(f64, usize)> {
    let status = cluster.settled().await?;
    let replica = cluster.data_nodes().find(|name| *name != status.writer).context("no replica")?;
    let mut ledger = cluster.ledger(&[], LedgerOptions::default());
    goes_on(&ledger).await?;
    cluster.server(replica)?.kill(Signal::KILL)?;
    cluster.server_mut(replica)?.wait_exit(SOON).await?;
    cluster.reaches("the writer to go on alone", SOON, |status| status.durability == "degraded").await?;
    goes_on(&ledger).await?;
    // The fault comes at a random moment.
    sleep(Duration::from_millis(rand::random_range(0..1000))).await;

    let writer = cluster.server_mut(&status.writer)?;
    writer.kill(Signal::KILL)?;
    writer.wait_exit(SOON).await?;
    writer.launch()?;
    let mut connection =
        until("the server to accept connections", START, async || Ok(Some(writer.connect().await?))).await?;
    let accepts = Instant::now();
    until("the server to be open", SOON, async || {
        let open = is_open(&mut connection).await;
        if open.is_err() {
            // Baton ends sessions of a server that it closes.
            connection = reconnect(writer).await?;
        }
        Ok(open?.then_some(()))
    })
    .await?;
    let open_after = accepts.elapsed();
    writer.ready().await?;
    goes_on(&ledger).await?;
    ledger.stop().await;
    let found = ledger.found(writer).await?;

    cluster.server_mut(replica)?.start().await?;
    cluster.settled().await?;
    Ok((open_after.as_secs_f64() * 1000.0, found.lost.len()))
}

async fn is_open(connection: &mut Conn) -> Result<bool> {
    connection.query_first("SELECT NOT @@GLOBAL.read_only").await?.context("no answer")
}

async fn reconnect(server: &Server) -> Result<Conn> {
    server.connect().await
}
