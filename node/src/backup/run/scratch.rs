//! A folder for what a backup needs while it runs: an option file with the account, what the program says, and the few small
//! files that it writes. It goes with the backup.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use tracing::warn;

pub(super) struct Scratch(PathBuf);

impl Scratch {
    /// In the run directory, in the place of what an earlier process may have left.
    pub(super) fn make(run: &Path, backup: &str) -> Result<Self, String> {
        let path = run.join(format!("backup-{backup}"));
        let failed = |e: std::io::Error| format!("{} cannot be made: {e}", path.display());
        // A node makes one at a time: whatever else is there was left by a process that was killed.
        for left in fs::read_dir(run).into_iter().flatten().flatten() {
            if left.file_name().to_string_lossy().starts_with("backup-") {
                fs::remove_dir_all(left.path()).map_err(failed)?;
            }
        }
        DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(failed)?;
        Ok(Self(path))
    }

    pub(super) fn defaults(&self) -> PathBuf {
        self.0.join("account.cnf")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.0.join("engine.log")
    }

    /// The program's own.
    pub(super) fn target(&self) -> PathBuf {
        self.0.join("target")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            warn!(%error, folder = %self.0.display(), "a backup's folder cannot be removed");
        }
    }
}
