//! A whole cluster: backups by way of `batonctl`, of a replica that Baton chooses, under load.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use baton_node::backup::pipeline::Identity;
use baton_proto::control::{Backup, BackupBegun, BackupListReply, BackupTask};
use baton_tests::cluster::{Cluster, ClusterOptions};
use baton_tests::sandbox::{Dialect, Host, LedgerOptions, server_program, until, within};
use jiff::Timestamp;
use rustix::process::Signal;
use serde::de::DeserializeOwned;

/// Longer than one takes of these small servers on a busy machine.
const BACKUP: Duration = Duration::from_secs(120);
const SOON: Duration = Duration::from_secs(45);
/// From a failover's intent to the end of a backup.
const GIVES_WAY: Duration = Duration::from_secs(1);
const REFUSED: i32 = 5;

/// Exit status and answer of a command.
pub(super) async fn ctl(cluster: &Cluster, arguments: &[&str]) -> Result<(i32, String)> {
    let mut command = cluster.ctl().command(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let output = within(&arguments.join(" "), BACKUP, command.output()).await?;
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    Ok((output.status.code().unwrap_or(-1), said.into_owned()))
}

/// The answer as JSON, whatever the exit status.
pub(super) async fn asked<T: DeserializeOwned>(cluster: &Cluster, arguments: &[&str]) -> Result<T> {
    let mut command = cluster.ctl().command(arguments);
    command.arg("--json").stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let output = within(&arguments.join(" "), BACKUP, command.output()).await?;
    let said = || String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).with_context(|| said().into_owned())
}

/// A managed cluster with a store, and what reads its servers.
async fn cluster(dialect: Dialect, engine: &str, escrow: &Identity) -> Result<Cluster> {
    // The test makes each of them, whatever the time is.
    let off = "[[backup.schedule]]\nname = \"off\"\ncron = \"0 2 * * *\"\nenabled = false\n";
    cluster_with(dialect, engine, escrow, off).await
}

/// The same, with `more` in its configuration.
pub(super) async fn cluster_with(
    dialect: Dialect,
    engine: &str,
    escrow: &Identity,
    more: &str,
) -> Result<Cluster> {
    cluster_in(dialect, engine, escrow, "", more).await
}

/// The same, with lines for the section of backups, and `more` after those of the store.
pub(super) async fn cluster_in(
    dialect: Dialect,
    engine: &str,
    escrow: &Identity,
    backup: &str,
    more: &str,
) -> Result<Cluster> {
    let program = match dialect {
        Dialect::MySql => "mysqldump",
        Dialect::MariaDb => "mariadb-dump",
    };
    let program = server_program(dialect).await?.0.with_file_name(program);
    let sections = format!(
        "\n[backup]\nengine = \"{engine}\"\nescrow = \"{}\"\ndump_program = \"{}\"\nstage = \"{{root}}/stage\"\n{backup}\n\
         [[store]]\nname = \"disk\"\ntype = \"files\"\npath = \"{{root}}/store\"\n{more}",
        escrow.recipient(),
        program.display()
    );
    let cluster = Cluster::managed(ClusterOptions { sections, ..ClusterOptions::patient(dialect) }).await?;
    for folder in ["store", "stage"] {
        fs::create_dir(cluster.folder().join(folder))?;
    }
    Ok(cluster)
}

/// The task that `--follow` saw to its end.
async fn done(cluster: &Cluster, arguments: &[&str]) -> Result<BackupTask> {
    let task: BackupTask = asked(cluster, arguments).await.map_err(|error| cluster.explained(error))?;
    Ok(task)
}

async fn is_made_listed_and_verified(dialect: Dialect, engine: &str) -> Result<()> {
    let escrow = Identity::generate()?;
    let cluster = cluster(dialect, engine, &escrow).await?;
    let mut ledger = cluster.ledger(&[], LedgerOptions::default());
    cluster.writes_go_on(&ledger, SOON).await?;

    let begun: BackupBegun = asked(&cluster, &["backup", "now", "db1"]).await?;
    ensure!(begun.id.is_empty() && begun.refusal.contains("db1 is the writer"), "{begun:?}");
    let task = done(&cluster, &["backup", "now", "--follow"]).await?;
    ensure!(
        task.error.is_empty() && task.node != "db1",
        "{:#}",
        cluster.explained(anyhow::anyhow!("{task:?}"))
    );
    cluster.writes_go_on(&ledger, SOON).await?;

    let list: BackupListReply = asked(&cluster, &["backup", "list"]).await?;
    let [listed] = list.backups.as_slice() else { anyhow::bail!("{list:?}") };
    ensure!(listed.id == task.backup && listed.engine == engine && listed.stores == ["disk"], "{listed:?}");
    ensure!(listed.bytes > 0 && listed.stored_bytes > 0 && listed.verified_ms == 0, "{listed:?}");
    let shown: Backup = asked(&cluster, &["backup", "show", &listed.id]).await?;
    ensure!(!shown.gtids.is_empty() && shown.manifest_blake3 == listed.manifest_blake3, "{shown:?}");

    let verified = done(&cluster, &["backup", "verify", &listed.id, "--follow"]).await?;
    ensure!(verified.error.is_empty(), "{verified:?}");
    let (code, said) = ctl(&cluster, &["backup", "list"]).await?;
    ensure!(code == 0 && said.contains("verified"), "{code}: {said}");

    damage(&cluster, &listed.id)?;
    let (code, said) = ctl(&cluster, &["backup", "verify", &listed.id, "--follow"]).await?;
    ensure!(code == REFUSED && said.contains("object 0 has the checksum"), "{code}: {said}");
    let (code, said) = ctl(&cluster, &["backup", "list"]).await?;
    ensure!(code == 0 && said.contains("DAMAGED"), "{code}: {said}");
    ledger.stop().await;
    Ok(())
}

