//! A whole cluster: increments by command, on what they add to alone, and the chain a server again.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use baton_node::backup::pipeline::Identity;
use baton_proto::control::{Backup, BackupTask};
use baton_tests::cluster::{Cluster, program};
use baton_tests::sandbox::{Dialect, Ledger, LedgerOptions, Server, server_program, until, within};
use rustix::process::{getegid, geteuid};
use tokio::process::Command;

use super::ctl::{asked, cluster_with, ctl};

const SOON: Duration = Duration::from_secs(60);
const REFUSED: i32 = 5;
/// Also the restore of a chain of three, on a busy machine.
const RESTORE: Duration = Duration::from_secs(180);
/// The test makes each of them.
const OFF: &str = "[[backup.schedule]]\nname = \"off\"\ncron = \"0 2 * * *\"\nenabled = false\n";

/// One is made by command, and listed.
async fn made(cluster: &Cluster, more: &[&str]) -> Result<(Backup, String)> {
    let words = [&["backup", "now", "--kind", "incremental", "--follow"], more].concat();
    let task: BackupTask = asked(cluster, &words).await.map_err(|error| cluster.explained(error))?;
    ensure!(task.error.is_empty(), "{:#}", cluster.explained(anyhow::anyhow!("{task:?}")));
    let backup: Backup = asked(cluster, &["backup", "show", &task.backup]).await?;
    Ok((backup, task.note))
}

#[tokio::test]
async fn mariadb_increments_add_to_one_data_directory() -> Result<()> {
    let escrow = Identity::generate()?;
    let cluster = cluster_with(Dialect::MariaDb, "mariadb-backup", &escrow, OFF).await?;
    let mut ledger = cluster.ledger(&[], LedgerOptions::default());
    cluster.writes_go_on(&ledger, SOON).await?;
    let (full, note) = made(&cluster, &["db2"]).await?;
    ensure!(
        full.kind == "full" && note.contains("there is none yet that it could add to"),
        "{full:?} {note}"
    );
    ensure!(full.full_because == "there is none yet that it could add to", "{full:?}");
    cluster.writes_go_on(&ledger, SOON).await?;
    let (first, note) = made(&cluster, &[]).await?;
    ensure!(first.kind == "incremental" && first.base == full.id && note.is_empty(), "{first:?} {note}");
    ensure!(first.node == "db2", "the replica that has the chain is read: {first:?}");
    ensure!(first.bytes < full.bytes / 2, "{} and {}", first.bytes, full.bytes);

    ledger.stop().await;
    has_all(&cluster, &ledger, cluster.server("db2")?).await?;
    let (second, _) = made(&cluster, &[]).await?;
    ensure!(second.base == first.id, "{second:?}");
    is_restored(&cluster, &ledger, &escrow, &second.id).await?;

    // What somebody removed is nothing to add to.
    let manifest = cluster.folder().join("store/shop/backups").join(&first.id).join("manifest.json");
    let text = fs::read(&manifest)?;
    fs::remove_file(&manifest)?;
    let (alone, _) = made(&cluster, &["db2"]).await?;
    let why = format!("{}, which it would need, is not whole in store disk any more", first.id);
    ensure!(alone.kind == "full" && alone.full_because == why, "{alone:?}");
    fs::write(&manifest, text)?;

    // Another full one, so that the newest good one is no reason.
    let other: BackupTask = asked(&cluster, &["backup", "now", "db3", "--follow"]).await?;
    ensure!(other.error.is_empty() && other.note.is_empty(), "{other:?}");
    let (code, said) = ctl(&cluster, &["backup", "delete", &full.id]).await?;
    ensure!(code == REFUSED && said.contains(&first.id), "{code}: {said}");

    // The server whose chain it is becomes the writer, and is not read any more.
    cluster.moves(&["--to", "db2", "--max-pause", "10s"]).await?;
    cluster.settled().await?;
    let (moved, note) = made(&cluster, &["db1"]).await?;
    let why = format!("{}, the newest, is of db3 and not of db1", other.backup);
    ensure!(moved.kind == "full" && moved.full_because == why && note.contains(&why), "{moved:?} {note}");
    let (code, said) = ctl(&cluster, &["backup", "show", &moved.id]).await?;
    ensure!(code == 0 && said.contains("in place of an increment"), "{code}: {said}");

    // A data directory that was put back to an earlier time does not know of what was made since.
    let note = cluster.server("db1")?.data_directory().join("baton-lineage.json");
    let text = fs::read_to_string(&note)?;
    fs::write(&note, text.replace(&moved.id, "20250101T000000Z-db1"))?;
    let (back, _) = made(&cluster, &["db1"]).await?;
    ensure!(back.kind == "full" && back.full_because.ends_with("it was put back"), "{back:?}");
    Ok(())
}

/// Waits until a replica has all that was acknowledged.
async fn has_all(cluster: &Cluster, ledger: &Ledger, replica: &Server) -> Result<()> {
    let has = async || Ok(ledger.found(replica).await?.lost.is_empty().then_some(()));
    until("the replica to have every row", SOON, has).await.map_err(|error| cluster.explained(error))
}

/// `baton-node restore` makes a server of the chain, and that has every row.
async fn is_restored(cluster: &Cluster, ledger: &Ledger, escrow: &Identity, wanted: &str) -> Result<()> {
    let mut restored = cluster.sandbox().create_server(cluster.sandbox().client(), 9).await?;
    let data = restored.data_directory();
    fs::remove_dir_all(&data)?;
    let (key, store) = (cluster.folder().join("escrow"), cluster.folder().join("store"));
    fs::write(&key, escrow.to_secret_text())?;
    let servers = server_program(Dialect::MariaDb).await?.0;
    let programs = servers.parent().context("no folder of programs")?.to_owned();
    let before = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths([programs].into_iter().chain(std::env::split_paths(&before)))?;
    let mut command = Command::new(program("baton-node", "BATON_NODE_BIN")?);
    command.arg("restore").arg("--key").arg(&key).arg("--store").arg(&store).arg("--into").arg(&data);
    command.arg("--owner").arg(format!("{}:{}", geteuid().as_raw(), getegid().as_raw())).arg("--json");
    command.env("PATH", path).env_remove("BATON_CONFIG").stdin(Stdio::null()).kill_on_drop(true);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = within("baton-node restore", RESTORE, command.output()).await?;
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && said.contains(wanted), "{said}");
    restored.start().await?;
    let found = ledger.found(&restored).await?;
    ensure!(found.lost.is_empty() && found.doubled == 0 && found.rows > 0, "{found:?}");
    Ok(())
}

/// What cannot make increments makes full ones, and says so.
#[tokio::test]
async fn mysql_increment_is_a_full_one_with_the_reason() -> Result<()> {
    let escrow = Identity::generate()?;
    let cluster = cluster_with(Dialect::MySql, "clone", &escrow, OFF).await?;
    for _ in 0..2 {
        let (full, note) = made(&cluster, &[]).await?;
        ensure!(full.kind == "full" && full.full_because == "clone makes no increments", "{full:?}");
        ensure!(note.contains("clone makes no increments"), "{note}");
    }
    Ok(())
}
