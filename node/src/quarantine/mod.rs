//! Transactions that one server alone has are archived before anything discards them, by the node beside it: as binlog
//! files that hold nothing else, and as SQL for people.
//!
//! [`keep`] is the node's task: it sees in the replicated state that its server is quarantined, has an [`Archiver`] write
//! the archive, and commits that it is there. [`archive`] is the archiver on real servers: it finds the binlog file to
//! begin with ([`pick`]), copies the transactions ([`files`]) into a folder ([`folder`]) with a [`manifest`], and lets
//! [`render`] write the SQL in a process of its own.

mod archive;
mod error;
mod files;
mod folder;
mod keep;
mod manifest;
mod pick;
mod render;
#[cfg(test)]
mod tests;

use futures::future::BoxFuture;

pub use archive::BinlogArchiver;
pub use error::ArchiveError;
pub use keep::Keep;
pub use manifest::{Kept, Manifest, archive_id};
pub use render::render_folder;

use crate::gtid::GtidSet;
use crate::state::{Epoch, NodeName, UnixMillis};

/// What is to be archived.
#[derive(Clone, Debug, PartialEq)]
pub struct Extra {
    /// Whose.
    pub node: NodeName,
    /// The epoch whose writer lacks them.
    pub epoch: Epoch,
    /// Which.
    pub gtids: GtidSet,
    /// Since when the server is quarantined.
    pub since_ms: UnixMillis,
}

impl Extra {
    /// The name of their archive: always the same, so that it is written once.
    pub fn id(&self) -> String {
        archive_id(&self.node, self.epoch, &self.gtids)
    }
}

/// An archive that is on disk and complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archived {
    /// Bytes of all its files.
    pub bytes: u64,
    /// Its folder.
    pub path: String,
    /// When it was complete, by its manifest: one that is found again is as old as it was.
    pub at_ms: UnixMillis,
}

/// Archives the extra transactions of the server beside this node.
pub trait Archiver: Send + Sync {
    /// Archives them, or finds them archived. Everything is on disk when it returns.
    ///
    /// # Errors
    /// [`ArchiveError`]; nothing of an archive that is not complete counts.
    fn archive<'a>(&'a self, extra: &'a Extra) -> BoxFuture<'a, Result<Archived, ArchiveError>>;

    /// An archive's manifest, and the first bytes of its SQL, at most `sql_max`. `None` where there is none of this name.
    ///
    /// # Errors
    /// [`ArchiveError`] when it is damaged.
    fn show<'a>(&'a self, id: &'a str, sql_max: u64) -> BoxFuture<'a, Result<Option<Shown>, ArchiveError>>;
}

/// An archive as it is shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// What is in it.
    pub manifest: Manifest,
    /// Its folder.
    pub path: String,
    /// The beginning of its SQL.
    pub sql: String,
    /// How many bytes of SQL follow.
    pub sql_left: u64,
}
