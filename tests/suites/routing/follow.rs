//! Instances follow failovers and switchovers.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use baton_proto::control::StatusReply;
use baton_tests::cluster::{Cluster, ClusterOptions, ReturnOfOldWriter, is_open};
use baton_tests::on_both;
use baton_tests::proxysql::{ProxySql, WRITER_GROUP};
use baton_tests::sandbox::{Dialect, Ledger, LedgerOptions, Outcome, until};
use rustix::process::Signal;

use crate::support::{SOON, data_ports, leads_to, placed, was_right_throughout, writes_go_on};

/// The longest write outage that a test lets pass, on a machine that does other things beside it.
const OUTAGE: Duration = Duration::from_secs(10);
/// From the new writer's opening to every one of 20 instances, debug builds on such a machine. What a build for use takes,
/// `script/bench routing` measures.
const PUSHED: Duration = Duration::from_secs(1);

on_both!(failover_is_followed, mysql_failover_is_followed, mariadb_failover_is_followed);
on_both!(switchover_fails_no_write, mysql_switchover_fails_no_write, mariadb_switchover_fails_no_write);
on_both!(
    old_writer_that_stays_open_is_not_led_to,
    mysql_old_writer_that_stays_open_is_not_led_to,
    mariadb_old_writer_that_stays_open_is_not_led_to
);

/// The writer is killed; clients that write through ProxySQL go on with the next one, and read from the rest.
async fn failover_is_followed(dialect: Dialect) -> Result<()> {
    let mut cluster = Cluster::managed(ClusterOptions::new(dialect).proxies(2)).await?;
    let doubles = cluster.proxysql(true).await?;
    let before = cluster.pre_flight().await?;
    leads_to(&cluster, &doubles, &before.writer).await?;
    let mut ledger =
        Ledger::start(cluster.sandbox().client(), &data_ports(&doubles), LedgerOptions::default());
    writes_go_on(&cluster, &ledger).await?;

    let killed = Instant::now();
    cluster.server(&before.writer)?.kill(Signal::KILL)?;
    let after = cluster.moved_from(&before.writer).await?;
    leads_to(&cluster, &doubles, &after.writer).await?;
    writes_go_on(&cluster, &ledger).await?;
    let outage = ledger.gap_after(killed);
    println!("{dialect:?}: writes through ProxySQL were out for {} ms", outage.as_millis());
    ensure!(outage < OUTAGE + cluster.stood_still(killed), "writes were out for {outage:?}");

    cluster.server_mut(&before.writer)?.wait_exit(SOON).await?;
    cluster.server_mut(&before.writer)?.start().await?;
    let out = cluster.out_after_return(&before.writer).await?;
    let operation = cluster.operation_from(before.epoch).await?;
    host_wakes_up(&mut cluster, &doubles, &ledger, &out).await?;
    ledger.stop().await;
    was_right_throughout(&doubles)?;
    let routed = operation.steps.iter().find(|step| step.name == "route").context("no such step")?;
    ensure!(routed.detail.contains("2 of 2 ProxySQL"), "{operation:#?}");
    Ok(())
}

/// The writer's host stands still, as a virtual machine that is paused: its server never closes. When it goes on it is open
/// for a moment, and a monitor that knew it would make a second writer of it. Servers that are `out` are none to go on with.
async fn host_wakes_up(
    cluster: &mut Cluster,
    doubles: &[ProxySql],
    ledger: &Ledger,
    out: &[&str],
) -> Result<()> {
    let old = cluster.settled_without(out).await?.writer;
    cluster.host(&old)?.freeze();
    let moved = leads_on(cluster, doubles, &old, ledger).await;
    cluster.host(&old)?.thaw();
    let after = moved.map_err(|error| cluster.explained(error))?;
    if cluster.server_mut(&old)?.wait_exit(SOON).await.is_ok() {
        cluster.server_mut(&old)?.start().await?;
    }
    cluster.old_writer_returns(&old).await?;
    leads_to(cluster, doubles, &after.writer).await
}

