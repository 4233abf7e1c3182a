//! Switchovers that the preflight refuses, under load: nothing is to pause.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use baton_tests::cluster::{Cluster, ClusterOptions};
use baton_tests::sandbox::Dialect;
use mysql_async::prelude::Queryable;
use tokio::time::sleep;

use crate::load;
use crate::rows::Rows;

/// What the runs gave: the longest write gap of each, while the preflight looked, and in as long a time without it.
#[derive(Debug, Default)]
struct Measured {
    refused_ms: Vec<f64>,
    beside_ms: Vec<f64>,
    lost: usize,
}

/// Measures one kind of server. The same sessions write all the time: what their gap is without a preflight says what its
/// own part in a gap is.
pub(crate) async fn measure(rows: &mut Rows, dialect: Dialect, runs: u32, unpaced: bool) -> Result<()> {
    let name = format!("{} switchover{}, refused", dialect.name(), load::named(unpaced));
    let mut measured = Measured::default();
    let result = all_runs(&mut measured, &name, dialect, (runs, unpaced)).await;
    let Measured { refused_ms, beside_ms, lost } = measured;
    rows.add(format!("{name}: write gap"), refused_ms, "ms", lost);
    rows.add(format!("{name}: write gap in as long a time without it"), beside_ms, "ms", lost);
    result
}

async fn all_runs(
    measured: &mut Measured,
    name: &str,
    dialect: Dialect,
    (runs, unpaced): (u32, bool),
) -> Result<()> {
    let cluster = Cluster::managed(ClusterOptions::new(dialect)).await?;
    for run in 1..=runs {
        let ran = one_run(measured, &cluster, unpaced).await;
        let (refused_ms, beside_ms) =
            ran.map_err(|error| cluster.explained(error)).with_context(|| format!("{name}, run {run}"))?;
        let lost = measured.lost;
        eprintln!(
            "{name} {run}/{runs}: {refused_ms:.0} ms, without it {beside_ms:.0} ms, {lost} lost so far"
        );
    }
    cluster.settled().await?;
    Ok(())
}

/// The target has not applied what the writer has, since a session there holds the table. That takes the preflight longest:
/// both servers are asked everything, and the target is waited for.
async fn one_run(measured: &mut Measured, cluster: &Cluster, unpaced: bool) -> Result<(f64, f64)> {
    let status = cluster.settled().await?;
    load::all_acknowledge(cluster, &status.writer).await?;
    load::all_caught_up(cluster, &status.writer).await?;
    let to = cluster.data_nodes().find(|name| *name != status.writer).context("no other server")?;
    let mut ledger = cluster.ledger(&[], load::options(unpaced));
    load::goes_on(&ledger).await?;
    let mut holder = cluster.server(to)?.connect().await?;
    holder.query_drop("LOCK TABLES app.writes READ").await?;
    load::random_moment().await;

    let asked = Instant::now();
    let reply = cluster.ctl().switchover(&["--to", to]).await?;
    let answered = Instant::now();
    ensure!(reply.refused && !reply.tried, "it was not refused: {reply:#?}");
    load::goes_on(&ledger).await?;
    let left = Instant::now();
    sleep(answered - asked).await;
    let over = Instant::now();
    holder.query_drop("UNLOCK TABLES").await?;
    ledger.stop().await;

    let ms = |from, to| ledger.gap_between(from, to).as_secs_f64() * 1000.0;
    let (refused_ms, beside_ms) = (ms(asked, answered), ms(left, over));
    measured.refused_ms.push(refused_ms);
    measured.beside_ms.push(beside_ms);
    load::compare(&ledger, cluster.server(&status.writer)?, &mut measured.lost).await?;
    Ok((refused_ms, beside_ms))
}
