//! A binlog is archived by a process of its own, `baton-node archive`.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::run::{ArchiveSpec, Ended, Progress, run_unless};
use crate::backup::worker::{self, Said};

/// The command's name.
const COMMAND: &str = "archive";

/// What the process says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// How far it is.
    Progress(Box<Progress>),
    /// It was told to stop; the last thing it says.
    Stopped,
    /// Its server cannot send what the archive lacks, in words; the last thing it says.
    Lacks(String),
    /// It cannot go on, and why; the last thing it says.
    Failed(String),
}

impl Said for Event {
    fn failed(why: String) -> Self {
        Self::Failed(why)
    }

    fn goes_on(&self) -> bool {
        matches!(self, Self::Progress(_))
    }
}

/// The process's own part: everything between its first line and its last.
///
/// # Errors
/// Nobody can be told.
pub fn attend() -> Result<(), String> {
    worker::attend(async |spec: ArchiveSpec, wanted| {
        // Whoever does not hear it any more has closed the input, too.
        let told = |now| drop(worker::say(&Event::Progress(Box::new(now))));
        let given_up = async { drop(wanted.await) };
        match run_unless(&spec, told, given_up).await {
            Ok(()) => Ok(Event::Stopped),
            Err(lacks @ Ended::Lacks(_)) => Ok(Event::Lacks(lacks.to_string())),
            Err(Ended::Failed(why)) => Err(why),
        }
    })
}

/// The process at its work.
pub type Archiving = worker::Working<Event>;

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
