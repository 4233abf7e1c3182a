//! mariadb-backup, full and incremental.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use baton_node::backup::engine::{Engine, Extent};
use baton_node::backup::manifest::Manifest;
use baton_node::backup::open;
use baton_node::backup::run::run;
use baton_node::gtid::MariadbSet;
use baton_tests::bench::Bench;
use baton_tests::sandbox::{Dialect, Server, until};
use rustix::process::{Pid, Signal, kill_process};

const STARTS: Duration = Duration::from_secs(30);
/// Bytes of log since the last checkpoint: much less than the data of a bench.
const CHECKPOINT_AGE: u64 = 1_000_000;

async fn engine(bench: &Bench) -> Result<Engine> {
    Ok(Engine::MariadbBackup { program: bench.program("mariadb-backup").await? })
}

/// Made under load, full and since that one; unpacked, prepared and started by the means that everybody has.
#[tokio::test]
async fn mariadb_full_and_increment_are_a_server_again() -> Result<()> {
    let mut bench = Bench::begin(Dialect::MariaDb).await?;
    let engine = engine(&bench).await?;
    checkpointed(&bench.servers[1]).await?;
    let spec = bench.spec("20260101T000000Z-full", engine.clone(), Extent::Full)?;
    let full = run(&spec, |_| ()).await.map_err(anyhow::Error::msg)?.manifest;
    bench.writes_on(200).await?;
    let from_lsn = full.lsn.context("no LSN")?.to;
    let extent = Extent::Incremental { base: full.backup.clone(), from_lsn };
    let spec = bench.spec("20260101T010000Z-incremental", engine, extent)?;
    let increment = run(&spec, |_| ()).await.map_err(anyhow::Error::msg)?.manifest;
    ensure!(increment.stream.bytes < full.stream.bytes / 2, "{increment:?}");
    ensure!(full.stream.objects.len() > 1, "cut into objects: {:?}", full.stream.objects);
    ensure!(full.inventory.iter().any(|f| f.name == "app/writes.ibd" && f.bytes > 0), "{:?}", full.inventory);
    for manifest in [&full, &increment] {
        ensure!(bench.verified(&manifest.backup).await? == *manifest);
        bench.is_secret(manifest).await?;
    }

    let (mut restored, root) = (bench.third().await?, bench.sandbox.root().to_owned());
    let data = unpacked(&bench, &full, &root.join("full")).await?;
    prepare(&bench, &data, None).await?;
    let delta = unpacked(&bench, &increment, &root.join("increment")).await?;
    prepare(&bench, &data, Some(&delta)).await?;
    fs::remove_dir_all(restored.data_directory())?;
    fs::rename(&data, restored.data_directory())?;
    restored.start().await?;
    // What the program notes on a replica may be one transaction behind the rows; the table beside them is not.
    let noted = MariadbSet::parse_position(&increment.position.context("no position")?.gtids)?;
    let table: Vec<String> = restored.query("SELECT @@GLOBAL.gtid_slave_pos").await?;
    let set = noted.union(&MariadbSet::parse_position(&table.concat())?);
    let position = format!("SET GLOBAL gtid_slave_pos='{}'", set.position());
    restored.execute(["RESET SLAVE ALL", "RESET MASTER", &position]).await?;
    bench.catches_up(&restored).await
}

/// Killed in the middle the program leaves nothing that could be taken for a backup.
#[tokio::test]
async fn mariadb_backup_that_dies_leaves_no_backup() -> Result<()> {
    let bench = Bench::begin(Dialect::MariaDb).await?;
    let mut spec = bench.spec("20260101T000000Z-killed", engine(&bench).await?, Extent::Full)?;
    spec.bytes_per_s = Some(1 << 20);
    let scratch = format!("backup-{}", spec.about.backup);
    let kill = async {
        let pid = until("the program", STARTS, async || Ok(child_with(&scratch))).await?;
        kill_process(pid, Signal::KILL)?;
        Ok::<(), anyhow::Error>(())
    };
    let (made, killed) = tokio::join!(run(&spec, |_| ()), kill);
    killed?;
    let error = made.err().context("it counts as a backup")?;
    ensure!(error.contains("mariadb-backup ended with signal: 9"), "{error}");
    let scan = open::scan(&bench.store()?, "shop").await?;
    ensure!(scan.backups.is_empty() && scan.unreadable.is_empty(), "{scan:?}");
    ensure!(bench.store()?.abort_all("").await? == 0, "an upload was left");
    ensure!(fs::read_dir(bench.sandbox.root().join("run"))?.count() == 0, "a folder was left");
    Ok(())
}

/// An increment since a position that this server never had: the program says "completed OK!".
#[tokio::test]
async fn mariadb_increment_of_another_server_is_none() -> Result<()> {
    let bench = Bench::begin(Dialect::MariaDb).await?;
    let extent = Extent::Incremental { base: "20260101T000000Z-other".into(), from_lsn: 1 << 40 };
    let spec = bench.spec("20260101T010000Z-wrong", engine(&bench).await?, extent)?;
    let error = run(&spec, |_| ()).await.err().context("it counts as a backup")?;
    ensure!(error.contains("its base is another server's"), "{error}");
    Ok(())
}

/// An increment begins at the checkpoint before its base: without one since the data came, it has all of it again.
async fn checkpointed(replica: &Server) -> Result<()> {
    replica.execute(["SET GLOBAL innodb_max_dirty_pages_pct=0"]).await?;
    let done = async || {
        let age: Vec<(String, u64)> =
            replica.query("SHOW GLOBAL STATUS LIKE 'Innodb_checkpoint_age'").await?;
        ensure!(age.iter().any(|(_, bytes)| *bytes < CHECKPOINT_AGE), "{age:?}");
        Ok(Some(()))
    };
    until("a checkpoint", STARTS, done).await
}

async fn unpacked(bench: &Bench, manifest: &Manifest, into: &Path) -> Result<PathBuf> {
    fs::create_dir(into)?;
    let arguments = ["-x".to_owned(), "-C".to_owned(), into.display().to_string()];
    bench.pipe(manifest, &bench.program("mbstream").await?, &arguments).await?;
    Ok(into.to_owned())
}

async fn prepare(bench: &Bench, data: &Path, delta: Option<&Path>) -> Result<()> {
    let mut command = Command::new(bench.program("mariadb-backup").await?);
    command.arg("--prepare").arg(format!("--target-dir={}", data.display()));
    if let Some(delta) = delta {
        command.arg(format!("--incremental-dir={}", delta.display()));
    }
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// A program that this test has started, by a word of its command line.
fn child_with(word: &str) -> Option<Pid> {
    let own = std::process::id().to_string();
    let entries = fs::read_dir("/proc").ok()?.flatten();
    let found = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok()).find(|pid| {
        let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
        let stat = read("stat");
        let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1));
        parent == Some(own.as_str()) && read("cmdline").contains(word)
    });
    Pid::from_raw(found?)
}
