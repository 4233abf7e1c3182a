//! A backup is made, and read again, by a process of its own, `baton-node backup`: what it is to do comes as the first line of
//! its input, what it has to say goes out as JSON, one object a line. When its input ends, whoever wanted that is gone, and it
//! gives up.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::remove::{RemoveSpec, remove_unless};
use super::run::{Made, Progress, RunSpec, run_unless};
use super::verify::{Checked, VerifySpec, verify_unless};
use super::worker::{self, Said};

/// The command's name.
const COMMAND: &str = "backup";

/// What the process is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Job {
    /// Make a backup.
    Make(Box<RunSpec>),
    /// Read one again.
    Verify(Box<VerifySpec>),
    /// Remove one from a store.
    Remove(Box<RemoveSpec>),
}

/// What the process says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// How far it is.
    Progress(Progress),
    /// The backup is made; the last thing it says.
    Made(Box<Made>),
    /// What was found in the stores; the last thing it says.
    Checked(Checked),
    /// The backup is not in the store any more; the last thing it says.
    Removed,
    /// It came to nothing, and why; the last thing it says.
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
    worker::attend(async |job: Job, wanted| {
        // Whoever does not hear it any more has closed the input, too.
        let told = |now| drop(worker::say(&Event::Progress(now)));
        let given_up = async { drop(wanted.await) };
        match &job {
            Job::Make(spec) => run_unless(spec, told, given_up).await.map(|mut made| {
                // The stores have it; whoever hears this holds a lease and needs none of it.
                made.manifest.inventory = Vec::new();
                Event::Made(Box::new(made))
            }),
            Job::Verify(spec) => verify_unless(spec, told, given_up).await.map(Event::Checked),
            Job::Remove(spec) => remove_unless(spec, given_up).await.map(|_| Event::Removed),
        }
    })
}

/// A job that another process is at.
pub type Working = worker::Working<Event>;

impl Working {
    /// Starts the process: `program` is this program. Polite, it runs only when nobody else wants to.
    ///
    /// # Errors
    /// In words.
    pub async fn start(program: &Path, job: &Job, is_polite: bool) -> Result<Self, String> {
        Self::begin(program, COMMAND, job, is_polite).await
    }
}
