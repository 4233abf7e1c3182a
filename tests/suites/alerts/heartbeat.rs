//! A dead man's switch hears of a healthy cluster alone.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use baton_tests::sandbox::Dialect;
use rustix::process::Signal;

use super::{SOON, telling};

/// Three beats.
const QUIET: Duration = Duration::from_secs(3);

#[tokio::test]
async fn a_dead_mans_switch_is_told_while_the_cluster_is_lossless_alone() -> Result<()> {
    let (mut cluster, api) = telling(Dialect::MariaDb).await?;
    let before = cluster.pre_flight().await?;
    let well = Instant::now();
    api.beat(well, SOON).await.map_err(|error| cluster.explained(error))?;
    api.beat(Instant::now(), SOON).await.map_err(|error| cluster.explained(error))?;

    let replicas: Vec<_> = cluster.data_nodes().filter(|name| *name != before.writer).collect();
    for name in &replicas {
        cluster.server(name)?.kill(Signal::KILL)?;
        cluster.server_mut(name)?.wait_exit(SOON).await?;
    }
    // A commit finds out that nobody is left to acknowledge.
    cluster.reaches("the loss of its ackers", SOON, |s| s.durability != "lossless").await?;
    // One may be on its way.
    let alone = Instant::now() + Duration::from_millis(500);
    ensure!(api.beat(alone, QUIET).await.is_err(), "told that all is well, with every acker gone");

    for name in &replicas {
        cluster.server_mut(name)?.start().await?;
    }
    cluster.settled().await?;
    api.beat(Instant::now(), SOON).await.map_err(|error| cluster.explained(error))
}
