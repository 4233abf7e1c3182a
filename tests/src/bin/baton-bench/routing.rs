//! ProxySQL: how soon every instance leads to the new writer, how soon a wiped one is right again, and what clients notice of
//! a switchover. Against doubles.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use baton_tests::cluster::{Cluster, ClusterOptions, ReturnOfOldWriter};
use baton_tests::proxysql::{Double, Placed, WRITER_GROUP};
use baton_tests::sandbox::{Dialect, Ledger, Outcome, until};
use futures::future::try_join_all;
use jiff::Timestamp;
use rustix::process::Signal;
use tokio::time::sleep;

use crate::load;
use crate::rows::Rows;
use crate::switchover::MAX_PAUSE;

/// How many instances.
const PROXIES: u16 = 20;
const SOON: Duration = Duration::from_secs(10);
/// Longer than every period in the cluster.
const RANDOM_WITHIN_MS: u64 = 1500;

/// What the runs gave.
#[derive(Debug, Default)]
struct Measured {
    pushed_ms: Vec<f64>,
    outage_ms: Vec<f64>,
    right_again_ms: Vec<f64>,
    paused_ms: Vec<f64>,
    failed: Vec<f64>,
    lost: usize,
}

/// Measures one kind of server.
pub(crate) async fn measure(rows: &mut Rows, dialect: Dialect, runs: u32) -> Result<()> {
    let name = format!("{} routing", dialect.name());
    let mut measured = Measured::default();
    let result = all_runs(&mut measured, &name, dialect, runs).await;
    let Measured { pushed_ms, outage_ms, right_again_ms, paused_ms, failed, lost } = measured;
    rows.add(format!("{name}: {PROXIES} ProxySQL lead to the open writer"), pushed_ms, "ms", lost);
    rows.add(format!("{name}: write outage through ProxySQL, primary killed"), outage_ms, "ms", lost);
    rows.add(format!("{name}: a wiped ProxySQL is right again"), right_again_ms, "ms", lost);
    rows.add(format!("{name}: write gap through ProxySQL, switchover"), paused_ms, "ms", lost);
    rows.add(format!("{name}: writes that failed in a switchover"), failed, "writes", lost);
    result
}

/// A writer that was killed may come back with a commit that nobody acknowledged, and is out then: the next run has a
/// cluster of its own.
async fn all_runs(measured: &mut Measured, name: &str, dialect: Dialect, runs: u32) -> Result<()> {
    let mut kept = None;
    for run in 1..=runs {
        let (mut cluster, mut doubles) = match kept.take() {
            Some(kept) => kept,
            None => {
                let cluster = Cluster::managed(ClusterOptions::new(dialect).proxies(PROXIES)).await?;
                let doubles = cluster.doubles(true).await?;
                (cluster, doubles)
            }
        };
        let ran = one_run(measured, &mut cluster, &mut doubles).await;
        let usable =
            ran.map_err(|error| cluster.explained(error)).with_context(|| format!("{name}, run {run}"))?;
        eprintln!("{name} {run}/{runs}: {measured:?}");
        kept = usable.then_some((cluster, doubles));
    }
    Ok(())
}

/// Whether the cluster is of further use.
async fn one_run(measured: &mut Measured, cluster: &mut Cluster, doubles: &mut [Double]) -> Result<bool> {
    let writer = ready(cluster, doubles).await?;
    wiped(measured, cluster, &mut doubles[0], &writer).await?;
    switchover(measured, cluster, doubles, &writer).await?;
    let writer = ready(cluster, doubles).await?;
    let returned = failover(measured, cluster, doubles, &writer).await?;
    for double in doubles {
        let right = double.most_writers() <= 1 && !double.has_crashed();
        ensure!(right, "{}: two writers, or a crash", double.admin());
    }
    Ok(returned == ReturnOfOldWriter::Follows)
}

