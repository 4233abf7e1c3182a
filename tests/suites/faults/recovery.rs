//! The majority is gone for good, and a person follows docs/runbook.md.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use baton_proto::control::{NodeStatus, StatusReply};
use baton_tests::cluster::{Cluster, ClusterOptions, DirectWriters, Layout, PEER_PORT, is_open};
use baton_tests::sandbox::{Dialect, Ledger, LedgerOptions, SERVER_PORT, Server, until, within};
use rustix::process::Signal;
use tokio::io::AsyncWriteExt as _;

use super::{SOON, fault};

/// From the loss of the majority to the first write after it.
const WRITABLE: Duration = Duration::from_secs(120);
/// `baton-node recover` asks the server beside it, and that is all it waits for.
const COMMAND: Duration = Duration::from_secs(30);
/// A node that has joined catches up, or is judged.
const JOINS: Duration = Duration::from_secs(60);
const ROWS: usize = 50;

fault!(majority_gone: mysql mysql_majority_gone, mariadb mariadb_majority_gone);

/// The writer's host and the witness are destroyed. The replica that is left goes on alone by hand; the old writer comes
/// back with all that it had, stays closed and out, and joins again as a new node.
async fn majority_gone(_name: &'static str, dialect: Dialect) -> Result<()> {
    let options = ClusterOptions::new(dialect).layout(Layout::TwoServersAndWitness);
    let mut cluster = Cluster::managed(options).await?;
    cluster.pre_flight().await?;
    let mut ledger = cluster.ledger(&["db1", "app1"], LedgerOptions::default());
    let mut direct = DirectWriters::start(&cluster);
    writes_go_on(&ledger, SOON).await?;

    let begun = Instant::now();
    destroy(&mut cluster).await?;
    recovered(&mut cluster).await?;
    writes_go_on(&ledger, WRITABLE).await.map_err(|error| cluster.explained(error))?;
    ensure!(begun.elapsed() < WRITABLE, "writable after {:?}", begun.elapsed());
    println!("writable again after {} ms", begun.elapsed().as_millis());
    let status = cluster.ctl().status().await?;
    ensure!(status.writer == "db2" && status.epoch > 1000 && status.voters == 1, "{status:#?}");
    ensure!(node(&status, "db1")?.health == "down" && node(&status, "app1")?.role == "left behind");

    returns(&mut cluster).await?;
    ledger.stop().await;
    direct.stop().await;
    direct.one_after_the_other("db1", 1, &cluster.ctl().history(20).await?)?;
    let found = ledger.found(cluster.server("db2")?).await?;
    ensure!(found.lost.is_empty() && found.refused.is_empty() && found.doubled == 0, "{found:?}");

    opened_by_hand_is_closed(&mut cluster).await.map_err(|error| cluster.explained(error))?;
    joins_again(&mut cluster).await
}

async fn destroy(cluster: &mut Cluster) -> Result<()> {
    cluster.server("db1")?.kill(Signal::KILL)?;
    for name in ["db1", "app1"] {
        cluster.node_mut(name)?.kill().await?;
    }
    cluster.node("db1")?.signal_keeper(Signal::KILL)?;
    cluster.server_mut("db1")?.wait_exit(SOON).await?;
    empty_state(cluster, "app1")
}

/// The steps of the runbook on db2, and the ways to go wrong in between.
async fn recovered(cluster: &mut Cluster) -> Result<()> {
    let lost = async || {
        let status = cluster.ctl().status().await?;
        ensure!(status.warnings.iter().any(|w| w.starts_with("QuorumLost")), "{:?}", status.warnings);
        Ok(Some(()))
    };
    until("the loss of the majority to be told", SOON, lost).await?;
    refused(cluster, &[], "shop", "baton-node runs on this host").await?;
    cluster.node_mut("db2")?.terminate().await?;

    let (done, said) = recover(cluster, &["--dry-run"], "").await?;
    ensure!(done && said.contains("nothing was changed"), "{said}");
    for word in ["last entry", "lossless, acked by db2", "none up to entry", "may still run", "epoch 1001"] {
        ensure!(said.contains(word), "{word} is not in: {said}");
    }
    refused(cluster, &[], "shop2", "nothing was changed").await?;
    refused(cluster, &["--yes-i-mean", "db2"], "", "nothing was changed").await?;
    let (done, said) = recover(cluster, &[], "shop").await?;
    ensure!(done && said.contains("done: generation 2"), "{said}");
    refused(cluster, &[], "shop", "is not a member of the group").await?;
    cluster.node_mut("db2")?.start()
}

/// `baton-node recover` on db2, and the name that is typed.
async fn recover(cluster: &Cluster, more: &[&str], typed: &str) -> Result<(bool, String)> {
    let wish = ["recover", "--keep", "db2", "--drop", "db1,app1", "--reason", "both hosts are destroyed"];
    let mut command = cluster.node("db2")?.tool(&[&wish[..], more].concat());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn()?;
    // It may end before it asks.
    let _ = process.stdin.take().context("no stdin")?.write_all(format!("{typed}\n").as_bytes()).await;
    let output = within("baton-node recover", COMMAND, process.wait_with_output()).await?;
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    Ok((output.status.success(), said.into_owned()))
}

