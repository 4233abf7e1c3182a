//! Backups: the task under way, and what was made.
//!
//! One task at a time in the whole cluster, so that never two read one server, nor one store. It stands beside the operation
//! that moves the writer and never holds that up.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::retention::Leaving;
use super::schedule::{BackupPlan, Slot, SlotTry};
use super::{Epoch, NodeName, OperationId, UnixMillis};

/// What the group knows of its backups.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Backups {
    /// What is being done, by one node.
    pub task: Option<BackupTask>,
    /// Every backup that counts, by its id, which begins with the time at which it began.
    pub catalogue: BTreeMap<String, Backup>,
    /// What was done or failed, newest last.
    pub ended: VecDeque<EndedTask>,
    /// What the leader's file says; `None` until one that knows of a store has led.
    #[serde(default)]
    pub plan: Option<BackupPlan>,
    /// Since when there is a schedule.
    #[serde(default)]
    pub planned_ms: UnixMillis,
    /// How far each schedule is, by its name.
    #[serde(default)]
    pub slots: BTreeMap<String, Slot>,
}

/// A task of one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupTask {
    /// Unique.
    pub id: OperationId,
    /// Whose.
    pub node: NodeName,
    /// What it is to do.
    pub work: BackupWork,
    /// Who asked.
    pub by: String,
    /// When it was committed.
    pub started_ms: UnixMillis,
    /// The node has begun. It begins once: a node that finds a task begun by its last process ends it.
    pub begun: bool,
    /// The slot that it is to fill; `None` where a person asked.
    #[serde(default)]
    pub slot: Option<SlotTry>,
}

/// How much a backup has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackupKind {
    /// Everything.
    #[default]
    Full,
    /// What changed since another one.
    Incremental,
}

impl BackupKind {
    /// As the configuration and messages name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Incremental => "incremental",
        }
    }
}

/// What a task does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackupWork {
    /// Makes one.
    Make {
        /// Its id.
        backup: String,
        /// What it is to be. Where an increment would be none, its node makes a full one, and says why.
        #[serde(default)]
        kind: BackupKind,
        /// Whether it goes on when the node is, or becomes, the writer's.
        at_writer: bool,
        /// Whether it takes what processor and disk it can get.
        full_speed: bool,
    },
    /// Reads every object of one again and compares checksums.
    Verify {
        /// Which.
        backup: String,
    },
    /// Removes one from a store that it is to leave.
    Remove {
        /// Which.
        backup: String,
        /// From which.
        store: String,
    },
    /// Looks through the stores of its node for backups that are not listed.
    Scan,
}

impl BackupWork {
    /// The backup it is about; empty where it is about none in particular.
    pub fn backup(&self) -> &str {
        match self {
            Self::Make { backup, .. } | Self::Verify { backup } | Self::Remove { backup, .. } => backup,
            Self::Scan => "",
        }
    }

    /// What it is about, as messages and the history name it.
    pub fn subject(&self) -> &str {
        match self {
            Self::Scan => "its stores",
            _ => self.backup(),
        }
    }

    /// As messages and the history name it.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Make { .. } => "make",
            Self::Verify { .. } => "verify",
            Self::Remove { .. } => "remove",
            Self::Scan => "scan",
        }
    }
}

/// A backup that counts: its manifest is in every store that has to have it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Backup {
    /// Whose server was read.
    pub node: NodeName,
    /// Who found it in its stores, where a scan did: a folder may be on that node's host alone.
    #[serde(default)]
    pub found_at: Option<NodeName>,
    /// The epoch in which it began.
    pub epoch: Epoch,
    /// What it adds to, and is worth nothing without; `None` of a full one.
    #[serde(default)]
    pub base: Option<String>,
    /// Why it is a full one although an increment was asked for.
    #[serde(default)]
    pub full_because: Option<String>,
    /// The lineage of the data directory that was read; empty where no increment can be made from it.
    #[serde(default)]
    pub lineage: String,
    /// Where it ends in InnoDB's log; 0 where no increment can be made from it.
    #[serde(default)]
    pub to_lsn: u64,
    /// What read the server.
    pub engine: String,
    /// That server's version.
    pub server_version: String,
    /// When it began.
    pub began_ms: UnixMillis,
    /// When everything was read and checked.
    pub ended_ms: UnixMillis,
    /// Every transaction that it has, in the dialect's own spelling; empty where the engine does not know.
    pub gtids: String,
    /// Bytes of the stream.
    pub bytes: u64,
    /// Bytes that they became in each store.
    pub stored_bytes: u64,
    /// Objects in each store.
    pub objects: u32,
    /// The stores that have it.
    pub stores: Vec<String>,
    /// BLAKE3 of the manifest as it was written.
    pub manifest_blake3: String,
    /// The latest look at its objects.
    pub verified: Option<Verified>,
    /// Somebody wants it kept, whatever its age.
    #[serde(default)]
    pub is_pinned: bool,
    /// The stores that it is to leave.
    #[serde(default)]
    pub leaving: BTreeMap<String, Leaving>,
}

/// What a look at the objects of a backup found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// When it was over.
    pub at_ms: UnixMillis,
    /// What is not as it was written; `None` when all is.
    pub fault: Option<String>,
}

/// A task that is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedTask {
    /// Which.
    pub task: BackupTask,
    /// When.
    pub ended_ms: UnixMillis,
    /// Why it came to nothing; `None` when it was done.
    pub error: Option<String>,
    /// What is to be known of one that was done.
    #[serde(default)]
    pub note: Option<String>,
}
