//! One fault after another.

use anyhow::{Result, ensure};
use baton_tests::cluster::{ClusterOptions, Layout};
use baton_tests::sandbox::Dialect;
use rustix::process::Signal;

use super::alerts::begin;
use super::{NOTHING, OUTAGE, SOON, fault};

fault!(witness_then_primary: mysql mysql_witness_then_primary, mariadb mariadb_witness_then_primary);
fault!(witness_then_host: mariadb mariadb_witness_then_host, mysql mysql_witness_then_host);
fault!(two_failovers: both mysql_two_failovers, mariadb_two_failovers);

/// The witness is down when the primary's server dies: the two daemons beside the servers are a majority.
async fn witness_then_primary(name: &'static str, dialect: Dialect) -> Result<()> {
    let options = ClusterOptions::new(dialect).layout(Layout::TwoServersAndWitness);
    let mut scenario = begin(name, options, &["app1"]).await?;
    scenario.cluster.host("app1")?.power_off().await?;
    scenario.writes_go_on().await?;
    scenario.fault();
    scenario.cluster.server("db1")?.kill(Signal::KILL)?;
    scenario.moves(OUTAGE).await?;
    scenario.cluster.power_on("app1").await?;
    let out = scenario.comes_back("db1").await?;
    scenario.ends(out).await
}

/// The witness is down when the primary's host dies: one of three promotes nothing, until the witness is back.
async fn witness_then_host(name: &'static str, dialect: Dialect) -> Result<()> {
    let options = ClusterOptions::new(dialect).layout(Layout::TwoServersAndWitness);
    let mut scenario = begin(name, options, &["app1", "db1"]).await?;
    scenario.cluster.host("app1")?.power_off().await?;
    scenario.writes_go_on().await?;
    scenario.fault();
    scenario.cluster.host("db1")?.power_off().await?;
    // Nothing to wait for: nothing may happen for that long.
    tokio::time::sleep(NOTHING).await;
    let open = baton_tests::cluster::is_open(scenario.cluster.server("db2")?).await?;
    ensure!(!open, "a server was opened without a majority");
    scenario.cluster.power_on("app1").await?;
    scenario.moves(NOTHING + SOON).await?;
    scenario.cluster.power_on("db1").await?;
    let out = scenario.comes_back("db1").await?;
    scenario.ends(out).await
}

/// The primary dies, and its successor as soon as it is open.
async fn two_failovers(name: &'static str, dialect: Dialect) -> Result<()> {
    let mut scenario = begin(name, ClusterOptions::new(dialect), &["db1"]).await?;
    scenario.fault();
    scenario.cluster.server("db1")?.kill(Signal::KILL)?;
    let first = scenario.moves(OUTAGE).await?;
    let second: &'static str = if first.writer == "db2" { "db2" } else { "db3" };
    scenario.cluster.server(second)?.kill(Signal::KILL)?;
    scenario.cluster.server_mut(second)?.wait_exit(SOON).await?;
    scenario.writes_go_on().await?;
    scenario.ends_within(2 * OUTAGE)?;
    let mut out = Vec::new();
    for old in ["db1", second] {
        if scenario.cluster.ctl().status().await?.writer != old {
            out.extend(scenario.comes_back(old).await?);
        }
    }
    scenario.ends(out).await
}