async fn refused(cluster: &Cluster, more: &[&str], typed: &str, why: &str) -> Result<()> {
    let (done, said) = recover(cluster, more, typed).await?;
    ensure!(!done && said.contains(why), "{why} is not in: {said}");
    Ok(())
}

/// The old writer's host is back, with its data and with Baton's memory of the old group.
async fn returns(cluster: &mut Cluster) -> Result<()> {
    cluster.server_mut("db1")?.start().await?;
    cluster.node_mut("db1")?.start()?;
    let said = "db1 was left behind when the group was recovered (generation 2)";
    let look = async || {
        let answer = cluster.ctl().status_of(cluster.host("db1")?).await.err().context("it answers")?;
        let answer = format!("{answer:#}");
        ensure!(answer.contains(said) && answer.contains("batonctl node add db1"), "{answer}");
        Ok(Some(()))
    };
    until("db1 to say that it was left behind", SOON, look).await.map_err(|e| cluster.explained(e))?;
    let status = cluster.reaches("db1 to be shown closed", SOON, |status| {
        node(status, "db1").is_ok_and(|db1| db1.role == "left behind" && db1.server_answers && !db1.open)
    });
    ensure!(node(&status.await?, "db1")?.note == "its server is closed");
    Ok(())
}

/// By its own node; and, where that is gone as well, by the leader. A restart of the node forgets nothing.
async fn opened_by_hand_is_closed(cluster: &mut Cluster) -> Result<()> {
    open(cluster.server("db1")?).await?;
    closes(cluster, "db1's node").await?;
    cluster.node_mut("db1")?.restart().await?;
    open(cluster.server("db1")?).await?;
    closes(cluster, "db1's node, started again").await?;
    cluster.node_mut("db1")?.kill().await?;
    cluster.node("db1")?.signal_keeper(Signal::KILL)?;
    open(cluster.server("db1")?).await?;
    closes(cluster, "the leader").await
}

/// Its session may be ended before its answer: whoever closes the server ends all of them.
async fn open(server: &Server) -> Result<()> {
    let opened = match server.dialect() {
        Dialect::MySql => server.execute(["SET GLOBAL super_read_only = OFF, GLOBAL read_only = OFF"]).await,
        Dialect::MariaDb => server.execute(["SET GLOBAL read_only = OFF"]).await,
    };
    match opened {
        Err(error) if format!("{error:#}").contains("Broken pipe") => Ok(()),
        opened => opened,
    }
}

async fn closes(cluster: &Cluster, by: &str) -> Result<()> {
    let server = cluster.server("db1")?;
    let look = async || Ok((!is_open(server).await?).then_some(()));
    until(&format!("{by} to close a server that was left behind"), SOON, look).await
}

/// As a new node, with an empty state directory. What became of its server's own transactions decides whether it follows.
async fn joins_again(cluster: &mut Cluster) -> Result<()> {
    empty_state(cluster, "db1")?;
    cluster.node_mut("db1")?.start()?;
    let address = cluster.host("db1")?.address();
    let (peer, server) = (format!("{address}:{PEER_PORT}"), format!("{address}:{SERVER_PORT}"));
    let add = async || {
        // Given again after it was done, it is refused.
        let given = ctl(cluster, &["node", "add", "db1", "--peer", &peer, "--server", &server]).await;
        let role = node(&cluster.ctl().status().await?, "db1")?.role.clone();
        ensure!(role != "left behind", "{given:?}");
        Ok(Some(()))
    };
    until("db1 to join", SOON, add).await.map_err(|error| cluster.explained(error))?;
    let remove = async || {
        // The leadership moves away from the writer's host meanwhile.
        let given = ctl(cluster, &["node", "remove", "app1"]).await;
        let status = cluster.ctl().status().await?;
        ensure!(node(&status, "app1").is_err(), "{given:?}");
        Ok(Some(()))
    };
    until("app1 to be forgotten", SOON, remove).await.map_err(|error| cluster.explained(error))?;
    let status = cluster.reaches("db1 to follow or to be out", JOINS, |status| {
        let follows = |db1: &NodeStatus| db1.role == "out" || db1.role == "replica" && db1.replicating;
        status.voters == 2 && node(status, "app1").is_err() && node(status, "db1").is_ok_and(follows)
    });
    ensure!(status.await?.writer == "db2", "the writer has moved");
    Ok(())
}

async fn ctl(cluster: &Cluster, arguments: &[&str]) -> Result<()> {
    let output = within(&arguments.join(" "), JOINS, cluster.ctl().command(arguments).output()).await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn empty_state(cluster: &Cluster, name: &str) -> Result<()> {
    let data = cluster.host(name)?.folder().join("baton/data");
    for entry in fs::read_dir(&data)? {
        fs::remove_file(entry?.path())?;
    }
    Ok(())
}

async fn writes_go_on(ledger: &Ledger, bound: Duration) -> Result<()> {
    let before = ledger.acknowledged();
    let more = async || Ok((ledger.acknowledged() >= before + ROWS).then_some(()));
    until("more acknowledged writes", bound, more).await
}

fn node<'a>(status: &'a StatusReply, name: &str) -> Result<&'a NodeStatus> {
    status.nodes.iter().find(|node| node.name == name).with_context(|| format!("{name} is not in {status:?}"))
}
