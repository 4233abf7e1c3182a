//! Programs that write a server's data as one stream: how each is called, and how it is told that what came out is a backup.
//!
//! Neither an exit status nor a word of success is believed alone: programs have said "completed OK" over streams that held
//! nothing. What is read of the stream itself has to agree.

mod clone;
mod command;
mod dump;
mod findings;
mod mariadb_backup;
mod metadata;
mod tar;
mod xbstream;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use findings::{FileEntry, Findings, LsnRange, Position};
pub use xbstream::{Flavour, Kept, StreamCheck};

use crate::gtid::Dialect;

/// A way to read a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "engine", rename_all = "kebab-case")]
pub enum Engine {
    /// MariaDB's files, while it runs.
    MariadbBackup {
        /// The program.
        program: PathBuf,
    },
    /// MySQL's InnoDB data, copied by the server itself.
    Clone {
        /// The folder in which the server may make one for its copy: on the same host, with room for all of it.
        stage: PathBuf,
    },
    /// MySQL's or MariaDB's rows, as SQL.
    Dump {
        /// `mysqldump` or `mariadb-dump`.
        program: PathBuf,
        /// Whose program it is.
        dialect: Dialect,
    },
    /// Any program that writes a stream and ends with status 0.
    Command {
        /// The program.
        program: PathBuf,
        /// Its arguments.
        arguments: Vec<String>,
        /// Less than this cannot be right.
        bytes_min: u64,
    },
}

/// What is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Extent {
    /// Everything.
    Full,
    /// The pages that changed since another backup, which it is worth nothing without.
    Incremental {
        /// That backup.
        base: String,
        /// Where that one ends.
        from_lsn: u64,
    },
}

impl Extent {
    /// The backup that this one needs.
    #[must_use]
    pub fn base(&self) -> Option<&str> {
        match self {
            Self::Full => None,
            Self::Incremental { base, .. } => Some(base),
        }
    }
}

/// Looks at a stream on its way.
pub trait Inspector: Send {
    /// The next piece.
    ///
    /// # Errors
    /// Why this is no backup.
    fn feed(&mut self, data: &[u8]) -> Result<(), String>;

    /// The stream has ended, and the program, with status 0, having said `log`.
    ///
    /// # Errors
    /// Why this is no backup.
    fn finish(self: Box<Self>, log: &str) -> Result<Findings, String>;
}

impl Engine {
    /// Its name, as the configuration has it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::MariadbBackup { .. } => "mariadb-backup",
            Self::Clone { .. } => "clone",
            Self::Dump { .. } => "dump",
            Self::Command { .. } => "command",
        }
    }

    /// Whether it can read what changed since another backup alone.
    #[must_use]
    pub fn makes_increments(&self) -> bool {
        matches!(self, Self::MariadbBackup { .. })
    }

    /// Program and arguments. `defaults` is an option file with the account, `scratch` a folder for small files, `staged` the
    /// copy that a server made, where it had to.
    ///
    /// # Errors
    /// It cannot do that.
    pub fn words(
        &self,
        extent: &Extent,
        defaults: &Path,
        scratch: &Path,
        staged: Option<&Path>,
    ) -> Result<Vec<OsString>, String> {
        match (self, extent) {
            (Self::MariadbBackup { program }, _) => {
                Ok(mariadb_backup::words(program, extent, defaults, scratch))
            }
            (Self::Clone { .. }, Extent::Full) => staged.map(clone::words).ok_or("there is no copy".into()),
            (Self::Dump { program, dialect }, Extent::Full) => Ok(dump::words(program, *dialect, defaults)),
            (Self::Command { program, arguments, .. }, Extent::Full) => {
                Ok([program.into()].into_iter().chain(arguments.iter().map(OsString::from)).collect())
            }
            (_, Extent::Incremental { .. }) => Err(format!("{} makes no increments", self.name())),
        }
    }

    /// Who looks at its stream.
    #[must_use]
    pub fn inspector(&self, extent: &Extent) -> Box<dyn Inspector> {
        match self {
            Self::MariadbBackup { .. } => Box::new(mariadb_backup::Check::new(extent)),
            Self::Clone { .. } => Box::new(clone::Check::default()),
            Self::Dump { dialect, .. } => Box::new(dump::Check::new(*dialect)),
            Self::Command { bytes_min, .. } => Box::new(command::Check::new(*bytes_min)),
        }
    }
}

/// An option and a path in one word.
fn with(option: &str, path: &Path) -> OsString {
    let mut word = OsString::from(option);
    word.push(path);
    word
}
