//! What is not restored, and what a restore that is ended in the middle leaves.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use baton_node::backup::engine::{Engine, Extent};
use baton_node::backup::pipeline::Identity;
use baton_node::backup::run::run;
use baton_tests::bench::Bench;
use baton_tests::sandbox::{Dialect, until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use baton_tests::machine::Machine;

const BACKUP: &str = "20260101T000000Z-full";
const SOON: Duration = Duration::from_secs(60);

async fn with_backup() -> Result<(Bench, Machine)> {
    let bench = Bench::begin(Dialect::MariaDb).await?;
    let engine = Engine::MariadbBackup { program: bench.program("mariadb-backup").await? };
    let spec = bench.spec(BACKUP, engine, Extent::Full)?;
    run(&spec, |_| ()).await.map_err(anyhow::Error::msg)?;
    let machine = Machine::new(&bench).await?;
    Ok((bench, machine))
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    entries.collect()
}

/// Each is refused with its reason before anything is written, or leaves nothing.
#[tokio::test]
async fn mariadb_restores_that_cannot_be() -> Result<()> {
    let (bench, mut machine) = with_backup().await?;
    let root = bench.sandbox.root().to_owned();
    let data = root.join("restored");
    let into = data.display().to_string();
    let object = |number: u32| machine.store.join(format!("shop/backups/{BACKUP}/data.{number:05}"));
    let second = object(1);

    let key = std::mem::replace(&mut machine.key, root.join("another key"));
    fs::write(&machine.key, Identity::generate()?.to_secret_text())?;
    machine.refuses(&["--into", &into], "none of the keys here opens it; it was made for age1").await?;
    machine.key = key;

    machine
        .refuses(&["--into", &into, "--backup", "20250101T000000Z-no"], "has no backup 20250101T000000Z-no")
        .await?;
    machine.refuses(&["--socket", &into], "use --into DIR in place of --socket").await?;

    fs::create_dir(&data)?;
    fs::write(data.join("precious"), "of somebody")?;
    machine.refuses(&["--into", &into], "is not empty (precious)").await?;
    ensure!(names(&data)? == ["precious"], "{:?}", names(&data)?);
    fs::remove_file(data.join("precious"))?;
    let busy = bench.servers[1].data_directory().display().to_string();
    machine.refuses(&["--into", &busy], "is at work in").await?;

    // Found by the listing, before anything is written.
    let whole = fs::read(&second)?;
    fs::remove_file(&second)?;
    machine.refuses(&["--into", &into], "data.00001 is missing").await?;
    lists(&machine, &["data.00001 is missing"]).await?;
    fs::write(&second, whole.get(..100).context("it is short")?)?;
    machine.refuses(&["--into", &into], "has 100 bytes and should have").await?;
    // Found on the way: nothing is left.
    let mut damaged = whole.clone();
    *damaged.get_mut(whole.len() / 2).context("it is empty")? ^= 1;
    fs::write(&second, &damaged)?;
    machine.refuses(&["--into", &into], "object 1 is damaged").await?;
    fs::write(&second, &whole)?;
    ensure!(names(&data)?.is_empty(), "{:?}", names(&data)?);

    without_room(&machine, &into).await?;
    let plan = machine.restore(&["--into", &into, "--dry-run"]).await?;
    let said = String::from_utf8_lossy(&plan.stdout).into_owned();
    ensure!(
        plan.status.success() && said.contains("mariadb-backup --prepare") && said.contains("GTID set"),
        "{said}"
    );
    ensure!(names(&data)?.is_empty(), "{:?}", names(&data)?);
    machine.restored(&["--into", &into]).await?;
    let found = names(&data)?;
    ensure!(found.contains(&"ibdata1".to_owned()), "{found:?}");
    lists(&machine, &[]).await
}

/// A manifest that asks for more than any disk has.
async fn without_room(machine: &Machine, into: &str) -> Result<()> {
    let path = machine.store.join(format!("shop/backups/{BACKUP}/manifest.json"));
    let text = fs::read(&path)?;
    let mut manifest: Value = serde_json::from_slice(&text)?;
    manifest["stream"]["bytes"] = Value::from(1_u64 << 60);
    fs::write(&path, manifest.to_string())?;
    machine.refuses(&["--into", into], "are missing").await?;
    Ok(fs::write(&path, text)?)
}

/// `baton-node backups` says the same of the only backup.
async fn lists(machine: &Machine, lacks: &[&str]) -> Result<()> {
    let output = machine.command(&["backups", "--json"])?.output().await?;
    let list: Value = serde_json::from_slice(&output.stdout)?;
    let said = list["backups"][0]["lacks"].to_string();
    ensure!(list["backups"][0]["backup"] == BACKUP && lacks.iter().all(|lack| said.contains(lack)), "{list}");
    ensure!(!lacks.is_empty() || said == "[]", "{said}");
    Ok(())
}

/// Programs that wait before the redo log is applied.
struct Held {
    folder: PathBuf,
}

impl Held {
    async fn new(bench: &Bench) -> Result<Self> {
        let folder = bench.sandbox.root().join("held");
        fs::create_dir(&folder)?;
        let real = bench.program("mariadb-backup").await?;
        let script = format!(
            "#!/bin/sh\nif [ \"$1\" = --prepare ]; then\n  echo $$ > {0}/new && mv {0}/new {0}/pid\n  \
             while [ -e {0}/hold ]; do sleep 0.05; done\nfi\nexec {1} \"$@\"\n",
            folder.display(),
            real.display()
        );
        let wrapper = folder.join("mariadb-backup");
        fs::write(&wrapper, script)?;
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755))?;
        fs::write(folder.join("hold"), "")?;
        Ok(Self { folder })
    }

    async fn waits(&self) -> Result<Pid> {
        let pid = self.folder.join("pid");
        let there = async || {
            let text = fs::read_to_string(&pid).unwrap_or_default();
            Ok(text.trim().parse().ok().and_then(Pid::from_raw))
        };
        let found = until("the program to wait", SOON, there).await?;
        fs::remove_file(&pid)?;
        Ok(found)
    }
}

