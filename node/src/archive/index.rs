//! The entries of an archive, as a store has them.

use std::collections::BTreeMap;

use futures::{StreamExt, stream};

use super::coverage::Piece;
use super::entry::{ENTRY_BYTES_MAX, Entry, archive_prefix, is_entry_key};
use crate::backup::store::{Store, StoreError};

/// Entries that are read at once.
const AT_ONCE: usize = 16;

/// What a look found. Entries never change, so that a later look reads the new ones only.
#[derive(Debug, Clone, Default)]
pub struct Index {
    /// Every entry by its name.
    pub entries: BTreeMap<String, Entry>,
    /// Entries that cannot be read, with the reason. What they say counts for nothing.
    pub unreadable: BTreeMap<String, String>,
}

impl Index {
    /// What matters of each.
    #[must_use]
    pub fn pieces(&self) -> Vec<Piece> {
        let piece = |entry: &Entry| Piece { timeline: entry.timeline, span: entry.span.clone() };
        self.entries.values().map(piece).collect()
    }

    /// Reads what has come since the last look, and forgets what is gone.
    ///
    /// # Errors
    /// The store's last word: nothing is known then.
    pub async fn look(&mut self, store: &Store, cluster: &str) -> Result<(), StoreError> {
        let there = store.list(&archive_prefix(cluster)).await?;
        let keys: Vec<String> =
            there.into_iter().map(|item| item.key).filter(|key| is_entry_key(cluster, key)).collect();
        self.entries.retain(|key, _| keys.binary_search(key).is_ok());
        self.unreadable.clear();
        let new = keys.into_iter().filter(|key| !self.entries.contains_key(key)).collect::<Vec<_>>();
        let reads = stream::iter(new).map(|key| async move {
            let json = store.read(&key, ENTRY_BYTES_MAX).await;
            (key, json)
        });
        let mut reads = reads.buffer_unordered(AT_ONCE);
        while let Some((key, json)) = reads.next().await {
            match json.map(|json| Entry::read(&json, cluster, &key)) {
                Ok(Ok(entry)) => drop(self.entries.insert(key, entry)),
                Ok(Err(why)) => drop(self.unreadable.insert(key, why.to_string())),
                // Removed meanwhile.
                Err(error) if error.is_missing() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
