//! `batonctl node`: nodes that come, go, and lose their memory.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use baton_tests::cluster::{Cluster, ClusterOptions, PEER_PORT};
use baton_tests::sandbox::{Dialect, LedgerOptions, SERVER_PORT, until};

use rustix::process::Signal;

use crate::{REFUSED, SOON, ctl, done, has, patient};

#[tokio::test]
async fn a_node_is_added_loses_its_store_and_is_removed() -> Result<()> {
    let options = ClusterOptions { spare_hosts: 1, ..patient(Dialect::MariaDb) };
    let mut cluster = Cluster::managed(options).await?;
    // Few writes: a server that was away for half a minute has to catch up.
    let pace = Some(Duration::from_millis(100));
    let options = LedgerOptions { sessions: 2, pace, ..LedgerOptions::default() };
    let mut ledger = cluster.ledger(&[], options);
    cluster.prepare_node("db4", "db1").await?;
    waits_to_be_added(&cluster).await?;
    add(&cluster).await?;
    let status = cluster.settled().await?;
    ensure!(status.voters == 4 && status.nodes.len() == 4, "{status:#?}");

    let (code, said) = ctl(&cluster, &["node", "add", "db4", "--peer", "10.0.0.1:1"]).await?;
    ensure!(code == REFUSED, "added twice: {code}: {said}");
    let (code, said) = ctl(&cluster, &["node", "remove", "db1"]).await?;
    ensure!(code == REFUSED, "removed the writer: {code}: {said}");
    has(&said, &["db1", "holds the grant", "move the writer first"])?;

    lose_store(&mut cluster).await?;
    waits_to_be_added(&cluster).await?;
    // Its server acknowledges on, and its node no longer knows to whom: nobody can tell it to stop.
    let (code, said) = ctl(&cluster, &["node", "remove", "db4"]).await?;
    ensure!(code == REFUSED, "removed an acker: {code}: {said}");
    has(&said, &["db4 is an acker", "stop the server there"])?;
    cluster.server("db4")?.kill(Signal::TERM)?;
    cluster.server_mut("db4")?.wait_exit(SOON).await?;
    remove(&cluster).await.context("with its store lost")?;
    cluster.server_mut("db4")?.start().await?;
    add(&cluster).await?;
    cluster.settled().await?;

    remove(&cluster).await?;
    let status = cluster.reaches("the cluster without db4", SOON, |status| {
        status.voters == 3 && status.nodes.iter().all(|node| node.name != "db4")
    });
    ensure!(status.await?.writer == "db1", "the writer moved");
    let (code, said) = ctl(&cluster, &["node", "remove", "db4"]).await?;
    ensure!(code == REFUSED, "removed twice: {code}: {said}");
    cluster.settled_without(&["db4"]).await?;
    ledger.stop().await;
    let found = ledger.found(cluster.server("db1")?).await?;
    ensure!(found.lost.is_empty() && ledger.acknowledged() > 100, "{found:?}");
    Ok(())
}

async fn add(cluster: &Cluster) -> Result<()> {
    let address = cluster.host("db4")?.address();
    let (peer, server) = (format!("{address}:{PEER_PORT}"), format!("{address}:{SERVER_PORT}"));
    let said = done(cluster, &["node", "add", "db4", "--peer", &peer, "--server", &server]).await?;
    has(&said, &["db4 is a member"])
}

/// Given again while the leader itself is the one that goes.
async fn remove(cluster: &Cluster) -> Result<()> {
    // The server that was stopped counts as gone after three leases.
    let given = async || done(cluster, &["node", "remove", "db4"]).await.map(Some);
    let said = until("the removal", 3 * SOON, given).await.map_err(|error| cluster.explained(error))?;
    has(&said, &["db4 is no member"])
}

/// It says what it is missing, in its log and to whoever asks it.
async fn waits_to_be_added(cluster: &Cluster) -> Result<()> {
    let words = ["store is new", "batonctl node remove db4", "batonctl node add db4"];
    let host = cluster.host("db4")?;
    let look = async || {
        has(&cluster.node("db4")?.log_tail(), &words)?;
        let status = cluster.ctl().status_of(host).await?;
        has(&format!("{:?}", status.warnings), &words)?;
        Ok(Some(()))
    };
    until("db4 to say that its store is new", SOON, look).await
}

async fn lose_store(cluster: &mut Cluster) -> Result<()> {
    let node = cluster.node_mut("db4")?;
    node.kill().await?;
    node.lose_store()?;
    fs::write(node.log(), "")?;
    node.start()
}
