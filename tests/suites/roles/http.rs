//! What each node says of its server over HTTP.

use anyhow::{Result, ensure};
use baton_tests::cluster::{Cluster, ClusterOptions, Layout};
use baton_tests::on_both;
use baton_tests::sandbox::{Dialect, Hosts, until};

use super::{SOON, switchover};

on_both!(roles_follow_the_writer, mysql_roles_follow_the_writer, mariadb_roles_follow_the_writer);

async fn roles_follow_the_writer(dialect: Dialect) -> Result<()> {
    let cluster =
        Cluster::observing(ClusterOptions::patient(dialect).layout(Layout::TwoServersAndWitness)).await?;
    says(&cluster, "db1", "/primary", 503, "the cluster is not adopted").await?;
    cluster.ctl().adopt("db1").await?;
    cluster.settled().await?;
    for to in ["db1", "db2"] {
        if to != "db1" {
            switchover(&cluster, to).await?;
            cluster.settled().await?;
        }
        let other = if to == "db1" { "db2" } else { "db1" };
        says(&cluster, to, "/primary", 200, "\"lease_left_ms\":").await?;
        says(&cluster, other, "/primary", 503, &format!("{to} is the writer")).await?;
        says(&cluster, to, "/replica", 503, "is the writer").await?;
        says(&cluster, other, "/replica?lag=5s", 200, "\"lag_ms\":").await?;
    }
    says(&cluster, "app1", "/primary", 503, "no server is beside this node").await?;
    says(&cluster, "app1", "/replica", 503, "has no server").await?;
    says(&cluster, "app1", "/ready", 200, "\"ready\":true").await?;
    let _holding = cluster.held_up(&["db1"]).await?;
    says(&cluster, "db1", "/replica?lag=2s", 503, "behind, more than 2.0 s").await
}

/// Nobody can tell a writer that is cut off that it is none any more: it says so by itself, before another one is open.
#[tokio::test]
async fn a_writer_that_is_cut_off_says_no_before_there_is_another() -> Result<()> {
    if let Err(reason) = Hosts::available() {
        eprintln!("skipped: {reason}");
        return Ok(());
    }
    let cluster = Cluster::managed(ClusterOptions::patient(Dialect::MySql)).await?;
    says(&cluster, "db1", "/primary", 200, "\"fit\":true").await?;
    let host = cluster.host("db1")?.clone();
    host.cut().await?;
    let mut two = false;
    let looking = async || {
        let mut another = false;
        for name in ["db2", "db3"] {
            another |= cluster.page(name, "/primary").await?.0 == 200;
        }
        // Asked last: a yes after another one's is two at once.
        let still = another && cluster.page_seen_from(&host, "db1", "/primary").await?.0 == 200;
        two |= still;
        Ok(another.then_some(()))
    };
    until("another node to call its server the writer", SOON, looking)
        .await
        .map_err(|error| cluster.explained(error))?;
    ensure!(!two, "two servers were called the writer at once");
    let (code, body) = cluster.page_seen_from(&host, "db1", "/primary").await?;
    ensure!(code == 503 && body.contains("its lease has run out"), "{code} {body}");
    host.heal().await
}

/// Waits until a node answers so.
pub(super) async fn says(cluster: &Cluster, node: &str, path: &str, code: u16, words: &str) -> Result<()> {
    let look = async || {
        let (found, body) = cluster.page(node, path).await?;
        ensure!(found == code && body.contains(words), "{node}{path}: {found} {body}, not {code} {words}");
        Ok(Some(()))
    };
    until("a node's word", SOON, look).await.map_err(|error| cluster.explained(error))
}

/// What Prometheus is told by a node.
pub(super) async fn metrics(cluster: &Cluster, node: &str) -> Result<String> {
    Ok(cluster.page(node, "/metrics").await?.1)
}
