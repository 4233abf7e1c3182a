//! One daemon in one run folder.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// Locked by the living daemon.
const LOCK_FILE: &str = "node.lock";

/// Holds the run folder as long as it lives, however the process ends. Two daemons in one folder would share a keeper,
/// and the second would take from it the server that it holds for the first.
#[derive(Debug)]
pub(super) struct Claim {
    _locked: File,
}

impl Claim {
    /// Takes the folder; `None` when another daemon has it.
    ///
    /// # Errors
    /// What the system says about the lock file.
    pub(super) fn take(run_dir: &Path) -> io::Result<Option<Self>> {
        let path = run_dir.join(LOCK_FILE);
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                file.set_len(0)?;
                writeln!(&file, "{}", std::process::id())?;
                Ok(Some(Self { _locked: file }))
            }
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// The pid of the daemon that holds the folder; `None` when none does.
pub(super) fn holder(run_dir: &Path) -> Option<i32> {
    let path = run_dir.join(LOCK_FILE);
    let file = File::open(&path).ok()?;
    // A daemon's lock is exclusive; one that this process gets means that nobody holds the folder.
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Err(Errno::WOULDBLOCK) => std::fs::read_to_string(path).ok()?.trim().parse().ok(),
        _ => None,
    }
}
