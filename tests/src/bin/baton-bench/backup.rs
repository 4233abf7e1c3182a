//! What a backup costs: beside the raw pipe that makes the same stream without Baton, and beside writes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use baton_node::backup::pipeline::Identity;
use baton_proto::control::{BackupBegun, BackupListReply, BackupTask};
use baton_tests::cluster::{Cluster, ClusterOptions};
use baton_tests::sandbox::{Account, Dialect, Ledger, server_program};
use mysql_async::prelude::Queryable;
use serde::de::DeserializeOwned;
use tokio::process::Command;
use tokio::time::{sleep, timeout};

use crate::load;
use crate::rows::Rows;

/// The replica that is read.
const REPLICA: &str = "db2";
/// Rows that the table begins with; it is doubled after that. About 190 bytes each.
const FIRST_ROWS: u32 = 1 << 14;
/// Of one statement that doubles a table of a GiB, or one backup.
const LONG: Duration = Duration::from_secs(3600);
const LOOK: Duration = Duration::from_millis(200);
const MIB: f64 = (1 << 20) as f64;
/// Writes are counted for so long without a backup beside them.
const WITHOUT: Duration = Duration::from_secs(15);
/// What the server wrote in the background is on its disk.
const CALM: Duration = Duration::from_secs(5);

/// All values, one of each run.
#[derive(Debug, Default)]
struct Measured {
    raw: Vec<f64>,
    full_speed: Vec<f64>,
    of_raw: Vec<f64>,
    memory: Vec<f64>,
    writes: Vec<f64>,
    polite: Vec<f64>,
    lost: usize,
}

/// Measures MariaDB with `size_gib` GiB on the replica that is read; a pair of raw pipe and backup in each run.
pub(crate) async fn measure(rows: &mut Rows, runs: u32, size_gib: u64) -> Result<()> {
    let mut measured = Measured::default();
    let result = all_runs(&mut measured, runs, size_gib).await;
    let Measured { raw, full_speed, of_raw, memory, writes, polite, lost } = measured;
    let name = |what: &str| format!("MariaDB backup of {size_gib} GiB: {what}");
    rows.add(name("raw pipe"), raw, "MiB/s", 0);
    rows.add(name("at full speed"), full_speed, "MiB/s", 0);
    rows.add(name("at full speed, of the raw pipe beside it"), of_raw, "%", 0);
    rows.add(name("memory of node and backup above rest"), memory, "MiB", 0);
    rows.add(name("writes beside a polite one, of those without"), writes, "%", lost);
    rows.add(name("a polite one beside writes, of the raw pipe"), polite, "%", 0);
    result
}

async fn all_runs(measured: &mut Measured, runs: u32, size_gib: u64) -> Result<()> {
    let bench = Bench::begin(size_gib).await?;
    for run in 1..=runs {
        let one = bench.one_run(measured).await.map_err(|error| bench.cluster.explained(error));
        one.with_context(|| format!("run {run}"))?;
        let last = |values: &[f64]| values.last().copied().unwrap_or_default();
        eprintln!(
            "backup {run}/{runs}: raw {:.0} MiB/s, full speed {:.0} MiB/s ({:.0} %), {:.0} MiB more; writes at {:.0} %, polite \
             at {:.0} %",
            last(&measured.raw),
            last(&measured.full_speed),
            last(&measured.of_raw),
            last(&measured.memory),
            last(&measured.writes),
            last(&measured.polite)
        );
    }
    Ok(())
}

struct Bench {
    cluster: Cluster,
    /// mariadb-backup, which came with the servers.
    program: PathBuf,
}

impl Bench {
    async fn begin(size_gib: u64) -> Result<Self> {
        let escrow = Identity::generate()?.recipient();
        let sections = format!(
            "\n[backup]\nescrow = \"{escrow}\"\n[[store]]\nname = \"disk\"\ntype = \"files\"\npath = \"{{root}}/store\"\n\
             [[backup.schedule]]\nname = \"off\"\ncron = \"0 2 * * *\"\nenabled = false\n"
        );
        let options = ClusterOptions { sections, ..ClusterOptions::new(Dialect::MariaDb) };
        let cluster = Cluster::managed(options).await?;
        fs::create_dir(cluster.folder().join("store"))?;
        let program = server_program(Dialect::MariaDb).await?.0.with_file_name("mariadb-backup");
        let bench = Self { cluster, program };
        bench.fill(size_gib << 30).await?;
        Ok(bench)
    }

