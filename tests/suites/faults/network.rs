//! Links that are cut, wholly or in one direction.

use anyhow::Result;
use baton_tests::cluster::{ClusterOptions, Layout};
use baton_tests::sandbox::{Dialect, Host};

use super::alerts::begin;
use super::{DEGRADES, GAP, NOTHING, OUTAGE, cannot_cut, fault};

fault!(writer_is_deaf: mysql mysql_writer_is_deaf, mariadb mariadb_writer_is_deaf);
fault!(writer_is_mute: mariadb mariadb_writer_is_mute, mysql mysql_writer_is_mute);
fault!(data_hosts_apart: mysql mysql_data_hosts_apart, mariadb mariadb_data_hosts_apart);
fault!(witness_apart: mariadb mariadb_witness_apart, mysql mysql_witness_apart);

/// The writer's host sends, and nothing reaches it.
async fn writer_is_deaf(name: &'static str, dialect: Dialect) -> Result<()> {
    one_way(name, dialect, async |writer, other| other.mute_towards(writer).await).await
}

/// The writer's host hears, and nothing that it sends arrives.
async fn writer_is_mute(name: &'static str, dialect: Dialect) -> Result<()> {
    one_way(name, dialect, async |writer, other| writer.mute_towards(other).await).await
}

async fn one_way(
    name: &'static str,
    dialect: Dialect,
    cut: impl AsyncFn(&Host, &Host) -> Result<()>,
) -> Result<()> {
    if cannot_cut() {
        return Ok(());
    }
    let mut scenario = begin(name, ClusterOptions::new(dialect), &["db1"]).await?;
    scenario.fault();
    let writer = scenario.cluster.host("db1")?.clone();
    for other in scenario.cluster.sandbox().hosts().iter().filter(|host| host.name() != writer.name()) {
        cut(&writer, other).await?;
    }
    scenario.moves(OUTAGE).await?;
    writer.heal().await?;
    let out = scenario.comes_back("db1").await?;
    scenario.ends(out).await
}

/// Two data hosts that do not reach each other, while the witness reaches both: the writer goes on without its acker.
async fn data_hosts_apart(name: &'static str, dialect: Dialect) -> Result<()> {
    if cannot_cut() {
        return Ok(());
    }
    let options = ClusterOptions::new(dialect).layout(Layout::TwoServersAndWitness);
    let mut scenario = begin(name, options, &["db2"]).await?;
    scenario.fault();
    let (writer, replica) = (scenario.cluster.host("db1")?.clone(), scenario.cluster.host("db2")?.clone());
    writer.cut_from(&replica).await?;
    scenario.stays(NOTHING, DEGRADES).await?;
    scenario.ledger.no_session_was_cut()?;
    writer.heal().await?;
    scenario.ends(None).await
}

/// The witness reaches nobody: two of three go on.
async fn witness_apart(name: &'static str, dialect: Dialect) -> Result<()> {
    if cannot_cut() {
        return Ok(());
    }
    let options = ClusterOptions::new(dialect).layout(Layout::TwoServersAndWitness);
    let mut scenario = begin(name, options, &["app1"]).await?;
    scenario.fault();
    scenario.cluster.host("app1")?.cut().await?;
    scenario.stays(NOTHING, GAP).await?;
    scenario.ledger.no_session_was_cut()?;
    scenario.cluster.host("app1")?.heal().await?;
    scenario.ends(None).await
}
