//! What people and service managers do to a server.

use std::time::Instant;

use anyhow::{Result, ensure};
use baton_tests::cluster::{ClusterOptions, Scenario};
use baton_tests::sandbox::{Dialect, until};
use rustix::process::Signal;

use super::{OUTAGE, SOON, fault};

fault!(restarted_at_once: mysql mysql_restarted_at_once, mariadb mariadb_restarted_at_once);
fault!(orderly_stop_without_ackers: mysql mysql_orderly_stop_without_ackers, mariadb mariadb_orderly_stop_without_ackers);

/// systemd starts a server that died again within a second: whichever is sooner, it or a replica, goes on.
async fn restarted_at_once(name: &'static str, dialect: Dialect) -> Result<()> {
    let mut scenario = Scenario::begin(name, ClusterOptions::new(dialect), &[]).await?;
    scenario.fault();
    scenario.cluster.server("db1")?.kill(Signal::KILL)?;
    scenario.cluster.server_mut("db1")?.wait_exit(SOON).await?;
    scenario.cluster.server_mut("db1")?.launch()?;
    scenario.writes_go_on().await?;
    scenario.ends_within(OUTAGE)?;
    let after = scenario.cluster.ctl().status().await?;
    ensure!(after.epoch > scenario.before.epoch, "a server that was restarted is open under its old epoch");
    let out = match after.writer.as_str() {
        "db1" => None,
        _ => scenario.comes_back("db1").await?,
    };
    scenario.ends(out).await
}

/// The primary is stopped in an orderly way while its commits wait for ackers that stand still. MySQL then answers those
/// clients OK, so that it alone may have acknowledged rows: nobody else is promoted without them.
async fn orderly_stop_without_ackers(name: &'static str, dialect: Dialect) -> Result<()> {
    let mut scenario = Scenario::begin(name, ClusterOptions::new(dialect), &[]).await?;
    for replica in ["db2", "db3"] {
        scenario.cluster.server(replica)?.kill(Signal::STOP)?;
    }
    let still = Instant::now();
    let waits = async || Ok((scenario.ledger.gap_after(still).as_millis() > 300).then_some(()));
    until("commits to wait for ackers", SOON, waits).await?;
    scenario.fault();
    scenario.cluster.server("db1")?.kill(Signal::TERM)?;
    scenario.cluster.server_mut("db1")?.wait_exit(SOON).await?;
    for replica in ["db2", "db3"] {
        scenario.cluster.server(replica)?.kill(Signal::CONT)?;
    }
    scenario.cluster.server_mut("db1")?.start().await?;
    scenario.writes_go_on().await?;
    scenario.ends_within(2 * OUTAGE)?;
    let out = match scenario.cluster.ctl().status().await?.writer.as_str() {
        "db1" => None,
        _ => scenario.comes_back("db1").await?,
    };
    scenario.ends(out).await
}
