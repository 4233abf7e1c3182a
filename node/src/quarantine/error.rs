//! Why an archive could not be written or read.

use std::io;
use std::path::Path;

use thiserror::Error;

use crate::gtid::GtidSet;
use crate::sql::SqlError;

/// Why an archive could not be written or read.
#[derive(Debug, Error)]
pub enum ArchiveError {
    /// A file or folder.
    #[error("{path}: {source}")]
    Disk {
        /// Which.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// It would leave too little.
    #[error("{path}: {free_mib} MiB are free and {needed_mib} MiB have to be; make room there")]
    NoRoom {
        /// The folder.
        path: String,
        /// What is left, in MiB.
        free_mib: u64,
        /// What has to be, in MiB.
        needed_mib: u64,
    },
    /// The folder of all archives is full.
    #[error(
        "{path} has {what}, the most that Baton keeps; move archives that you do not need to another place"
    )]
    Full {
        /// The folder.
        path: String,
        /// How much is there.
        what: String,
    },
    /// The server, or its binlog.
    #[error("the server's binlog: {0}; {mend}", mend = .0.mend())]
    Server(#[from] SqlError),
    /// The oldest file begins after some of them.
    #[error("the server has purged binlog files with some of {0}: nobody can archive these any more")]
    Purged(GtidSet),
    /// The binlog ended before all were seen.
    #[error("the server's binlog does not have {0}")]
    NotFound(GtidSet),
    /// An event.
    #[error("an event of {file} cannot be read: {why}")]
    Event {
        /// The binlog file.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// The process that writes the SQL.
    #[error("the SQL could not be written: {0}")]
    Sql(String),
    /// A manifest that cannot be read, or files that are not as it says.
    #[error("{path} is damaged: {why}")]
    Damaged {
        /// The archive's folder.
        path: String,
        /// What is wrong.
        why: String,
    },
}

impl ArchiveError {
    /// Names the path in what the system said.
    pub(super) fn at(path: &Path) -> impl Fn(io::Error) -> Self + '_ {
        move |source| Self::Disk { path: path.display().to_string(), source }
    }
}
