//! Backups that are data directories.

use std::fs;

use anyhow::{Result, ensure};
use baton_node::backup::engine::{Engine, Extent};
use baton_node::backup::run::run;
use baton_tests::bench::Bench;
use baton_tests::sandbox::Dialect;

use baton_tests::machine::Machine;

/// A full backup and an increment, made while a client writes, become a server that goes on where the increment ended.
#[tokio::test]
async fn mariadb_full_and_increment_are_restored() -> Result<()> {
    let mut bench = Bench::begin(Dialect::MariaDb).await?;
    let engine = Engine::MariadbBackup { program: bench.program("mariadb-backup").await? };
    let spec = bench.spec("20260101T000000Z-full", engine.clone(), Extent::Full)?;
    let full = run(&spec, |_| ()).await.map_err(anyhow::Error::msg)?.manifest;
    bench.writes_on(200).await?;
    let from_lsn = full.lsn.map_or(0, |lsn| lsn.to);
    let extent = Extent::Incremental { base: full.backup.clone(), from_lsn };
    let spec = bench.spec("20260102T000000Z-increment", engine, extent)?;
    run(&spec, |_| ()).await.map_err(anyhow::Error::msg)?;
    bench.writes_on(100).await?;

    let mut restored = bench.third().await?;
    let data = restored.data_directory();
    fs::remove_dir_all(&data)?;
    let (into, options) = (data.display().to_string(), restored.option_file().display().to_string());
    let machine = Machine::new(&bench).await?;
    let said = machine.restored(&["--into", &into, "--sandbox", "--options", &options]).await?;
    ensure!(said.plan.backup == "20260102T000000Z-increment" && said.plan.chain.len() == 2, "{said:?}");
    ensure!(said.restored.tables_checked.is_some_and(|tables| tables > 2), "{said:?}");
    let position = format!("SET GLOBAL gtid_slave_pos='{}'", said.restored.gtids);
    ensure!(said.restored.next.iter().any(|step| step.contains(&position)), "{said:?}");
    restored.start().await?;
    restored.execute(["RESET MASTER", &position]).await?;
    bench.catches_up(&restored).await
}

/// A clone is a data directory that was never stopped in order: it recovers in the sandbox, and uses up no GTID there.
#[tokio::test]
async fn mysql_clone_is_restored() -> Result<()> {
    let mut bench = Bench::begin(Dialect::MySql).await?;
    let stage = bench.sandbox.root().join("stage");
    fs::create_dir(&stage)?;
    let spec = bench.spec("20260101T000000Z-clone", Engine::Clone { stage }, Extent::Full)?;
    run(&spec, |_| ()).await.map_err(anyhow::Error::msg)?;
    bench.writes_on(100).await?;

    let mut restored = bench.third().await?;
    let data = restored.data_directory();
    fs::remove_dir_all(&data)?;
    let (into, options) = (data.display().to_string(), restored.option_file().display().to_string());
    let machine = Machine::new(&bench).await?;
    let said = machine.restored(&["--into", &into, "--sandbox", "--options", &options]).await?;
    ensure!(said.restored.tables_checked.is_some_and(|tables| tables > 2), "{said:?}");
    restored.start().await?;
    let executed = restored.executed().await?;
    ensure!(executed.split_whitespace().collect::<String>() == said.restored.gtids, "{executed}, {said:?}");
    restored.execute(["RESET REPLICA ALL"]).await?;
    bench.catches_up(&restored).await
}