/// The next writer, once every instance leads to it.
async fn leads_on(
    cluster: &Cluster,
    doubles: &[ProxySql],
    old: &str,
    ledger: &Ledger,
) -> Result<StatusReply> {
    let after = cluster.moved_from(old).await?;
    leads_to(cluster, doubles, &after.writer).await?;
    writes_go_on(cluster, ledger).await?;
    Ok(after)
}

/// Each write is answered with OK, if a little later.
async fn switchover_fails_no_write(dialect: Dialect) -> Result<()> {
    let cluster = Cluster::managed(ClusterOptions::patient(dialect).proxies(2)).await?;
    let doubles = cluster.proxysql(true).await?;
    let before = cluster.pre_flight().await?;
    leads_to(&cluster, &doubles, &before.writer).await?;
    let options = LedgerOptions { stays_when_refused: true, ..LedgerOptions::default() };
    let mut ledger = Ledger::start(cluster.sandbox().client(), &data_ports(&doubles), options);
    writes_go_on(&cluster, &ledger).await?;
    // It counts those apart that are not right at that moment, as where a reader was added just now.
    let planned = async || {
        let plan = cluster.ctl().switchover(&["--to", "db2", "--dry-run"]).await?;
        ensure!(!plan.steps.iter().any(|step| step.what.contains("not right now")), "{plan:#?}");
        Ok(Some(plan))
    };
    let plan = until("a plan while every ProxySQL is right", SOON, planned).await?;
    ensure!(plan.steps.iter().any(|step| step.what.contains("drained by 2 ProxySQL")), "{plan:#?}");
    let [old, new] = ["db1", "db2"].map(|node| cluster.host(node).map(|host| host.address()));
    let (old, new) = (format!("hostname='{}'", old?), format!("hostname='{}'", new?));
    let stages = [
        ("drained by 2 ProxySQL", "SET status='OFFLINE_SOFT' WHERE hostgroup_id=10 AND ", &old),
        ("2 ProxySQL lead there", "SET hostgroup_id=10, status='ONLINE' WHERE hostgroup_id=20 AND ", &new),
        ("is read from by ProxySQL", "SET status='ONLINE' WHERE hostgroup_id=20 AND ", &old),
    ];
    for (what, statement, of) in stages {
        let step = plan.steps.iter().find(|step| step.what.contains(what)).context(what)?;
        let line = step.statement.lines().any(|line| line.contains(&format!("{statement}{of}")));
        ensure!(line && step.statement.contains("LOAD MYSQL SERVERS TO RUNTIME;"), "{step:#?}");
    }
    for to in ["db2", "db1"] {
        let (began, _) = cluster.moves(&["--to", to, "--max-pause", "2s"]).await?;
        leads_to(&cluster, &doubles, to).await?;
        writes_go_on(&cluster, &ledger).await?;
        println!(
            "{dialect:?}: writes through ProxySQL paused for {} ms",
            ledger.gap_after(began).as_millis()
        );
        cluster.settled().await?;
    }
    ledger.stop().await;
    let failed: Vec<_> =
        ledger.writes().into_iter().filter(|write| write.outcome != Outcome::Acknowledged).collect();
    ensure!(failed.is_empty(), cluster.explained(anyhow::anyhow!("{failed:?}")));
    was_right_throughout(&doubles)?;
    cluster.post_check(&ledger, &[]).await?;
    Ok(())
}

