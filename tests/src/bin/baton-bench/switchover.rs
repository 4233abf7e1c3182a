//! Planned switchovers under load, back and forth.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use baton_proto::control::SwitchoverReply;
use baton_tests::cluster::{Cluster, ClusterOptions};
use baton_tests::sandbox::Dialect;

use crate::load::{self, Lags};
use crate::obstacle::Obstacle;
use crate::rows::Rows;

const SOON: Duration = Duration::from_secs(10);
/// How long writes may pause. A build for use keeps the command's own bound, which is what is to be measured; a debug
/// build's part of a pause is many times that of it.
pub(crate) const MAX_PAUSE: &[&str] = if cfg!(debug_assertions) { &["--max-pause", "2s"] } else { &[] };

/// How long writes may pause where something is in the way.
const UNDONE_WITHIN: &[&str] = &["--max-pause", "500ms"];

/// How it is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct How {
    pub(crate) runs: u32,
    pub(crate) unpaced: bool,
    /// What is in the way, so that it is taken back.
    pub(crate) obstacle: Option<Obstacle>,
}

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
    /// When each step was committed, in milliseconds since it began.
    steps: String,
    /// What `batonctl` said where nothing moved.
    unmoved: Option<String>,
}

/// Measures one kind of server. A run in which nothing moved has a row of its own: left out, it would look as if none had
/// been.
pub(crate) async fn measure(rows: &mut Rows, dialect: Dialect, how: How) -> Result<()> {
    let undone = how.obstacle.map(Obstacle::named).unwrap_or_default();
    let name = format!("{} switchover{}{undone}", dialect.name(), load::named(how.unpaced));
    let mut measured = Measured::default();
    let result = all_runs(&mut measured, &name, dialect, how).await;
    let Measured { gaps_ms, unmoved_ms, lags_ms, lost } = measured;
    rows.add(format!("{name}: write gap"), gaps_ms, "ms", lost);
    if how.unpaced {
        rows.add(format!("{name}: lag of the next writer"), lags_ms, "ms", lost);
    }
    rows.add(format!("{name}: write gap where nothing moved"), unmoved_ms, "ms", lost);
    result
}

async fn all_runs(measured: &mut Measured, name: &str, dialect: Dialect, how: How) -> Result<()> {
    let cluster = Cluster::managed(ClusterOptions::new(dialect)).await?;
    let runs = how.runs;
    for run in 1..=runs {
        let ran = one_run(measured, &cluster, how).await;
        let Ran { gap_ms, steps, unmoved } =
            ran.map_err(|error| cluster.explained(error)).with_context(|| format!("{name}, run {run}"))?;
        let unmoved = unmoved.map(|why| format!(", nothing moved: {why}")).unwrap_or_default();
        eprintln!("{name} {run}/{runs}: {gap_ms:.0} ms{unmoved}, {} lost so far; {steps}", measured.lost);
    }
    // What the last writer lacks would be known by then: the one before it is quarantined, and nothing settles.
    cluster.settled().await?;
    Ok(())
}

/// From the first data node to the second, or to the first from wherever the writer is.
async fn one_run(measured: &mut Measured, cluster: &Cluster, how: How) -> Result<Ran> {
    let status = cluster.settled().await?;
    load::all_acknowledge(cluster, &status.writer).await?;
    load::all_caught_up(cluster, &status.writer).await?;
    let to = cluster.data_nodes().find(|name| *name != status.writer).context("no other server")?;
    let mut ledger = cluster.ledger(&[], load::options(how.unpaced));
    let mut lags = Lags::prepare(cluster, &status.writer).await?;
    load::random_moment().await;

    let before = if how.unpaced { lags.read().await? } else { Vec::new() };
    let in_the_way = match how.obstacle {
        Some(obstacle) => Some(obstacle.put(cluster, &status.writer, to).await?),
        None => None,
    };
    let max_pause = if how.obstacle.is_some() { UNDONE_WITHIN } else { MAX_PAUSE };
    let began = Instant::now();
    // Without an answer nobody knows what was done: the run says so, and counts as one in which nothing moved.
    let (reply, unanswered) = match cluster.ctl().switchover(&[&["--to", to], max_pause].concat()).await {
        Ok(reply) => (reply, None),
        Err(error) => (SwitchoverReply::default(), Some(format!("no answer: {error:#}"))),
    };
    load::goes_on(&ledger).await?;
    ledger.stop().await;
    drop(in_the_way);

    let gap_ms = ledger.gap_after(began).as_secs_f64() * 1000.0;
    let gaps = if reply.moved { &mut measured.gaps_ms } else { &mut measured.unmoved_ms };
    gaps.push(gap_ms);
    if reply.moved {
        measured.lags_ms.extend(before.iter().find(|(name, _)| *name == to).map(|(_, lag)| *lag));
    }
    let after = cluster.reaches("an open writer", SOON, |status| status.writer_open).await?;
    load::compare(&ledger, cluster.server(&after.writer)?, &mut measured.lost).await?;
    let steps = reply.journal.iter().map(|step| format!("{} {}", step.name, step.at_ms - reply.started_ms));
    let steps = steps.collect::<Vec<_>>().join(", ");
    Ok(Ran { gap_ms, steps, unmoved: unanswered.or_else(|| (!reply.moved).then(|| why(&reply))) })
}

/// How it was taken back, or what stood in its way.
fn why(reply: &SwitchoverReply) -> String {
    if !reply.refused {
        return reply.message.clone();
    }
    let stops = reply.findings.iter().filter(|finding| finding.level == "stop");
    stops.map(|finding| finding.what.as_str()).collect::<Vec<_>>().join("; ")
}
