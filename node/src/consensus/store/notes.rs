//! Small durable facts of other rooms, by key.

use rusqlite::{OptionalExtension, Transaction};

use super::error::StoreError;
use super::thread::Thread;

/// Small facts that must survive a power cut: "opened epoch 7", "longest lease ever granted", "promised never to
/// receive from epoch 6 again". Keys are prefixed with the room that owns them, as in `guard.opened`.
#[derive(Clone)]
pub struct Notes {
    thread: Thread,
}

impl Notes {
    pub(super) fn new(thread: Thread) -> Self {
        Self { thread }
    }

    /// The value of `key`, if it was ever put.
    ///
    /// # Errors
    /// When the store failed, now or earlier.
    pub async fn get(&self, key: &str) -> Result<Option<String>, StoreError> {
        let key = key.to_owned();
        let work = move |transaction: &Transaction<'_>| read(transaction, &key);
        self.thread.start("read a note", work).await?.done().await
    }

    /// Sets `key` to `value`; it is on disk when this returns.
    ///
    /// # Errors
    /// When the store failed, now or earlier. The note may or may not be on disk then.
    pub async fn put(&self, key: &str, value: &str) -> Result<(), StoreError> {
        let (key, value) = (key.to_owned(), value.to_owned());
        let work = move |transaction: &Transaction<'_>| write(transaction, &key, &value);
        self.thread.start("write a note", work).await?.done().await
    }
}

pub(super) fn read(transaction: &Transaction<'_>, key: &str) -> rusqlite::Result<Option<String>> {
    transaction.query_row("SELECT value FROM notes WHERE key = ?1", [key], |row| row.get(0)).optional()
}

pub(super) fn write(transaction: &Transaction<'_>, key: &str, value: &str) -> rusqlite::Result<()> {
    transaction.execute(
        "INSERT INTO notes VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (key, value),
    )?;
    Ok(())
}
