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
/// What an ordinary machine takes to run a thread that is due and to have a page of a file kept.
const ORDINARY: Duration = Duration::from_millis(250);

/// Measures until it is dropped.
#[derive(Debug)]
pub struct StallMeter {
    /// When a stall was over, and what it took beyond the ordinary.
    stalls: Arc<Mutex<Vec<(Instant, Duration)>>>,
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl StallMeter {
    /// Begins to measure on the file system of this folder, in which it keeps one file.
    ///
    /// # Errors
    /// When the file or the thread cannot be had.
    pub fn start(folder: &Path) -> Result<Self> {
        let mut file = File::create(folder.join("stall-meter")).context("the stall meter's file")?;
        let stalls = Arc::new(Mutex::new(Vec::new()));
        let (stop, stopped) = sync_channel(1);
        let told = Arc::clone(&stalls);
        let measure = move || {
            loop {
                let began = Instant::now();
                if stopped.recv_timeout(LOOK) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
                // A full disk is some test's fault, and no stall.
                let _ =
                    file.rewind().and_then(|()| file.write_all(&[0; 4096])).and_then(|()| file.sync_data());
                let over = began.elapsed().saturating_sub(LOOK + ORDINARY);
                if !over.is_zero() {
                    told.lock().unwrap_or_else(PoisonError::into_inner).push((Instant::now(), over));
                }
            }
        };
        let thread =
            thread::Builder::new().name("stall-meter".into()).spawn(measure).context("the stall meter")?;
        Ok(Self { stalls, stop: Some(stop), thread: Some(thread) })
    }

    /// How long the machine has stood still since then, altogether.
    pub fn since(&self, moment: Instant) -> Duration {
        let stalls = self.stalls.lock().unwrap_or_else(PoisonError::into_inner);
        stalls.iter().filter(|(over, _)| *over >= moment).map(|(_, length)| *length).sum()
    }
}

impl Drop for StallMeter {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