/// All is well, and every instance leads to the writer. Returns it.
async fn ready(cluster: &Cluster, doubles: &[Double]) -> Result<String> {
    let status = cluster.settled().await?;
    load::all_acknowledge(cluster, &status.writer).await?;
    load::all_caught_up(cluster, &status.writer).await?;
    let address = cluster.host(&status.writer)?.address();
    let led =
        async || Ok(doubles.iter().all(|double| double.online(WRITER_GROUP) == [address]).then_some(()));
    until("every ProxySQL to lead to the writer", SOON, led).await?;
    Ok(status.writer)
}

async fn wiped(measured: &mut Measured, cluster: &Cluster, double: &mut Double, writer: &str) -> Result<()> {
    let address = cluster.host(writer)?.address();
    sleep(Duration::from_millis(rand::random_range(0..RANDOM_WITHIN_MS))).await;
    double.wipe().await?;
    let began = Instant::now();
    let right = async || Ok((double.online(WRITER_GROUP) == [address]).then_some(()));
    until("the wiped one to be right", SOON, right).await?;
    measured.right_again_ms.push(began.elapsed().as_secs_f64() * 1000.0);
    Ok(())
}

async fn switchover(
    measured: &mut Measured,
    cluster: &Cluster,
    doubles: &[Double],
    writer: &str,
) -> Result<()> {
    let to = cluster.data_nodes().find(|name| *name != writer).context("no other server")?;
    let mut ledger = ledger(cluster, doubles);
    load::random_moment().await;
    let began = Instant::now();
    let reply = cluster.ctl().switchover(&[&["--to", to], MAX_PAUSE].concat()).await?;
    load::goes_on(&ledger).await?;
    ledger.stop().await;
    ensure!(reply.moved, "nothing moved: {}", reply.message);
    measured.paused_ms.push(ledger.gap_after(began).as_secs_f64() * 1000.0);
    let failed = ledger.writes().iter().filter(|write| write.outcome != Outcome::Acknowledged).count();
    measured.failed.push(failed as f64);
    load::compare(&ledger, cluster.server(to)?, &mut measured.lost).await
}

async fn failover(
    measured: &mut Measured,
    cluster: &mut Cluster,
    doubles: &[Double],
    writer: &str,
) -> Result<ReturnOfOldWriter> {
    let epoch = cluster.settled().await?.epoch;
    let mut ledger = ledger(cluster, doubles);
    load::random_moment().await;
    let old = cluster.host(writer)?.address().to_string();
    let led = try_join_all(doubles.iter().map(|double| led_elsewhere(double, &old)));
    let began = Instant::now();
    cluster.server(writer)?.kill(Signal::KILL)?;
    let led_ms = led.await?.into_iter().max().context("no ProxySQL")?;
    let after = cluster.moved_from(writer).await?;
    load::goes_on(&ledger).await?;
    ledger.stop().await;
    measured.outage_ms.push(ledger.gap_after(began).as_secs_f64() * 1000.0);
    load::compare(&ledger, cluster.server(&after.writer)?, &mut measured.lost).await?;
    let operation = cluster.operation_from(epoch).await?;
    let opened = operation.steps.iter().find(|step| step.name == "open").context("it never opened")?;
    measured.pushed_ms.push((led_ms - opened.at_ms) as f64);
    cluster.server_mut(writer)?.wait_exit(SOON).await?;
    cluster.server_mut(writer)?.start().await?;
    cluster.old_writer_returns(writer).await
}

fn ledger(cluster: &Cluster, doubles: &[Double]) -> Ledger {
    let targets: Vec<_> = doubles.iter().take(2).map(Double::data).collect();
    Ledger::start(cluster.sandbox().client(), &targets, load::options(false))
}

/// When an instance leads clients that write elsewhere than to `old`, as milliseconds since 1970.
async fn led_elsewhere(double: &Double, old: &str) -> Result<i64> {
    let elsewhere = |row: &Placed| row.group == WRITER_GROUP && row.host != old;
    double.changes().wait_for(|rows| rows.iter().any(elsewhere)).await?;
    Ok(Timestamp::now().as_millisecond())
}
