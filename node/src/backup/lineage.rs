//! Which data directory a backup is of: increments belong to one, see `decide::backup::chain`.

use serde::{Deserialize, Serialize};

/// The history of one data directory, from the moment it was made. Whoever makes one anew, by whatever means, gives it a new
/// lineage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lineage {
    /// Unique.
    pub id: String,
    /// The backup that the data directory was restored from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
}

/// What is noted in a data directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its lineage.
    #[serde(flatten)]
    pub lineage: Lineage,
    /// The last backups that were made of it, the newest last. One that was put back to an earlier time, by a snapshot for
    /// example, lacks those that came after.
    #[serde(default)]
    pub backups: Vec<String>,
}
