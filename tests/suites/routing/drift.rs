//! Instances that were wiped, changed by hand, or do not answer; and what is not Baton's.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use baton_tests::cluster::{Cluster, ClusterOptions};
use baton_tests::proxysql::ProxySql;
use baton_tests::sandbox::{Dialect, until};
use rustix::process::Signal;

use crate::support::{SOON, found_right, leads_to, placed, was_right_throughout};

/// How soon an instance is right again.
const RIGHT_AGAIN: Duration = Duration::from_secs(3);

#[tokio::test]
async fn what_drifts_is_put_right_and_told() -> Result<()> {
    let cluster = Cluster::managed(ClusterOptions::patient(Dialect::MySql).proxies(2)).await?;
    let mut doubles = cluster.proxysql(true).await?;
    let before = cluster.pre_flight().await?;
    let writer = before.writer.as_str();
    leads_to(&cluster, &doubles, writer).await?;
    found_right(&cluster, doubles.len()).await?;

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
    repaired_on_record(&cluster, "proxy2").await?;
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
    shown_beside_what_is_wanted(&cluster, &after.writer).await
}

/// `batonctl routing` says what was put right, and that all is right now.
async fn repaired_on_record(cluster: &Cluster, name: &str) -> Result<()> {
    let shown = async || {
        let routing = cluster.ctl().routing().await?;
        let proxy = routing.proxies.iter().find(|proxy| proxy.name == name).context("it is not listed")?;
        let why = proxy.repaired.contains("is OFFLINE_SOFT in hostgroup 10, not ONLINE");
        let right = proxy.state == "right" && proxy.servers.iter().all(|server| server.right);
        ensure!(right && proxy.repairs >= 1 && why, "{proxy:#?}");
        Ok(Some(()))
    };
    until("the repair to be shown", SOON, shown).await.map_err(|error| cluster.explained(error))
}

/// Each row of the instance's two groups, what is wanted of it beside what it is; also as people read it.
async fn shown_beside_what_is_wanted(cluster: &Cluster, writer: &str) -> Result<()> {
    let shown = async || {
        let routing = cluster.ctl().routing().await?;
        let [proxy] = routing.proxies.as_slice() else { bail!("{routing:#?}") };
        let of = |name: &str| proxy.servers.iter().find(|server| server.node == name);
        let foreign: Vec<_> = proxy.servers.iter().filter(|server| server.node.is_empty()).collect();
        let addresses: Vec<&str> = foreign.iter().map(|server| server.address.as_str()).collect();
        ensure!(addresses == ["10.9.9.1:3306", "10.9.9.3:3306"], "group 30 is nobody's: {proxy:#?}");
        ensure!(foreign.iter().all(|server| server.writer_wanted == "any" && server.reader_wanted == "any"));
        let led = of(writer).context("the writer is not listed")?;
        let statuses = (led.writer_wanted.as_str(), led.writer_status.as_str(), led.right);
        ensure!(statuses == ("online", "ONLINE", true), "{proxy:#?}");
        ensure!(routing.writer == writer && proxy.state == "diverged", "{routing:#?}");
        let text = cluster.ctl().routing_text().await?;
        let server = cluster.server(writer)?.address();
        let foreign = "– 10.9.9.3:3306 not Baton's 10 ONLINE".to_owned();
        for line in [format!("{writer} {server} writes 10 ONLINE"), foreign] {
            ensure!(text.contains(&line), "no `{line}` in {text:#?}");
        }
        Ok(Some(()))
    };
    until("the foreign rows to be shown", SOON, shown).await.map_err(|error| cluster.explained(error))
}

/// What was there last stays to be read of one that does not answer.
async fn unreachable_with_what_it_had(cluster: &Cluster, name: &str, writer: &str) -> Result<()> {
    let routing = cluster.ctl().routing().await?;
    let proxy = routing.proxies.iter().find(|proxy| proxy.name == name).context("it is not listed")?;
    ensure!(proxy.state == "unreachable" && !proxy.note.is_empty() && proxy.read_ms > 0, "{proxy:#?}");
    let had = proxy.servers.iter().find(|server| server.node == writer).context("no such row")?;
    ensure!(had.writer_status == "ONLINE", "{proxy:#?}");
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
    for name in ["proxy2", "proxy3"] {
        unreachable_with_what_it_had(&cluster, name, &before.writer).await?;
    }
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
