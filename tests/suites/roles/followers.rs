//! A server without a node, declared by `[[replica]]`: it follows each writer, is never one, and delays nothing.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use baton_proto::control::{NodeStatus, StatusReply};
use baton_tests::cluster::{Cluster, ClusterOptions};
use baton_tests::on_both;
use baton_tests::sandbox::{Dialect, LedgerOptions, Server, replication, until};
use rustix::process::Signal;

use super::http::metrics;
use super::{SOON, switchover, writes_go_on};

/// A quarter of what a ledger writes by default. Four servers share a disk here, and MariaDB applies one commit after the
/// other: under more, a replica is never close enough behind for a switchover to be gone through with.
const PACE: Duration = Duration::from_millis(80);

on_both!(follows_every_writer, mysql_follows_every_writer, mariadb_follows_every_writer);

async fn follows_every_writer(dialect: Dialect) -> Result<()> {
    let (mut cluster, etl) = with_replica(dialect).await?;
    cluster.pre_flight().await?;
    let mut ledger = cluster.ledger(&[], LedgerOptions { pace: Some(PACE), ..LedgerOptions::default() });
    writes_go_on(&cluster, &ledger).await?;
    follows(&cluster, "db1").await?;
    let acks = match dialect {
        Dialect::MySql => "SELECT @@GLOBAL.rpl_semi_sync_replica_enabled",
        Dialect::MariaDb => "SELECT @@GLOBAL.rpl_semi_sync_slave_enabled",
    };
    let look = async || Ok((etl.query::<bool>(acks).await? == [false]).then_some(()));
    until("it to acknowledge nothing", SOON, look).await.map_err(|error| cluster.explained(error))?;

    switchover(&cluster, "db2").await?;
    follows(&cluster, "db2").await?;
    writes_go_on(&cluster, &ledger).await?;

    // Without load: one that does not acknowledge may receive what no acker did, and could not follow the next writer.
    ledger.stop().await;
    cluster.post_check(&ledger, &[]).await?;
    cluster.server("db2")?.kill(Signal::KILL)?;
    let after = cluster.moved_from("db2").await?;
    follows(&cluster, &after.writer).await?;
    cluster.server(&after.writer)?.execute(["CREATE TABLE app.later (id INT PRIMARY KEY)"]).await?;
    cluster.power_on("db2").await?;
    cluster.post_check(&ledger, &[]).await?;
    let look = async || {
        let found = ledger.found(&etl).await?;
        ensure!(found.lost.is_empty() && found.doubled == 0, "{found:?}");
        let later: Vec<String> = etl.query("SHOW TABLES FROM app LIKE 'later'").await?;
        Ok((later.len() == 1).then_some(()))
    };
    until("everything on the replica without a node", SOON, look).await?;
    let leader = cluster.settled().await?.leader;
    let text = metrics(&cluster, &leader).await?;
    ensure!(text.contains("baton_replica_lag_seconds{cluster=\"shop\",node=\""), "{text}");

    etl.execute([stop_applier(dialect)]).await?;
    shows(&cluster, "it stands still", |etl, _| !etl.replicating && etl.health != "down").await?;
    drop(etl);
    let status = shows(&cluster, "it is gone", |etl, _| etl.health == "down").await?;
    nobody_minds(&status)?;

    let began = Instant::now();
    switchover(&cluster, "db2").await?;
    cluster.settled().await?;
    let took = began.elapsed();
    let most = Duration::from_secs(20) + cluster.stood_still(began);
    ensure!(took < most, "one that is away delayed a switchover: {took:?}");
    Ok(())
}

/// The spare host's server, attached to db1 by hand once the cluster is managed; it acknowledges, which nobody asked of it.
async fn with_replica(dialect: Dialect) -> Result<(Cluster, Server)> {
    let options = ClusterOptions { spare_hosts: 1, replica: Some("etl"), ..ClusterOptions::patient(dialect) };
    let cluster = Cluster::managed(options).await?;
    let status = shows(&cluster, "a replica that is not there", |etl, _| etl.health == "down").await?;
    nobody_minds(&status)?;
    let host = cluster.sandbox().hosts().last().context("no spare host")?;
    let mut etl = cluster.sandbox().create_server(host, 77).await?;
    etl.start().await?;
    replication::follow(&etl, cluster.server("db1")?, true).await?;
    Ok((cluster, etl))
}

/// A replica without a node is none of the cluster's.
fn nobody_minds(status: &StatusReply) -> Result<()> {
    let minds = status.warnings.iter().find(|warning| warning.contains("etl"));
    ensure!(minds.is_none(), "the cluster minds: {minds:?}");
    Ok(())
}

async fn follows(cluster: &Cluster, writer: &str) -> Result<StatusReply> {
    shows(cluster, &format!("it to follow {writer}"), |etl, _| {
        etl.replicating && etl.follows == writer && !etl.acker && !etl.candidate && etl.note.is_empty()
    })
    .await
}

async fn shows(
    cluster: &Cluster,
    what: &str,
    condition: impl Fn(&NodeStatus, &StatusReply) -> bool,
) -> Result<StatusReply> {
    cluster
        .reaches(what, SOON, |status| {
            let etl = status.nodes.iter().find(|node| node.name == "etl");
            etl.is_some_and(|etl| etl.role == "follower" && condition(etl, status))
        })
        .await
}

/// The statement that stops what applies.
fn stop_applier(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::MySql => "STOP REPLICA SQL_THREAD",
        Dialect::MariaDb => "STOP SLAVE SQL_THREAD",
    }
}
