//! Room on the disk that segments grow on. The group's own state lies there too: a disk that is full ends the group on this
//! node, and an archive that waits ends nothing.

use std::path::{Path, PathBuf};

use rustix::fs::statvfs;

const MIB: u64 = 1 << 20;

/// A folder, and what is kept free on its disk.
#[derive(Debug, Clone)]
pub(super) struct Room {
    folder: PathBuf,
    keep_free: u64,
}

impl Room {
    /// `keep_free` bytes stay free below `folder`.
    pub(super) fn new(folder: &Path, keep_free: u64) -> Self {
        Self { folder: folder.to_owned(), keep_free }
    }

    /// Why no more may be written there now, in words; `None` while more may.
    ///
    /// # Errors
    /// The disk cannot be looked at, in words.
    pub(super) fn lacking(&self) -> Result<Option<String>, String> {
        let shown = self.folder.display();
        let found = statvfs(&self.folder).map_err(|e| format!("{shown} cannot be looked at: {e}"))?;
        let free = found.f_bavail.saturating_mul(found.f_frsize);
        let (free_mib, kept_mib) = (free / MIB, self.keep_free / MIB);
        Ok((free < self.keep_free).then(|| {
            format!(
                "{free_mib} MiB are free on the disk of {shown}, and archive.keep_free_mib keeps {kept_mib}"
            )
        }))
    }
}
