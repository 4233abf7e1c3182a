//! What is known of a segment, as it lies beside it in a store. It is written last, and never again: without it there is no
//! segment.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::shelf::Shelf;
use crate::backup::pipeline::{Recipients, StreamSummary};
use crate::gtid::GtidSet;

/// Version of the format.
pub const FORMAT: u32 = 1;
/// Where a cluster's archive is.
const FOLDER: &str = "binlog";
/// The end of an entry's name.
const ENTRY: &str = ".json";
/// A set of GTIDs can be long, and an entry has two of them.
pub const ENTRY_BYTES_MAX: usize = 64 << 20;
/// Digits of an epoch, so that names sort as epochs do.
const EPOCH_DIGITS: usize = 10;
/// Digits of a digest in a name.
const DIGEST_DIGITS: usize = 32;

/// A line of history that an archive holds: an epoch, and how often the writer's history was begun anew within it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Timeline {
    /// Whose writer the server followed, or was.
    pub epoch: u64,
    /// 0, until its history is reset, and never less than in an epoch before. Numbers that were used before a reset and
    /// are used again after it name other transactions.
    pub reset: u32,
}

impl Timeline {
    /// Whether its transactions are part of the history that `later` is a line of. What was there before a reset is not.
    #[must_use]
    pub fn goes_on_as(self, later: Self) -> bool {
        self.reset == later.reset
    }
}

impl std::fmt::Display for Timeline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:0EPOCH_DIGITS$}-{}", self.epoch, self.reset)
    }
}

/// A segment's place in history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// Which transactions precede it: those that the server had when it sent the first of these.
    pub after: GtidSet,
    /// Which it holds. Not one of them is in part.
    pub added: GtidSet,
    /// How many it holds.
    pub transactions: u64,
    /// When the first of them was committed on its writer, in milliseconds since 1970.
    pub first_ms: u64,
    /// When the last of them was.
    pub last_ms: u64,
}

/// The server that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Its node.
    pub node: String,
    /// Its version, in its own words.
    pub version: String,
    /// Whether it held the write role of its line's epoch.
    #[serde(default)]
    pub is_writer: bool,
}

/// A segment in a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Version of the format.
    pub format: u32,
    /// The program that wrote it.
    pub written_by: String,
    /// The cluster.
    pub cluster: String,
    /// The line of history that it belongs to.
    pub timeline: Timeline,
    /// Its place there.
    #[serde(flatten)]
    pub span: Span,
    /// What was read.
    pub server: Origin,
    /// The name of its object in the store, but for the number. Nobody writes under it a second time.
    pub object: String,
    /// Its content and its object.
    pub stream: StreamSummary,
    /// Whose private keys read it.
    pub recipients: Recipients,
}

/// Why an entry is none.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum EntryError {
    /// Not JSON, or not ours.
    #[error("the entry cannot be read: {0}")]
    Unreadable(String),
    /// Of a later version.
    #[error("the entry has format {0} and this program reads {FORMAT}; use a newer one")]
    Newer(u32),
    /// It is another one's.
    #[error("the entry is not what its name says")]
    Misplaced,
}

/// What a segment is called: by what it adds, so that the same transactions have the same name wherever they are read.
#[must_use]
pub fn digest(added: &GtidSet) -> String {
    let mut hex = blake3::hash(format!("{} {added}", added.dialect()).as_bytes()).to_hex().to_string();
    hex.truncate(DIGEST_DIGITS);
    hex
}

/// Where the archive of a cluster is.
#[must_use]
pub fn archive_prefix(cluster: &str) -> String {
    format!("{cluster}/{FOLDER}/")
}

/// Where everything is that is on the shelf of this name.
#[must_use]
pub fn shelf_prefix(cluster: &str, shelf: &str) -> String {
    format!("{}{shelf}/", archive_prefix(cluster))
}

/// The name of the entry of what adds `added`.
#[must_use]
pub fn entry_key(cluster: &str, shelf: &Shelf, added: &GtidSet) -> String {
    format!("{}{}{ENTRY}", shelf_prefix(cluster, &shelf.to_string()), digest(added))
}

/// Whether `key` names an entry of this cluster's.
#[must_use]
pub fn is_entry_key(cluster: &str, key: &str) -> bool {
    shelf_of(cluster, key).is_some() && key.ends_with(ENTRY)
}

/// The shelf that what is called `key` is on.
fn shelf_of(cluster: &str, key: &str) -> Option<Shelf> {
    key.strip_prefix(&archive_prefix(cluster))?.split_once('/')?.0.parse().ok()
}

/// The name of an object of what adds `added`, but for its number. `attempt` is drawn anew each time.
#[must_use]
pub fn object_prefix(cluster: &str, shelf: &Shelf, added: &GtidSet, attempt: &str) -> String {
    format!("{}{}.{attempt}.", shelf_prefix(cluster, &shelf.to_string()), digest(added))
}

/// What the objects of a segment call it in their headers.
#[must_use]
pub fn segment_id(timeline: Timeline, added: &GtidSet) -> String {
    format!("{FOLDER}-{timeline}-{}", digest(added))
}

impl Entry {
    /// As it is written.
    ///
    /// # Errors
    /// It does not go into JSON.
    pub fn to_json(&self) -> Result<Vec<u8>, EntryError> {
        serde_json::to_vec_pretty(self).map_err(|e| EntryError::Unreadable(e.to_string()))
    }

    /// Reads the one that lies under `key`.
    ///
    /// # Errors
    /// It is none, of a later version, or another one's.
    pub fn read(json: &[u8], cluster: &str, key: &str) -> Result<Self, EntryError> {
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        let unreadable = |e: serde_json::Error| EntryError::Unreadable(e.to_string());
        let Version { format } = serde_json::from_slice(json).map_err(unreadable)?;
        if format > FORMAT {
            return Err(EntryError::Newer(format));
        }
        let entry: Self = serde_json::from_slice(json).map_err(unreadable)?;
        let is_its_own = entry.cluster == cluster
            && shelf_of(cluster, key).is_some_and(|shelf| {
                shelf.timeline == entry.timeline && entry_key(cluster, &shelf, &entry.span.added) == key
            });
        if is_its_own && !entry.stream.objects.is_empty() { Ok(entry) } else { Err(EntryError::Misplaced) }
    }

    /// What its objects call it.
    #[must_use]
    pub fn segment_id(&self) -> String {
        segment_id(self.timeline, &self.span.added)
    }

    /// Whose private keys read it, in words.
    #[must_use]
    pub fn made_for(&self) -> String {
        let keys: Vec<_> = self.recipients.iter().map(|(_, key)| key.to_string()).collect();
        keys.join(", ")
    }
}
