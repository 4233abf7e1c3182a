//! What can be wrong with a store, each with its mend.

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

/// Why the store cannot be opened or no longer be used. A store that failed once stays failed until the daemon
/// is restarted: nothing that follows a lost write may be written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The file or its directory cannot be opened or made.
    #[error(
        "cannot open the group's store {path}: {detail}; its directory must exist, belong to the user that baton-node runs as, and be writable"
    )]
    CannotOpen {
        /// The file.
        path: PathBuf,
        /// What the system said.
        detail: String,
    },
    /// No space left.
    #[error("the disk of the group's store {path} is full: free some space there, then restart baton-node")]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// Read-only file or file system.
    #[error(
        "the group's store {path} is read-only: make the file and its file system writable, then restart baton-node"
    )]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// Another process has it open.
    #[error(
        "the group's store {path} is in use by another process: is a second baton-node running with this configuration?"
    )]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The content makes no sense.
    #[error(
        "the group's store {path} is damaged ({detail}): move it away, then remove this node and add it again (batonctl node remove, batonctl node add); a damaged store is never repaired in place"
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        detail: String,
    },
    /// Made on another machine.
    #[error(
        "the group's store {path} was made on another machine ({made_on}, this is {this}): a copied or restored store never returns under its id; move it away, then remove the node and add it again (batonctl node remove, batonctl node add)"
    )]
    OtherMachine {
        /// The file.
        path: PathBuf,
        /// Machine id in the store.
        made_on: String,
        /// Machine id here.
        this: String,
    },
    /// Written by a newer release, or not by Baton.
    #[error(
        "the group's store {path} has format {found}, this baton-node knows {known}: install the release that wrote it"
    )]
    OtherFormat {
        /// The file.
        path: PathBuf,
        /// Format in the file.
        found: i64,
        /// Newest format known.
        known: i64,
    },
    /// Any other failure of the disk or of SQLite.
    #[error(
        "the group's store {path} failed while it was to {doing}: {detail}; look at that disk, then restart baton-node"
    )]
    Failed {
        /// The file.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What the system said.
        detail: String,
    },
    /// No answer within the bound: a disk that hangs.
    #[error(
        "the group's store {path} did not answer within {seconds} s while it was to {doing}: look at that disk, then restart baton-node"
    )]
    Hangs {
        /// The file.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// How long was waited, in seconds.
        seconds: u64,
    },
    /// Closed by [`super::Store::close`].
    #[error("the group's store {path} is closed")]
    Closed {
        /// The file.
        path: PathBuf,
    },
}

impl StoreError {
    /// Names SQLite's error by what it means for the operator.
    pub(crate) fn from_sqlite(path: &Path, doing: &'static str, error: &rusqlite::Error) -> Self {
        let path = path.to_owned();
        // A damaged file is described in several lines.
        let detail = error.to_string().replace('\n', " ");
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full { path },
            Some(ErrorCode::ReadOnly) => Self::ReadOnly { path },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::InUse { path },
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Corrupt { path, detail },
            Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => Self::CannotOpen { path, detail },
            None => Self::Corrupt { path, detail },
            Some(_) => Self::Failed { path, doing, detail },
        }
    }
}

impl From<StoreError> for std::io::Error {
    fn from(error: StoreError) -> Self {
        Self::other(error)
    }
}
