//! What holds the automation back, and what is remembered of its decisions.

use serde::{Deserialize, Serialize};

use super::{Quarantine, UnixMillis};

/// A time in which nothing is promoted automatically.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// When it ends by itself.
    pub until_ms: UnixMillis,
    /// Who asked.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// A server marked unfit to be writer, candidate or acker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Out {
    /// Why.
    pub reason: OutReason,
    /// Since when.
    pub since_ms: UnixMillis,
}

/// Why a server is out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum OutReason {
    /// It has transactions that the writer has not.
    Quarantine(Quarantine),
    /// An operator said so.
    Maintenance,
    /// Its data is being replaced, or was and the copy is not whole.
    Rebuild,
}

/// An automatic action or a refusal, with its reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// When.
    pub at_ms: UnixMillis,
    /// What was done or not done.
    pub what: String,
    /// Why.
    pub why: String,
}
