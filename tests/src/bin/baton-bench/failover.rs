//! Faults under load, one run after another.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use baton_proto::control::StatusReply;
use baton_tests::cluster::{Cluster, ClusterOptions};
use baton_tests::sandbox::Dialect;
use tokio::time::sleep;

use crate::fault::Fault;
use crate::load::{self, Lags};
use crate::reopen;
use crate::rows::Rows;

const SOON: Duration = Duration::from_secs(10);
/// Where the writer stays, this long after the fault is looked at: longer than a lease and `degrade_after` together.
const LOOK: Duration = Duration::from_secs(6);

/// How it is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct How {
    pub(crate) runs: u32,
    pub(crate) unpaced: bool,
    /// The next fault does not wait until a replica whose host was away has what it missed.
    pub(crate) at_once: bool,
}

/// What the runs gave.
#[derive(Debug, Default)]
struct Measured {
    outages_ms: Vec<f64>,
    caught_up_ms: Vec<f64>,
    lags_ms: Vec<f64>,
    sessions_cut: Vec<f64>,
    lost: usize,
}

/// Measures one fault on one kind of server.
pub(crate) async fn measure(rows: &mut Rows, dialect: Dialect, fault: Fault, how: How) -> Result<()> {
    let unpaced = load::named(how.unpaced);
    let at_once = if how.at_once { ", at once" } else { "" };
    let name = format!("{} {}{unpaced}{at_once}", dialect.name(), fault.word());
    let mut measured = Measured::default();
    let result = all_runs(&mut measured, &name, dialect, fault, how).await;
    let Measured { outages_ms, caught_up_ms, lags_ms, sessions_cut, lost } = measured;
    let what = match fault {
        Fault::Reopen => "open after it accepts connections",
        _ if fault.moves_the_writer() => "writes out",
        _ => "write gap",
    };
    rows.add(format!("{name}: {what}"), outages_ms, "ms", lost);
    if how.unpaced {
        rows.add(format!("{name}: lag of the next writer"), lags_ms, "ms", lost);
    }
    rows.add(format!("{name}: sessions cut"), sessions_cut, "sessions", lost);
    rows.add(format!("{name}: caught up after its host was back"), caught_up_ms, "ms", lost);
    result
}

/// `RestartSec` of docs/systemd/baton-node@.service.
const RESTART_AFTER: Duration = Duration::from_millis(200);

async fn all_runs(
    measured: &mut Measured,
    name: &str,
    dialect: Dialect,
    fault: Fault,
    how: How,
) -> Result<()> {
    let mut kept = None;
    for run in 1..=how.runs {
        let mut cluster = match kept.take() {
            Some(cluster) => cluster,
            None => Cluster::managed(ClusterOptions::new(dialect).layout(fault.layout())).await?,
        };
        let ran = match fault {
            Fault::Reopen => reopen::run(&mut cluster).await.map(|(ms, lost)| {
                measured.outages_ms.push(ms);
                measured.lost += lost;
                true
            }),
            _ => one_run(measured, &mut cluster, fault, how).await,
        };
        let usable =
            ran.map_err(|error| cluster.explained(error)).with_context(|| format!("{name}, run {run}"))?;
        let last = measured.outages_ms.last().copied().unwrap_or_default();
        eprintln!("{name} {run}/{}: {last:.0} ms, {} lost so far", how.runs, measured.lost);
        kept = usable.then_some(cluster);
    }
    Ok(())
}

async fn one_run(measured: &mut Measured, cluster: &mut Cluster, fault: Fault, how: How) -> Result<bool> {
    let status = ready(cluster, fault, how).await?;
    let victim = fault.victim(cluster, &status)?;
    let options = load::options(how.unpaced);
    let sessions = options.sessions;
    // The application does not live on a host that is lost.
    let mut ledger = cluster.ledger(&[victim], options);
    let mut lags = Lags::prepare(cluster, &status.writer).await?;
    load::random_moment().await;

    let before = if how.unpaced { lags.read().await? } else { Vec::new() };
    let struck = Instant::now();
    fault.strike(cluster, victim, &status.leader).await?;
    if fault == Fault::LeaderMid {
        started_again(cluster, &status.leader).await?;
    }
    let after = if fault.moves_the_writer() {
        cluster.moved_from(victim).await?
    } else {
        sleep(LOOK).await;
        cluster.ctl().status().await?
    };
    load::goes_on(&ledger).await?;
    let cut = ledger.connections().saturating_sub(sessions);
    ledger.stop().await;

    measured.outages_ms.push(ledger.gap_after(struck).as_secs_f64() * 1000.0);
    measured.lags_ms.extend(before.iter().find(|(name, _)| *name == after.writer).map(|(_, lag)| *lag));
    if !fault.moves_the_writer() {
        ensure!(after.writer == status.writer, "the writer moved from {} to {}", status.writer, after.writer);
        measured.sessions_cut.push(cut as f64);
    }
    load::compare(&ledger, cluster.server(&after.writer)?, &mut measured.lost).await?;
    let back = Instant::now();
    let usable = fault.mend(cluster, victim).await?;
    if usable && !how.at_once && fault.is_a_cut() && cluster.server(victim).is_ok() {
        load::all_caught_up(cluster, &after.writer).await?;
        measured.caught_up_ms.push(back.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(usable)
}

/// As systemd does with a daemon that was killed. Without it nobody could ask what that host's server has received, which
/// may alone have an acknowledged write, and the failover rightly waits.
async fn started_again(cluster: &mut Cluster, node: &str) -> Result<()> {
    let end = Instant::now() + SOON;
    while cluster.node_mut(node)?.runs()? {
        ensure!(Instant::now() < end, "{node}'s daemon lives on");
        sleep(Duration::from_millis(1)).await;
    }
    sleep(RESTART_AFTER).await;
    cluster.node_mut(node)?.start()
}

/// All is well, every replica has what the writer has, and the leader does not sit on the writer's host, as in normal
/// times.
async fn ready(cluster: &Cluster, fault: Fault, how: How) -> Result<StatusReply> {
    let status = cluster.settled().await?;
    load::all_acknowledge(cluster, &status.writer).await?;
    if !how.at_once {
        load::all_caught_up(cluster, &status.writer).await?;
    }
    if !matches!(fault, Fault::Leader | Fault::LeaderMid) || status.leader != status.writer {
        return Ok(status);
    }
    let apart = |status: &StatusReply| !status.leader.is_empty() && status.leader != status.writer;
    cluster.reaches("the leader to leave the writer's host", SOON, apart).await
}
