//! What a node remembers of the group: one SQLite file, `group.db`, on one thread.
//!
//! It holds the log, the vote, the replicated state as applied, and the notes of other rooms. It is bound to the
//! machine it was made on, and belongs outside every volume that is snapshotted or restored: a store that went
//! back in time has forgotten votes it gave.
//!
//! Order on disk: jobs run one after the other, so that votes and entries are never reordered. Entries are
//! applied, written together with `last_applied` in one transaction, and shown only then ([`Machine`]). A
//! restart therefore never shows an older state than the one shown before it.

mod error;
mod log;
mod machine;
#[cfg(feature = "simulation")]
mod memory;
mod notes;
mod recovery;
mod schema;
#[cfg(test)]
mod tests;
mod thread;
mod visible;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{OptionalExtension, Transaction};
use serde::{Deserialize, Serialize};

pub use error::StoreError;
pub(crate) use log::Log;
pub(crate) use machine::{Machine, SnapshotData};
#[cfg(feature = "simulation")]
pub use memory::MemoryDisk;
pub use notes::Notes;
pub use recovery::{AtRest, RecoveryError, Survey};
use thread::Thread;
pub(crate) use visible::Shared;
pub use visible::{Applied, MembershipView, since_boot};

/// The group that this store belongs to, and the node's id in it. Given once, by the group's formation or by an
/// invitation, and never changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// The cluster's name in the configuration.
    pub cluster: String,
    /// Drawn at formation.
    pub cluster_id: String,
    /// The node's id in the group; no id is ever given twice.
    pub raft_id: u64,
    /// Rises when a group is started anew by hand.
    pub generation: u64,
}

/// Where a store is.
#[derive(Clone)]
pub enum Medium {
    /// A file, `group.db`; its directory must exist.
    File(PathBuf),
    /// A disk of the simulation.
    #[cfg(feature = "simulation")]
    Memory(MemoryDisk),
}

/// The open store. Clones share it.
#[derive(Clone)]
pub struct Store {
    thread: Thread,
    path: Arc<PathBuf>,
    store_id: Arc<str>,
}

impl Store {
    /// Opens `path`, or makes it with `new_store_id` (a random text).
    ///
    /// # Errors
    /// Every [`StoreError`] names the file and the mend.
    pub fn open(path: &Path, machine_id: &str, new_store_id: &str) -> Result<Self, StoreError> {
        let (connection, store_id) = schema::open(path, machine_id, new_store_id)?;
        private(path)?;
        let thread = Thread::spawn(path.to_owned(), connection)?;
        Ok(Self { thread, path: Arc::new(path.to_owned()), store_id: store_id.into() })
    }

    /// The id drawn when the store was made.
    pub fn store_id(&self) -> &str {
        &self.store_id
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The notes of other rooms.
    pub fn notes(&self) -> Notes {
        Notes::new(self.thread.clone())
    }

    /// Lets go of the file, after everything handed in so far is on disk.
    pub async fn close(&self) {
        self.thread.close().await;
    }

    /// The group this store belongs to, or `None` while it is blank.
    pub(crate) async fn binding(&self) -> Result<Option<Binding>, StoreError> {
        self.thread.start("read its group", read_binding).await?.done().await
    }

    /// Binds a blank store. Answers the binding that stands afterwards: the one given, or an earlier one.
    /// `note`, a key and its value, is written along with a binding that is new.
    pub(crate) async fn bind(
        &self,
        binding: Binding,
        note: Option<(&'static str, String)>,
    ) -> Result<Binding, StoreError> {
        let work = move |transaction: &Transaction<'_>| {
            if let Some(earlier) = read_binding(transaction)? {
                return Ok(earlier);
            }
            transaction.execute(
                "INSERT INTO binding VALUES (1, ?1, ?2, ?3, ?4)",
                (
                    &binding.cluster,
                    &binding.cluster_id,
                    signed(binding.raft_id)?,
                    signed(binding.generation)?,
                ),
            )?;
            if let Some((key, value)) = note {
                notes::write(transaction, key, &value)?;
            }
            Ok(binding)
        };
        self.thread.start("write its group", work).await?.done().await
    }

    /// Reads everything that openraft starts from.
    pub(crate) async fn load(&self, shared: Arc<Shared>) -> Result<(Log, Machine), StoreError> {
        let log = Log::load(self.thread.clone(), shared.clone()).await?;
        let machine = Machine::load(self.thread.clone(), shared).await?;
        Ok((log, machine))
    }
}

fn read_binding(transaction: &Transaction<'_>) -> rusqlite::Result<Option<Binding>> {
    transaction
        .query_row("SELECT cluster, cluster_id, raft_id, generation FROM binding", [], |row| {
            Ok(Binding {
                cluster: row.get(0)?,
                cluster_id: row.get(1)?,
                raft_id: unsigned(2, row.get(2)?)?,
                generation: unsigned(3, row.get(3)?)?,
            })
        })
        .optional()
}

/// The store says who may vote for what: it is nobody else's to read.
fn private(path: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
        .map_err(|e| StoreError::CannotOpen { path: path.to_owned(), detail: e.to_string() })
}

/// SQLite's integers are signed.
fn signed(number: u64) -> rusqlite::Result<i64> {
    i64::try_from(number).map_err(|e| rusqlite::Error::ToSqlConversionFailure(e.into()))
}

fn unsigned(column: usize, number: i64) -> rusqlite::Result<u64> {
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}

fn to_json<T: Serialize + ?Sized>(value: &T) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|e| rusqlite::Error::ToSqlConversionFailure(e.into()))
}

fn from_json<T: serde::de::DeserializeOwned>(column: usize, text: &str) -> rusqlite::Result<T> {
    serde_json::from_str(text)
        .map_err(|e| rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, e.into()))
}