    /// Orders, on the replica alone: others need no room for them. Random where an order's data is, and so as hard to compress.
    async fn fill(&self, bytes: u64) -> Result<()> {
        let server = self.cluster.server(REPLICA)?;
        let mut connection = server.connect().await?;
        let table = "CREATE TABLE bench.orders (id BIGINT PRIMARY KEY AUTO_INCREMENT, token CHAR(36), customer INT, \
                     state VARCHAR(12), note VARCHAR(120))";
        let values = "UUID(), RAND() * 1000000, ELT(1 + FLOOR(RAND() * 4), 'new', 'paid', 'sent', 'returned'), \
                      CONCAT('order of ', MD5(RAND()), ', to be delivered by ', FROM_UNIXTIME(RAND() * 2000000000))";
        let first = format!(
            "INSERT INTO bench.orders (token, customer, state, note) SELECT {values} FROM seq_1_to_{FIRST_ROWS}"
        );
        let double = format!(
            "INSERT INTO bench.orders (token, customer, state, note) SELECT {values} FROM bench.orders LIMIT 2000000"
        );
        // Replication must not hear of it.
        for statement in ["SET SESSION sql_log_bin = 0", "CREATE DATABASE bench", "USE bench", table, &first]
        {
            connection.query_drop(statement).await.with_context(|| statement.to_owned())?;
        }
        let size =
            "SELECT FILE_SIZE FROM information_schema.INNODB_SYS_TABLESPACES WHERE NAME = 'bench/orders'";
        loop {
            let has: u64 = connection.query_first(size).await?.context("the table has no size")?;
            if has >= bytes {
                break;
            }
            eprintln!("{} of {} MiB", has >> 20, bytes >> 20);
            timeout(LONG, connection.query_drop(&double)).await??;
        }
        // What is not on the disk yet would be written beside the first run.
        connection.query_drop("SET GLOBAL innodb_max_dirty_pages_pct = 0").await?;
        let clean = "SELECT VARIABLE_VALUE + 0 FROM information_schema.GLOBAL_STATUS \
                     WHERE VARIABLE_NAME = 'INNODB_BUFFER_POOL_PAGES_DIRTY'";
        let began = Instant::now();
        while connection.query_first::<f64, _>(clean).await?.is_some_and(|dirty| dirty > 100.0) {
            ensure!(began.elapsed() < LONG, "the server does not get its pages written");
            sleep(LOOK).await;
        }
        Ok(connection.disconnect().await?)
    }

    async fn one_run(&self, measured: &mut Measured) -> Result<()> {
        sleep(CALM).await;
        let raw = self.raw().await?;
        sleep(CALM).await;
        let rest = self.resident_mib()?;
        let mut most = rest;
        let look = || {
            most = self.resident_mib()?.max(most);
            Ok(())
        };
        let task = self.backup(&["--full-speed"], look).await?;
        let full_speed = speed(&task);
        measured.raw.push(raw);
        measured.full_speed.push(full_speed);
        measured.of_raw.push(full_speed / raw * 100.0);
        measured.memory.push(most - rest);
        self.remove_backups()?;

        let mut ledger = self.cluster.ledger(&[], load::options(true));
        load::goes_on(&ledger).await?;
        sleep(CALM).await;
        let before = writes_in(&ledger, WITHOUT).await;
        let (began, already) = (Instant::now(), ledger.acknowledged());
        let task = self.backup(&[], || Ok(())).await?;
        let beside = (ledger.acknowledged() - already) as f64 / began.elapsed().as_secs_f64();
        // Before and after: a machine gets slower and faster by itself.
        let after = writes_in(&ledger, WITHOUT).await;
        ledger.stop().await;
        load::compare(&ledger, self.cluster.server("db1")?, &mut measured.lost).await?;
        measured.writes.push(beside / ((before + after) / 2.0) * 100.0);
        measured.polite.push(speed(&task) / raw * 100.0);
        self.remove_backups()
    }

