//! Planned switchovers under load, back and forth.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use baton_proto::control::SwitchoverReply;
use baton_tests::cluster::{Cluster, ClusterOptions};
use baton_tests::sandbox::Dialect;

use crate::load::{self, Lags};
use crate::rows::Rows;

const SOON: Duration = Duration::from_secs(10);
/// How long writes may pause. A build for use keeps the command's own bound, which is what is to be measured; a debug
/// build's part of a pause is many times that of it.
pub(crate) const MAX_PAUSE: &[&str] = if cfg!(debug_assertions) { &["--max-pause", "2s"] } else { &[] };

/// What the runs gave.
#[derive(Debug, Default)]
struct Measured {
    gaps_ms: Vec<f64>,
    /// Of runs in which nothing moved: refused, or taken back.
    unmoved_ms: Vec<f64>,
    lags_ms: Vec<f64>,
    lost: usize,
}

/// What one run gave.
#[derive(Debug)]
struct Ran {
    gap_ms: f64,
    /// What `batonctl` said where nothing moved.
    unmoved: Option<String>,
}

/// Measures one kind of server. A run in which nothing moved has a row of its own: left out, it would look as if none had
/// been.
pub(crate) async fn measure(rows: &mut Rows, dialect: Dialect, runs: u32, unpaced: bool) -> Result<()> {
    let name = format!("{} switchover{}", dialect.name(), load::named(unpaced));
    let mut measured = Measured::default();
    let result = all_runs(&mut measured, &name, dialect, runs, unpaced).await;
    let Measured { gaps_ms, unmoved_ms, lags_ms, lost } = measured;
    rows.add(format!("{name}: write gap"), gaps_ms, "ms", lost);
    if unpaced {
        rows.add(format!("{name}: lag of the next writer"), lags_ms, "ms", lost);
    }
    rows.add(format!("{name}: write gap where nothing moved"), unmoved_ms, "ms", lost);
    result
}

async fn all_runs(
    measured: &mut Measured,
    name: &str,
    dialect: Dialect,
    runs: u32,
    unpaced: bool,
) -> Result<()> {
    let cluster = Cluster::managed(ClusterOptions::new(dialect)).await?;
    for run in 1..=runs {
        let ran = one_run(measured, &cluster, unpaced).await;
        let Ran { gap_ms, unmoved } =
            ran.map_err(|error| cluster.explained(error)).with_context(|| format!("{name}, run {run}"))?;
        let unmoved = unmoved.map(|why| format!(", nothing moved: {why}")).unwrap_or_default();
        eprintln!("{name} {run}/{runs}: {gap_ms:.0} ms{unmoved}, {} lost so far", measured.lost);
    }
    // What the last writer lacks would be known by then: the one before it is quarantined, and nothing settles.
    cluster.settled().await?;
    Ok(())
}

/// From the first data node to the second, or to the first from wherever the writer is.
async fn one_run(measured: &mut Measured, cluster: &Cluster, unpaced: bool) -> Result<Ran> {
    let status = cluster.settled().await?;
    load::all_acknowledge(cluster, &status.writer).await?;
    load::all_caught_up(cluster, &status.writer).await?;
    let to = cluster.data_nodes().find(|name| *name != status.writer).context("no other server")?;
    let mut ledger = cluster.ledger(&[], load::options(unpaced));
    let mut lags = Lags::prepare(cluster, &status.writer).await?;
    load::random_moment().await;

    let before = if unpaced { lags.read().await? } else { Vec::new() };
    let began = Instant::now();
    // Without an answer nobody knows what was done: the run says so, and counts as one in which nothing moved.
    let (reply, unanswered) = match cluster.ctl().switchover(&[&["--to", to], MAX_PAUSE].concat()).await {
        Ok(reply) => (reply, None),
        Err(error) => (SwitchoverReply::default(), Some(format!("no answer: {error:#}"))),
    };
    load::goes_on(&ledger).await?;
    ledger.stop().await;

    let gap_ms = ledger.gap_after(began).as_secs_f64() * 1000.0;
    let gaps = if reply.moved { &mut measured.gaps_ms } else { &mut measured.unmoved_ms };
    gaps.push(gap_ms);
    if reply.moved {
        measured.lags_ms.extend(before.iter().find(|(name, _)| *name == to).map(|(_, lag)| *lag));
    }
    let after = cluster.reaches("an open writer", SOON, |status| status.writer_open).await?;
    load::compare(&ledger, cluster.server(&after.writer)?, &mut measured.lost).await?;
    Ok(Ran { gap_ms, unmoved: unanswered.or_else(|| (!reply.moved).then(|| why(&reply))) })
}

/// How it was taken back, or what stood in its way.
fn why(reply: &SwitchoverReply) -> String {
    if !reply.refused {
        return reply.message.clone();
    }
    let stops = reply.findings.iter().filter(|finding| finding.level == "stop");
    stops.map(|finding| finding.what.as_str()).collect::<Vec<_>>().join("; ")
}