/// Ended in order it leaves nothing; killed it leaves a folder that says what it is, and the same command goes well then.
#[tokio::test]
async fn mariadb_restore_that_is_ended_in_the_middle() -> Result<()> {
    let (bench, machine) = with_backup().await?;
    let (held, mut restored) = (Held::new(&bench).await?, bench.third().await?);
    let slow = machine.with_programs(&held.folder)?;
    let data = restored.data_directory();
    fs::remove_dir_all(&data)?;
    let into = data.display().to_string();

    let mut child = slow.restoring(&["--into", &into])?.spawn()?;
    let waits = held.waits().await?;
    ensure!(data.join("baton-restore.partial/data/ibdata1").exists(), "it is not in the middle");
    slow.refuses(&["--into", &into], "another restore is at work in").await?;
    let pid = child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)).context("it has ended")?;
    kill_process(pid, Signal::TERM)?;
    let status = child.wait().await?;
    ensure!(status.code() == Some(1) && !data.exists(), "{status}, {:?}", names(&data));
    is_gone(waits).await?;

    let mut child = slow.restoring(&["--into", &into])?.spawn()?;
    let waits = held.waits().await?;
    child.kill().await?;
    // Nobody is left who would end it.
    kill_process(waits, Signal::KILL)?;
    ensure!(names(&data)? == ["baton-restore.partial"], "{:?}", names(&data)?);
    ensure!(restored.start().await.is_err(), "a server starts with it");
    ensure!(restored.exited()?.is_some());
    // The server has left files of its own there.
    for name in names(&data)?.iter().filter(|name| *name != "baton-restore.partial") {
        let path = data.join(name);
        if path.is_dir() { fs::remove_dir_all(path)? } else { fs::remove_file(path)? }
    }
    machine.restored(&["--into", &into]).await?;
    ensure!(!names(&data)?.contains(&"baton-restore.partial".to_owned()));
    restored.start().await?;
    let rows: Vec<u64> = restored.query("SELECT COUNT(*) FROM app.noise").await?;
    ensure!(rows == [4096], "{rows:?}");
    Ok(())
}

async fn is_gone(pid: Pid) -> Result<()> {
    let gone =
        async || Ok((!Path::new(&format!("/proc/{}/exe", pid.as_raw_nonzero())).exists()).then_some(()));
    until("the program to end", SOON, gone).await
}
