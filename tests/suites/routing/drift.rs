//! Instances that were wiped, changed by hand, or do not answer; and what is not Baton's.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use baton_tests::cluster::{Cluster, ClusterOptions};
use baton_tests::proxysql::ProxySql;
use baton_tests::sandbox::{Dialect, until};
use rustix::process::Signal;

use crate::support::{SOON, leads_to, placed, was_right_throughout};

/// How soon an instance is right again.
const RIGHT_AGAIN: Duration = Duration::from_secs(3);

#[tokio::test]
async fn what_drifts_is_put_right_and_told() -> Result<()> {
    let cluster = Cluster::managed(ClusterOptions::patient(Dialect::MySql).proxies(2)).await?;
    let mut doubles = cluster.proxysql(true).await?;
    let before = cluster.pre_flight().await?;
    let writer = before.writer.as_str();
    leads_to(&cluster, &doubles, writer).await?;

    let began = Instant::now();
    doubles[0].wipe().await?;
    right_again(&cluster, &doubles, writer, began, "wiped and restarted").await?;

    // Saved as well: the next start begins with it.
    doubles[1].restart().await?;
    ensure!(placed(&cluster, &doubles[1]).await?[0] == [writer], "{:?}", doubles[1].placed().await);

    let began = Instant::now();
    for statement in [
        "UPDATE mysql_servers SET status='OFFLINE_SOFT' WHERE hostgroup_id=10",
        "LOAD MYSQL SERVERS TO RUNTIME",
    ] {
        doubles[1].edit(statement).await?;
    }
    right_again(&cluster, &doubles, writer, began, "changed by hand").await?;
    let told = async || {
        let why = cluster.ctl().why().await?;
        ensure!(
            why.decisions.iter().any(|decision| decision.what.starts_with("routing of proxy")),
            "{why:#?}"
        );
        Ok(Some(()))
    };
    until("it to be on record", SOON, told).await?;
    was_right_throughout(&doubles)
}

/// Rows, groups and users that are not Baton's stay as they are; a writer that is not of this cluster is told of.
#[tokio::test]
async fn what_is_not_batons_stays() -> Result<()> {
    let cluster = Cluster::managed(ClusterOptions::patient(Dialect::MySql).proxies(1)).await?;
    let doubles = cluster.proxysql(false).await?;
    let before = cluster.pre_flight().await?;
    leads_to(&cluster, &doubles, &before.writer).await?;
    let double = &doubles[0];
    let others = [(20, "10.9.9.1"), (30, "10.9.9.2")];
    for (group, host) in others {
        double
            .edit(&format!(
                "INSERT INTO mysql_servers (hostgroup_id, hostname, weight) VALUES ({group}, '{host}', 77)"
            ))
            .await?;
    }
    double.edit("LOAD MYSQL SERVERS TO RUNTIME").await?;
    cluster.server(&before.writer)?.kill(Signal::KILL)?;
    let after = cluster.moved_from(&before.writer).await?;
    let moved = async || {
        let [writers, _] = placed(&cluster, double).await?;
        ensure!(writers == [after.writer.as_str()], "{writers:?}");
        Ok(Some(()))
    };
    until("the writer to be led to", SOON, moved).await.map_err(|error| cluster.explained(error))?;
    for (group, host) in others {
        let placed = double.placed().await?;
        let stays = placed.iter().any(|row| row.group == group && row.host == host);
        ensure!(stays, "{host} is gone: {placed:?}");
    }
    was_right_throughout(&doubles)?;

    double.edit("INSERT INTO mysql_servers (hostgroup_id, hostname) VALUES (10, '10.9.9.3')").await?;
    double.edit("LOAD MYSQL SERVERS TO RUNTIME").await?;
    let told = |status: &baton_proto::control::StatusReply| {
        status
            .warnings
            .iter()
            .any(|warning| warning.contains("10.9.9.3:3306 in writer hostgroup 10 is not of this cluster"))
    };
    cluster.reaches("the foreign writer to be told of", SOON, told).await?;
    Ok(())
}

/// One is gone, another takes connections and answers nobody: neither holds up the rest, and each is right once it is back.
#[tokio::test]
async fn what_does_not_answer_delays_nothing() -> Result<()> {
    let cluster = Cluster::managed(ClusterOptions::patient(Dialect::MySql).proxies(3)).await?;
    let mut doubles = cluster.proxysql(true).await?;
    let before = cluster.pre_flight().await?;
    leads_to(&cluster, &doubles, &before.writer).await?;
    let mut gone = doubles.pop().context("none")?;
    let silent = doubles.pop().context("none")?;
    gone.stop().await?;
    silent.freeze(true)?;
    let flagged = |status: &baton_proto::control::StatusReply| {
        status.warnings.iter().filter(|warning| warning.starts_with("RoutingDiverged")).count() == 2
    };
    cluster.reaches("both to be told of", SOON, flagged).await?;
    cluster.moves(&["--to", "db2", "--max-pause", "2s"]).await?;
    leads_to(&cluster, &doubles, "db2").await?;

    let began = Instant::now();
    silent.freeze(false)?;
    gone.restart().await?;
    let back: [ProxySql; 2] = [silent, gone];
    right_again(&cluster, &back, "db2", began, "back").await?;
    let well = |status: &baton_proto::control::StatusReply| status.warnings.is_empty();
    cluster.reaches("all to be well", SOON, well).await?;
    Ok(())
}

async fn right_again(
    cluster: &Cluster,
    doubles: &[ProxySql],
    writer: &str,
    began: Instant,
    what: &str,
) -> Result<()> {
    leads_to(cluster, doubles, writer).await?;
    let took = began.elapsed();
    println!("{what}: right again after {} ms", took.as_millis());
    ensure!(
        took < RIGHT_AGAIN + cluster.stood_still(began),
        cluster.explained(anyhow::anyhow!("{what}: {took:?}"))
    );
    Ok(())
}