/// Daemon and keeper beside the writer stand still and an operator moves the role: the old writer stays open, and a monitor
/// that knew it would make a second writer of it. When they go on, it is closed and reads again.
async fn old_writer_that_stays_open_is_not_led_to(dialect: Dialect) -> Result<()> {
    let mut cluster = Cluster::managed(ClusterOptions::new(dialect).proxies(1)).await?;
    let doubles = cluster.proxysql(true).await?;
    let before = cluster.pre_flight().await?;
    let old = before.writer.clone();
    leads_to(&cluster, &doubles, &old).await?;
    let apart = |status: &StatusReply| !status.leader.is_empty() && status.leader != status.writer;
    cluster.reaches("the leader to leave the writer's host", SOON, apart).await?;
    let to = cluster.data_nodes().find(|name| *name != old).context("no other")?;
    let node = cluster.node(&old)?;
    node.signal(Signal::STOP)?;
    node.signal_keeper(Signal::STOP)?;
    let moved = moves_past(&cluster, &doubles[0], &old, to).await;
    // Whatever came of it: what stands still would outlive the test.
    node.signal_keeper(Signal::CONT)?;
    node.signal(Signal::CONT)?;
    moved.map_err(|error| cluster.explained(error))?;
    if cluster.server_mut(&old)?.wait_exit(Duration::from_secs(3)).await.is_ok() {
        cluster.server_mut(&old)?.start().await?;
    }
    if cluster.old_writer_returns(&old).await? == ReturnOfOldWriter::Follows {
        let reads = async || {
            let [_, readers] = placed(&cluster, &doubles[0]).await?;
            ensure!(readers.contains(&old.as_str()), "{readers:?}");
            Ok(Some(()))
        };
        until("the old writer to be read from", SOON, reads)
            .await
            .map_err(|error| cluster.explained(error))?;
    }
    was_right_throughout(&doubles)
}

/// All of them at once, with one among them that does not answer. Doubles: so many real ones would measure the machine.
#[tokio::test]
async fn mysql_twenty_are_told_at_once() -> Result<()> {
    let cluster = Cluster::managed(ClusterOptions::new(Dialect::MySql).proxies(21)).await?;
    let doubles = cluster.doubles(false).await?;
    let mut doubles: Vec<_> = doubles.into_iter().map(ProxySql::from).collect();
    let before = cluster.pre_flight().await?;
    leads_to(&cluster, &doubles, &before.writer).await?;
    let silent = doubles.pop().context("none")?;
    silent.freeze(true)?;
    let told = |status: &StatusReply| {
        status.warnings.iter().any(|warning| warning.starts_with("RoutingDiverged: ProxySQL proxy21"))
    };
    cluster.reaches("the silent one to be told of", SOON, told).await?;

    let began = Instant::now();
    let writer = cluster.host(&before.writer)?.address().to_string();
    let told = doubles.iter().map(|double| led_away(double, &writer));
    let told = futures::future::try_join_all(told);
    cluster.server(&before.writer)?.kill(Signal::KILL)?;
    let told_ms = told.await?.into_iter().max().context("none")?;
    let after = cluster.moved_from(&before.writer).await?;
    let operation = cluster.operation_from(before.epoch).await?;
    let opened_ms = operation.steps.iter().find(|step| step.name == "open").context("no such step")?.at_ms;
    let pushed = Duration::from_millis(u64::try_from(told_ms - opened_ms).unwrap_or_default());
    println!("20 ProxySQL led to {} {} ms after it was open", after.writer, pushed.as_millis());
    ensure!(pushed < PUSHED + cluster.stood_still(began), "{pushed:?}: {operation:#?}");
    was_right_throughout(&doubles)
}

/// When an instance leads clients that write elsewhere than to `old`, as milliseconds since 1970.
async fn led_away(double: &ProxySql, old: &str) -> Result<i64> {
    let elsewhere = |row: &baton_tests::proxysql::Placed| row.group == WRITER_GROUP && row.host != old;
    double.changes().wait_for(|rows| rows.iter().any(elsewhere)).await?;
    Ok(jiff::Timestamp::now().as_millisecond())
}

/// The role moves away from a server that stays open, and for several rounds of the instance's monitor, which asks every
/// 500 ms, that one is in neither group.
async fn moves_past(cluster: &Cluster, double: &ProxySql, old: &str, to: &str) -> Result<()> {
    cluster.ctl().force_failover(to, "its node stands still").await?;
    let after = cluster.moved_from(old).await?;
    leads_to(cluster, std::slice::from_ref(double), &after.writer).await?;
    let until = Instant::now() + Duration::from_secs(3);
    while Instant::now() < until {
        let [writers, readers] = placed(cluster, double).await?;
        ensure!(!writers.contains(&old) && !readers.contains(&old), "{writers:?} {readers:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    ensure!(is_open(cluster.server(old)?).await?, "the old writer was to stand open, or this shows nothing");
    Ok(())
}