    /// The pipe that everybody has, in MiB of the stream in a second.
    async fn raw(&self) -> Result<f64> {
        let (server, root) = (self.cluster.server(REPLICA)?, self.cluster.folder());
        let (scratch, stream) = (root.join("raw"), root.join("raw.zst"));
        fs::create_dir_all(&scratch)?;
        let script = "set -o pipefail; \"$1\" --no-defaults --backup --stream=mbstream --slave-info --user=\"$2\" \
                      --password=\"$3\" --socket=\"$4\" --target-dir=\"$5\" 2> \"$5.log\" | zstd -q -1 -T2 > \"$6\"";
        let mut command = Command::new("bash");
        command.arg("-c").arg(script).arg("raw").arg(&self.program);
        command.arg(Account::BATON.user).arg(Account::BATON.password).arg(server.socket());
        command.arg(&scratch).arg(&stream).stdin(Stdio::null()).kill_on_drop(true);
        let began = Instant::now();
        let status = timeout(LONG, command.status()).await??;
        let seconds = began.elapsed().as_secs_f64();
        ensure!(status.success(), "the raw pipe ended with {status}; zstd has to be installed");
        let unpacked = Command::new("bash")
            .arg("-c")
            .arg("zstd -q -d -c \"$1\" | wc -c")
            .arg("count")
            .arg(&stream)
            .output()
            .await?;
        let bytes: f64 = String::from_utf8_lossy(&unpacked.stdout).trim().parse()?;
        fs::remove_file(&stream)?;
        fs::remove_dir_all(&scratch)?;
        Ok(bytes / MIB / seconds)
    }

    /// Makes one, and calls `look` now and then meanwhile.
    async fn backup(&self, more: &[&str], mut look: impl FnMut() -> Result<()>) -> Result<BackupTask> {
        let words = [&["backup", "now", REPLICA], more].concat();
        let begun: BackupBegun = self.asked(&words).await?;
        ensure!(!begun.id.is_empty(), "{}", begun.refusal);
        let began = Instant::now();
        loop {
            sleep(LOOK).await;
            look()?;
            let list: BackupListReply = self.asked(&["backup", "list"]).await?;
            if let Some(mut task) = list.ended.into_iter().find(|task| task.id == begun.id) {
                ensure!(task.error.is_empty(), "{}", task.error);
                let made = list.backups.iter().find(|backup| backup.id == task.backup);
                task.bytes = made.context("it is not listed")?.bytes;
                return Ok(task);
            }
            ensure!(began.elapsed() < LONG, "the backup does not end");
        }
    }

    async fn asked<T: DeserializeOwned>(&self, words: &[&str]) -> Result<T> {
        let mut command = self.cluster.ctl().command(words);
        command.arg("--json").stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let output = timeout(LONG, command.output()).await??;
        serde_json::from_slice(&output.stdout)
            .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// What the node takes, keeper and the process that makes the backup included; not mariadb-backup, which the raw pipe has too.
    fn resident_mib(&self) -> Result<f64> {
        let node = self.cluster.node(REPLICA)?;
        let daemon = node.pid().context("the daemon has ended")?;
        let all = workers_of(daemon).into_iter().chain(node.keeper()).chain([daemon]);
        Ok(all.map(|pid| resident_kib(pid) as f64 / 1024.0).sum())
    }

    /// They would fill the disk.
    fn remove_backups(&self) -> Result<()> {
        let folder = self.cluster.folder().join("store/shop/backups");
        for backup in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            fs::remove_dir_all(backup?.path())?;
        }
        Ok(())
    }
}

/// Acknowledged writes in a second.
async fn writes_in(ledger: &Ledger, length: Duration) -> f64 {
    let (began, before) = (Instant::now(), ledger.acknowledged());
    sleep(length).await;
    (ledger.acknowledged() - before) as f64 / began.elapsed().as_secs_f64()
}

/// MiB of the stream in a second, from the entry that begins it to the one that ends it.
fn speed(task: &BackupTask) -> f64 {
    task.bytes as f64 / MIB / ((task.ended_ms - task.started_ms).max(1) as f64 / 1000.0)
}

/// The processes of a daemon that make backups.
fn workers_of(daemon: u32) -> Vec<u32> {
    let is_worker = |pid: &u32| {
        let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
        let stat = read("stat");
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1));
        parent == Some(daemon.to_string().as_str()) && read("cmdline").ends_with("\0backup\0")
    };
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_worker).collect()
}

/// 0 of a process that has just ended.
fn resident_kib(pid: u32) -> u64 {
    let status =
        fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|text| text.trim().strip_suffix("kB")?.trim().parse().ok()).unwrap_or_default()
}
