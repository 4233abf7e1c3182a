//! What the machine itself takes away from a test: a processor that comes late, a disk that keeps a write back.
//!
//! A bound on an outage speaks of Baton. On a machine that others use, some seconds of an outage can be the machine's: a
//! thread beside the test measures those, and the bound is as much longer.

use std::fs::File;
use std::io::{Seek, Write};
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);
/// What an ordinary machine may take to run a thread that is due and to have a page of a file kept.
const ORDINARY: Duration = Duration::from_millis(250);
/// What it takes at most times.
const USUAL: Duration = Duration::from_millis(20);
/// Of the processor times in /proc/stat, the one that other machines had of this one's processors, and its unit.
const STOLEN: usize = 8;
const TICK: Duration = Duration::from_millis(10);

/// Measures until it is dropped.
#[derive(Debug)]
pub struct StallMeter {
    seen: Arc<Mutex<Seen>>,
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Seen {
    /// When the look that is under way began.
    began: Instant,
    /// When a stall was over, and how long it was.
    stalls: Vec<(Instant, Duration)>,
}

impl StallMeter {
    /// Begins to measure on the file system of this folder, in which it keeps one file.
    ///
    /// # Errors
    /// When the file or the thread cannot be had.
    pub fn start(folder: &Path) -> Result<Self> {
        let mut file = File::create(folder.join("stall-meter")).context("the stall meter's file")?;
        let seen = Arc::new(Mutex::new(Seen { began: Instant::now(), stalls: Vec::new() }));
        let (stop, stopped) = sync_channel(1);
        let told = Arc::clone(&seen);
        let processors = thread::available_parallelism().map_or(1, |number| number.get() as u32);
        let measure = move || {
            let mut stolen = stolen();
            loop {
                let began = Instant::now();
                told.lock().unwrap_or_else(PoisonError::into_inner).began = began;
                if stopped.recv_timeout(LOOK) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
                // A full disk is some test's fault, and no stall.
                let _ =
                    file.rewind().and_then(|()| file.write_all(&[0; 4096])).and_then(|()| file.sync_data());
                let before = std::mem::replace(&mut stolen, self::stolen());
                // One and the same moment may count as both.
                let stall = beyond_ordinary(began.elapsed()).max(stolen.saturating_sub(before) / processors);
                if !stall.is_zero() {
                    let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
                    told.stalls.push((Instant::now(), stall));
                }
            }
        };
        let thread =
            thread::Builder::new().name("stall-meter".into()).spawn(measure).context("the stall meter")?;
        Ok(Self { seen, stop: Some(stop), thread: Some(thread) })
    }

    /// How long the machine has stood still since then, altogether.
    pub fn since(&self, moment: Instant) -> Duration {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let over: Duration =
            seen.stalls.iter().filter(|(over, _)| *over >= moment).map(|(_, length)| *length).sum();
        over + beyond_ordinary(seen.began.elapsed())
    }
}

/// What a look took beyond the usual, if that was no ordinary moment.
fn beyond_ordinary(look: Duration) -> Duration {
    if look > LOOK + ORDINARY { look - LOOK - USUAL } else { Duration::ZERO }
}

/// How long other machines have had this one's processors, all of them together; nothing where that is not known.
fn stolen() -> Duration {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let of_all = text.lines().next().unwrap_or_default();
    let ticks = of_all.split_whitespace().nth(STOLEN).and_then(|ticks| ticks.parse().ok()).unwrap_or(0);
    TICK * ticks
}

impl Drop for StallMeter {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
