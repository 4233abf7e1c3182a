//! A bad day that is no fault: every link loses packets, the processors are busy and so is the disk. Nothing may move.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use baton_tests::cluster::{Cluster, ClusterOptions};
use baton_tests::sandbox::{Dialect, LedgerOptions};
use tokio::time::sleep;

use crate::load::{compare, goes_on};
use crate::rows::Rows;

const LOSS_PERCENT: u8 = 5;
const HOGS: usize = 4;
/// What the busy disk is made to keep at each turn.
const SYNCED_BYTES: usize = 256 * 1024;
const SYNCED_FILE_BYTES: u64 = 64 * 1024 * 1024;
/// Between two looks at how it goes.
const LOOK: Duration = Duration::from_secs(10);

/// One cluster after the other under it, each for so long.
pub(crate) async fn measure(rows: &mut Rows, dialect: Dialect, runs: u32, length: Duration) -> Result<()> {
    let mut all = Vec::new();
    let mut result = Ok(());
    for _ in 0..runs {
        let cluster = Cluster::managed(ClusterOptions::new(dialect)).await?;
        match endure(&cluster, dialect, length).await {
            Ok(measured) => all.push(measured),
            Err(error) => {
                result = Err(cluster.explained(error));
                break;
            }
        }
    }
    let name = format!("{} {} min of {LOSS_PERCENT} % loss, busy", dialect.name(), length.as_secs() / 60);
    let lost = all.iter().map(|measured| measured.lost).sum();
    let figures: [Figure; 5] = [
        ("longest write gap", |m| m.gap_ms, "ms"),
        ("failovers", |m| m.failovers, "times"),
        ("self-closures", |m| m.closures, "times"),
        ("elections", |m| m.elections, "times"),
        ("acknowledged writes a second", |m| m.writes_per_second, "writes/s"),
    ];
    for (what, value, unit) in figures {
        rows.add(format!("{name}: {what}"), all.iter().map(value).collect(), unit, lost);
    }
    result
}

/// What is measured, where it stands, and its unit.
type Figure = (&'static str, fn(&Measured) -> f64, &'static str);

struct Measured {
    gap_ms: f64,
    failovers: f64,
    closures: f64,
    elections: f64,
    writes_per_second: f64,
    lost: usize,
}

async fn endure(cluster: &Cluster, dialect: Dialect, length: Duration) -> Result<Measured> {
    let before = cluster.settled().await?;
    let mut ledger = cluster.ledger(&[], LedgerOptions::default());
    goes_on(&ledger).await?;
    let logs = logs(cluster)?;
    let hosts = cluster.nodes().iter().map(|node| node.host());
    for host in hosts {
        host.lose_packets(LOSS_PERCENT).await?;
    }
    let hogs = (0..HOGS).map(|_| Hog::start()).collect::<Result<Vec<_>>>()?;
    let disk = BusyDisk::start(cluster.nodes()[0].host().folder().join("busy"))?;
    let (began, mark) = (Instant::now(), ledger.acknowledged());
    while began.elapsed() < length {
        sleep(LOOK.min(length.saturating_sub(began.elapsed()))).await;
        eprintln!(
            "{} {} s: {} writes acknowledged, longest gap {} ms",
            dialect.name(),
            began.elapsed().as_secs(),
            ledger.acknowledged() - mark,
            ledger.gap_after(began).as_millis()
        );
    }
    let writes = ledger.acknowledged() - mark;
    let (lasted, gap) = (began.elapsed(), ledger.gap_after(began));
    let synced = disk.stop();
    drop(hogs);
    for node in cluster.nodes() {
        node.host().lose_packets(0).await?;
    }
    eprintln!("the busy disk was synced {synced} times");
    goes_on(&ledger).await?;
    ledger.stop().await;
    let after = cluster.settled().await?;
    let mut lost = 0;
    compare(&ledger, cluster.server(&after.writer)?, &mut lost).await?;
    let since: String = logs
        .iter()
        .map(|(path, length)| Ok(fs::read_to_string(path)?.split_off(*length)))
        .collect::<Result<_>>()?;
    let said = |words: &str| since.lines().filter(|line| line.contains(words)).count() as f64;
    Ok(Measured {
        gap_ms: gap.as_secs_f64() * 1000.0,
        failovers: (after.epoch - before.epoch) as f64,
        closures: said("no majority of the voters has granted more lease; closing the server"),
        elections: said(" leading term="),
        writes_per_second: writes as f64 / lasted.as_secs_f64(),
        lost,
    })
}

/// Each node's log, and how long it is now.
fn logs(cluster: &Cluster) -> Result<Vec<(PathBuf, usize)>> {
    let of = |path: &std::path::Path| Ok((path.to_owned(), fs::read_to_string(path)?.len()));
    cluster.nodes().iter().map(|node| of(node.log())).collect()
}

/// A process that wants a whole processor.
struct Hog(Child);

impl Hog {
    fn start() -> Result<Self> {
        let mut command = Command::new("sh");
        command.args(["-c", "while :; do :; done"]).stdin(Stdio::null());
        command.spawn().map(Self).context("cannot start a processor hog")
    }
}

impl Drop for Hog {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A thread that writes to the servers' disk and has it kept, without end.
struct BusyDisk {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<u64>>,
    path: PathBuf,
}

impl BusyDisk {
    fn start(path: PathBuf) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (ended, mut file) = (Arc::clone(&stop), File::create(&path)?);
        let thread = thread::spawn(move || {
            let block = vec![0x5a; SYNCED_BYTES];
            let mut synced = 0;
            while !ended.load(Ordering::Relaxed) {
                let wrote = file
                    .seek(SeekFrom::Start(synced * SYNCED_BYTES as u64 % SYNCED_FILE_BYTES))
                    .and_then(|_| file.write_all(&block))
                    .and_then(|()| file.sync_all());
                if wrote.is_err() {
                    break;
                }
                synced += 1;
            }
            synced
        });
        Ok(Self { stop, thread: Some(thread), path })
    }

    fn stop(mut self) -> u64 {
        self.end()
    }

    fn end(&mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().and_then(|thread| thread.join().ok()).unwrap_or_default()
    }
}

impl Drop for BusyDisk {
    fn drop(&mut self) {
        self.end();
        drop(fs::remove_file(&self.path));
    }
}