/// Flips one bit of the first object.
fn damage(cluster: &Cluster, backup: &str) -> Result<()> {
    let object: PathBuf = cluster.folder().join("store/shop/backups").join(backup).join("data.00000");
    let mut data = fs::read(&object).with_context(|| format!("{} is not there", object.display()))?;
    let middle = data.len() / 2;
    *data.get_mut(middle).context("it is empty")? ^= 1;
    Ok(fs::write(&object, data)?)
}

#[tokio::test]
async fn mariadb_backup_now_list_and_verify() -> Result<()> {
    is_made_listed_and_verified(Dialect::MariaDb, "mariadb-backup").await
}

#[tokio::test]
async fn mysql_backup_now_list_and_verify() -> Result<()> {
    is_made_listed_and_verified(Dialect::MySql, "clone").await
}

/// A backup that is under way ends when its node becomes the writer, and does not count; so does one whose node restarts, and
/// any when the writer is lost.
#[tokio::test]
async fn mariadb_backup_gives_way() -> Result<()> {
    let escrow = Identity::generate()?;
    let mut cluster = cluster(Dialect::MariaDb, "mariadb-backup", &escrow).await?;
    // Its program is not done before the test lets it.
    cluster.server("db2")?.hold_copy(true)?;
    let begun: BackupBegun = asked(&cluster, &["backup", "now", "db2"]).await?;
    ensure!(begun.node == "db2", "{begun:?}");
    reads(&cluster).await?;
    let (code, said) = ctl(&cluster, &["backup", "now", "db3"]).await?;
    ensure!(code == REFUSED && said.contains("db2 is at a backup"), "{code}: {said}");
    cluster.moves(&["--to", "db2", "--max-pause", "10s"]).await?;
    ends(&cluster, &begun, "db2 has become the writer").await?;

    cluster.server("db3")?.hold_copy(true)?;
    cluster.settled().await?;
    let begun: BackupBegun = asked(&cluster, &["backup", "now", "db3"]).await?;
    ensure!(begun.node == "db3", "{begun:?}");
    reads(&cluster).await?;
    cluster.node_mut("db3")?.restart().await?;
    ends(&cluster, &begun, "db3 was restarted meanwhile").await?;
    ends_with_the_writer(&mut cluster).await?;
    let list: BackupListReply = asked(&cluster, &["backup", "list"]).await?;
    ensure!(list.backups.is_empty(), "{list:?}");
    Ok(())
}

/// The writer db2 dies while db1 is backed up: a second after the failover's intent nothing of that is left, whoever is
/// chosen.
async fn ends_with_the_writer(cluster: &mut Cluster) -> Result<()> {
    cluster.server("db1")?.hold_copy(true)?;
    let before = cluster.settled().await?;
    ensure!(before.writer == "db2", "{before:#?}");
    let begun: BackupBegun = asked(cluster, &["backup", "now", "db1"]).await?;
    ensure!(begun.node == "db1", "{begun:?}");
    reads(cluster).await?;
    let host = cluster.host("db1")?.clone();
    let reading = copying(&host);
    ensure!(reading.len() >= 2, "a backup's process and the program that it started: {reading:?}");

    let killed = Instant::now();
    cluster.server("db2")?.kill(Signal::KILL)?;
    let gone = async || {
        let left = copying(&host);
        ensure!(left.is_empty(), "still running: {left:?}");
        Ok(Some(Timestamp::now().as_millisecond()))
    };
    let gone_ms =
        until("the backup to be gone", SOON, gone).await.map_err(|error| cluster.explained(error))?;
    let stood_still = cluster.stood_still(killed);
    cluster.moved_from("db2").await?;
    let operation = cluster.operation_from(before.epoch).await?;
    let intent = operation.steps.iter().find(|step| step.name == "intent").context("no intent")?;
    let took = Duration::from_millis(u64::try_from(gone_ms - intent.at_ms).unwrap_or_default());
    println!("the backup was gone {} ms after the intent", took.as_millis());
    ensure!(took < GIVES_WAY + stood_still, "gone after {took:?}: {operation:#?}");
    ends(cluster, &begun, "the writer was lost").await
}

/// The processes of a host that are at a backup: Baton's own, and the program that reads the server.
fn copying(host: &Host) -> Vec<String> {
    let command_of = |pid: u32| fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let commands = host.processes().into_iter().map(command_of);
    let is_at_one = |command: &Vec<u8>| {
        let mut words = command.split(|byte| *byte == 0);
        words.any(|word| word == b"backup" || word.ends_with(b"/mariadb-backup"))
    };
    commands.filter(is_at_one).map(|command| String::from_utf8_lossy(&command).replace('\0', " ")).collect()
}

/// Waits until bytes have come.
pub(super) async fn reads(cluster: &Cluster) -> Result<()> {
    let reads = async || {
        let list: BackupListReply = asked(cluster, &["backup", "list"]).await?;
        Ok(list.task.is_some_and(|task| task.bytes > 0).then_some(()))
    };
    until("the backup to be under way", SOON, reads).await.map_err(|error| cluster.explained(error))
}

/// Waits until a task is over, for that reason.
async fn ends(cluster: &Cluster, begun: &BackupBegun, why: &str) -> Result<()> {
    let ended = async || {
        let list: BackupListReply = asked(cluster, &["backup", "list"]).await?;
        Ok(list.ended.into_iter().find(|task| task.id == begun.id))
    };
    let task = until("the backup to end", SOON, ended).await.map_err(|error| cluster.explained(error))?;
    ensure!(task.error.contains(why), "{task:?}");
    Ok(())
}
