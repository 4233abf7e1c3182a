//! What a keeper leaves in its run directory after a kill, for the daemon that starts next.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::KILLED_FILE;
use crate::guard::clock::{BootId, Boottime};

/// No record is longer than this.
const MAX_BYTES: u64 = 16 * 1024;

/// One kill at the end of a lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KillRecord {
    /// The epoch whose lease ended.
    pub epoch: u64,
    /// The server's pid.
    pub pid: i32,
    /// When its process started, in clock ticks since boot.
    pub start_time_ticks: u64,
    /// The end of its lease.
    pub deadline: Boottime,
    /// When SIGKILL was sent.
    pub killed_at: Boottime,
    /// The same by the calendar.
    pub time: Timestamp,
    /// The boot that the two instants belong to.
    pub boot_id: BootId,
    /// Whether the kernel took the SIGKILL. Without it only the hard fence stands between this server and a second
    /// writer.
    pub delivered: bool,
    /// Why it was killed, and what went wrong with it.
    pub why: String,
}

impl KillRecord {
    /// How long after the deadline the SIGKILL was sent.
    #[must_use]
    pub const fn lateness(&self) -> Duration {
        self.killed_at.saturating_since(self.deadline)
    }

    /// The record in `run_dir`, if there is one. It may be of an earlier boot.
    ///
    /// # Errors
    /// When it cannot be read or is none.
    pub fn read(run_dir: &Path) -> io::Result<Option<Self>> {
        let file = match File::open(run_dir.join(KILLED_FILE)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut text = String::new();
        file.take(MAX_BYTES).read_to_string(&mut text)?;
        Ok(Some(serde_json::from_str(&text)?))
    }

    /// Takes the record away once it has been reported.
    ///
    /// # Errors
    /// When the file is there and cannot be removed.
    pub fn remove(run_dir: &Path) -> io::Result<()> {
        match fs::remove_file(run_dir.join(KILLED_FILE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Replaces the record in `run_dir` in one step: a reader finds the old one or the new one, whole.
    pub(crate) fn write(&self, run_dir: &Path) -> io::Result<()> {
        let temporary = run_dir.join(format!("{KILLED_FILE}.new"));
        let mut file = File::create(&temporary)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_all()?;
        fs::rename(temporary, run_dir.join(KILLED_FILE))
    }
}
