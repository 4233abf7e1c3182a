//! MySQL's CLONE.

use std::fs;

use anyhow::{Context, Result, ensure};
use baton_node::backup::engine::{Engine, Extent};
use baton_node::backup::open;
use baton_node::backup::run::run;
use baton_tests::bench::Bench;
use baton_tests::sandbox::Dialect;

/// The replica copies itself while it is closed and replicates; the copy is a data directory as it is. Nothing of it stays.
#[tokio::test]
async fn mysql_clone_is_a_server_again() -> Result<()> {
    let mut bench = Bench::begin(Dialect::MySql).await?;
    let stage = bench.sandbox.root().join("stage");
    fs::create_dir(&stage)?;
    let spec = bench.spec("20260101T000000Z-clone", Engine::Clone { stage: stage.clone() }, Extent::Full)?;
    let made = run(&spec, |_| ()).await.map_err(anyhow::Error::msg)?.manifest;
    let uuid: Vec<String> = bench.servers[1].query("SELECT @@server_uuid").await?;
    let executed = bench.servers[1].executed().await?;
    ensure!(!executed.contains(&uuid.concat()), "it took a GTID of its own: {executed}");
    ensure!(fs::read_dir(&stage)?.count() == 0, "the copy was left");
    bench.writes_on(100).await?;
    ensure!(bench.verified(&made.backup).await? == made);
    ensure!(made.inventory.iter().any(|f| f.name == "app/writes.ibd" && f.bytes > 0), "{:?}", made.inventory);
    bench.is_secret(&made).await?;
    let gtids = made.position.clone().context("no position")?.gtids;
    ensure!(made.server.version.starts_with(char::is_numeric) && !gtids.is_empty(), "{made:?}");

    let mut restored = bench.third().await?;
    let data = restored.data_directory();
    fs::remove_dir_all(&data)?;
    fs::create_dir(&data)?;
    let arguments = ["-x".to_owned(), "-C".to_owned(), data.display().to_string()];
    bench.pipe(&made, "/bin/tar".as_ref(), &arguments).await?;
    restored.start().await?;
    let has_all: Vec<bool> =
        restored.query(&format!("SELECT GTID_SUBSET('{gtids}', @@GLOBAL.gtid_executed)")).await?;
    ensure!(has_all == [true], "it has not all that the manifest says: {gtids}");
    restored.execute(["RESET REPLICA ALL"]).await?;
    bench.catches_up(&restored).await
}

/// Refused before anything is copied, with what is missing.
#[tokio::test]
async fn mysql_clone_without_room_is_refused() -> Result<()> {
    let bench = Bench::begin(Dialect::MySql).await?;
    let stage = bench.sandbox.root().to_owned();
    let mut spec =
        bench.spec("20260101T000000Z-clone", Engine::Clone { stage: stage.clone() }, Extent::Full)?;
    spec.about.server.data_bytes = 1 << 60;
    let error = run(&spec, |_| ()).await.err().context("it counts as a backup")?;
    ensure!(error.contains("are missing; make room there"), "{error}");
    ensure!(open::scan(&bench.store()?, "shop").await?.backups.is_empty());
    Ok(())
}
