//! The disk below the writer's data: full, or standing still.

use std::time::Duration;

use anyhow::Result;
use baton_tests::cluster::{ClusterOptions, Scenario};
use baton_tests::sandbox::{Dialect, Disk};

use super::alerts::begin;
use super::{OUTAGE, SOON, fault};

/// A writer that takes connections and commits nothing counts as lost after ten seconds, in which somebody may make room.
/// They count from the first write that is tried, which may take as long on a writer that was quiet or is new.
const CANNOT_WRITE: Duration = Duration::from_secs(20);

fault!(disk_full: mysql mysql_disk_full, mariadb mariadb_disk_full);
fault!(disk_stalled: mariadb mariadb_disk_stalled, mysql mysql_disk_stalled);

/// Nothing is left of the disk for another commit: it says so at once, and the writer moves when that has lasted.
async fn disk_full(name: &'static str, dialect: Dialect) -> Result<()> {
    let Some(mut scenario) = with_disk(name, dialect).await? else { return Ok(()) };
    scenario.fault();
    scenario.cluster.server("db1")?.disk()?.fill()?;
    scenario.is_diagnosed("WriterCannotWrite", CANNOT_WRITE).await?;
    scenario.moves(CANNOT_WRITE + OUTAGE).await?;
    scenario.cluster.server("db1")?.disk()?.empty()?;
    let out = scenario.comes_back("db1").await?;
    scenario.ends(out).await
}

/// The disk answers no write any more. A process that waits for it cannot even be killed, and runs none of its code.
async fn disk_stalled(name: &'static str, dialect: Dialect) -> Result<()> {
    let Some(mut scenario) = with_disk(name, dialect).await? else { return Ok(()) };
    scenario.fault();
    scenario.cluster.server("db1")?.disk()?.freeze().await?;
    scenario.moves(CANNOT_WRITE + OUTAGE).await?;
    scenario.cluster.server("db1")?.disk()?.thaw();
    scenario.cluster.server_mut("db1")?.wait_exit(SOON).await?;
    let out = scenario.comes_back("db1").await?;
    scenario.ends(out).await
}

/// Nothing where no file system can be mounted.
async fn with_disk(name: &'static str, dialect: Dialect) -> Result<Option<Scenario>> {
    if let Err(reason) = Disk::available() {
        eprintln!("skipped: {reason}");
        return Ok(None);
    }
    let options = ClusterOptions { has_disk: true, ..ClusterOptions::new(dialect) };
    begin(name, options, &["db1"]).await.map(Some)
}
