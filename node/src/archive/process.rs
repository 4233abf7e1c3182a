//! A binlog is archived by a process of its own, `baton-node archive`.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::run::{ArchiveSpec, Ended, Progress, run_unless};
use crate::backup::worker;

/// The command's name.
const COMMAND: &str = "archive";

/// What it came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Done {
    /// It was told to stop, or has sent all that waited.
    Stopped,
    /// Its server cannot send what the archive lacks, in words.
    Lacks(String),
}

/// What the process says.
pub type Event = worker::Event<Progress, Done>;

/// The process's own part: everything between its first line and its last.
///
/// # Errors
/// Nobody can be told.
pub fn attend() -> Result<(), String> {
    worker::attend(async |spec: ArchiveSpec, told: fn(Progress), wanted| {
        let given_up = async { drop(wanted.await) };
        match Box::pin(run_unless(&spec, told, given_up)).await {
            Ok(()) => Ok(Done::Stopped),
            Err(lacks @ Ended::Lacks(_)) => Ok(Done::Lacks(lacks.to_string())),
            Err(Ended::Failed(why)) => Err(why),
        }
    })
}

/// The process at its work.
pub type Archiving = worker::Working<Progress, Done>;

impl Archiving {
    /// Starts the process: `program` is this program.
    ///
    /// # Errors
    /// In words.
    pub async fn start(program: &Path, spec: &ArchiveSpec) -> Result<Self, String> {
        // It has to keep pace with the writer: the lowest priority would let it fall behind just when there is most to keep.
        Self::begin(program, COMMAND, spec, false).await
    }
}
