//! A backup is made, and read again, by a process of its own, `baton-node backup`.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::remove::{RemoveSpec, remove_unless};
use super::run::{Made, Progress, RunSpec, run_unless};
use super::scan::{ScanSpec, Scanned, scan_unless};
use super::verify::{Checked, VerifySpec, verify_unless};
use super::worker;

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
    /// Look for those that are not listed.
    Scan(Box<ScanSpec>),
}

/// What it came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Done {
    /// The backup is made.
    Made(Box<Made>),
    /// What was found in the stores.
    Checked(Checked),
    /// The backup is not in the store any more.
    Removed,
    /// What is in the stores and not listed.
    Scanned(Box<Scanned>),
}

/// What the process says.
pub type Event = worker::Event<Progress, Done>;

/// The process's own part: everything between its first line and its last.
///
/// # Errors
/// Nobody can be told.
pub fn attend() -> Result<(), String> {
    worker::attend(async |job: Job, told: fn(Progress), wanted| {
        let given_up = async { drop(wanted.await) };
        match &job {
            Job::Make(spec) => run_unless(spec, told, given_up).await.map(|mut made| {
                // The stores have it; whoever hears this holds a lease and needs none of it.
                made.manifest.inventory = Vec::new();
                Done::Made(Box::new(made))
            }),
            Job::Verify(spec) => verify_unless(spec, told, given_up).await.map(Done::Checked),
            Job::Remove(spec) => remove_unless(spec, given_up).await.map(|_| Done::Removed),
            Job::Scan(spec) => {
                scan_unless(spec, told, given_up).await.map(|scanned| Done::Scanned(Box::new(scanned)))
            }
        }
    })
}

/// A job that another process is at.
pub type Working = worker::Working<Progress, Done>;

impl Working {
    /// Starts the process: `program` is this program. Polite, it runs only when nobody else wants to.
    ///
    /// # Errors
    /// In words.
    pub async fn start(program: &Path, job: &Job, is_polite: bool) -> Result<Self, String> {
        Self::begin(program, COMMAND, job, is_polite).await
    }
}
