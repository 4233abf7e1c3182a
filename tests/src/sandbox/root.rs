//! The folder of a sandbox, and the removal of folders whose sandbox died.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};

use super::disk;
use super::members::Members;

/// What the names of sandbox folders begin with.
const PREFIX: &str = "baton-sandbox-";
/// Held locked by the sandbox's process: a folder whose lock can be had belongs to nobody any more. A lock and not a
/// pid, because pids are reused and differ between pid namespaces.
const LOCK: &str = "lock";
/// The longest path below the folder that has to fit a socket's address (107 bytes).
const LONGEST_BELOW: &str = "/client/mysqld.sock.lock.long-name";

/// A folder for all files of one sandbox, removed when dropped.
#[derive(Debug)]
pub(super) struct Root {
    path: PathBuf,
    id: String,
    _lock: File,
}

impl Root {
    /// Removes what dead sandboxes left behind, then makes a new folder with a short path.
    pub(super) fn create() -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let parent = short_parent();
        sweep(&parent);
        let id = format!("{PREFIX}{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = parent.join(&id);
        fs::create_dir(&path).with_context(|| format!("cannot create {}", path.display()))?;
        // Locked before it has its name, so that a sweep never meets it unlocked.
        let unnamed = path.join("lock.new");
        let lock = File::create_new(&unnamed)?;
        lock.lock()?;
        fs::rename(&unnamed, path.join(LOCK))?;
        Ok(Self { path, id, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        // Nobody could be told; the next sandbox sweeps what is left.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// The folder for temporary files, or `/tmp` where that leaves no room for a socket's path.
fn short_parent() -> PathBuf {
    let temp = std::env::temp_dir();
    let longest = temp.as_os_str().len() + "/baton-sandbox-4194304-999".len() + LONGEST_BELOW.len();
    if longest <= 107 { temp } else { PathBuf::from("/tmp") }
}

/// Ends the processes and removes the folders of sandboxes whose own process is gone. Best effort: what cannot be
/// removed is in nobody's way, since names hold the pid.
fn sweep(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with(PREFIX) {
            continue;
        }
        let Ok(lock) = File::open(entry.path().join(LOCK)) else { continue };
        if lock.try_lock().is_ok() {
            disk::thaw_below(&entry.path());
            Members::of_sandbox(&name, Vec::new()).kill();
            disk::unmount_below(&entry.path());
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
