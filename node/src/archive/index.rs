//! What an archive holds, as a store says it: by its roll-ups, and by the entries of the shelves that have none yet.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, stream};
use tracing::warn;

use super::coverage::Piece;
use super::entry::{ENTRY_BYTES_MAX, Entry, archive_prefix, is_entry_key, shelf_prefix};
use super::rollup::{LEVEL_MAX, ROLLUP_BYTES_MAX, RollUp, joined, level_prefix, rollup_key, rollup_name};
use super::shelf::Shelf;
use crate::backup::store::{Store, StoreError};
use crate::gtid::{DialectMismatch, GtidSet};

/// Objects that are read at once.
const AT_ONCE: usize = 16;

/// The entries of one shelf.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Stood {
    /// How many could be read.
    pub(super) entries: u64,
    /// What they say.
    pub(super) pieces: Vec<Piece>,
    /// Entries that cannot be read, by their keys, with the reason. What they say counts for nothing.
    pub(super) unreadable: BTreeMap<String, String>,
}

/// What a look found.
#[derive(Debug, Clone, Default)]
pub struct Index {
    /// Every roll-up that counts and is not in one of a later level.
    pub(super) rolled: BTreeMap<u8, Vec<RollUp>>,
    /// The shelves that no roll-up speaks for.
    pub(super) open: BTreeMap<Shelf, Stood>,
}

impl Index {
    /// Looks through a store. It reads the newest part entry by entry, and everything if the roll-ups are lost.
    ///
    /// # Errors
    /// The store's last word, or that pieces of both families are there: nothing is known then.
    pub async fn look(store: &Store, cluster: &str) -> Result<Self, String> {
        let there = shelves(store, cluster).await.map_err(|e| e.to_string())?;
        let mut index = Self::default();
        let mut spoken_for = BTreeSet::new();
        for level in (1..=LEVEL_MAX).rev() {
            for rollup in
                rollups(store, cluster, level, &there, &spoken_for).await.map_err(|e| e.to_string())?
            {
                // Two nodes may have joined the same ones: what both say is the same.
                if rollup.shelves.iter().any(|shelf| !spoken_for.contains(shelf)) {
                    spoken_for.extend(rollup.shelves.iter().cloned());
                    index.rolled.entry(level).or_default().push(rollup);
                }
            }
        }
        for (name, shelf) in there.into_iter().filter(|(name, _)| !spoken_for.contains(name)) {
            let mut stood = Stood::default();
            let found = each_entry(store, cluster, &name, |key, read| match read {
                Ok(entry) => {
                    stood.entries += 1;
                    stood.pieces.push(Piece::of(&entry));
                }
                Err(why) => drop(stood.unreadable.insert(key, why)),
            });
            found.await.map_err(|e| e.to_string())?;
            // A shelf is bounded, and all of them are not.
            stood.pieces = joined(stood.pieces).map_err(|e| e.to_string())?;
            index.open.insert(shelf, stood);
        }
        Ok(index)
    }

    /// What is there, joined as far as it follows one another.
    ///
    /// # Errors
    /// Pieces of both families: two clusters were mixed up.
    pub fn pieces(&self) -> Result<Vec<Piece>, DialectMismatch> {
        let rolled = self.rolled.values().flatten().flat_map(|rollup| &rollup.pieces);
        joined(rolled.chain(self.open.values().flat_map(|stood| &stood.pieces)).cloned().collect())
    }

    /// The shelves on which there may be anything that `known` lacks, by their names.
    ///
    /// # Errors
    /// The archive is one of another family's servers.
    pub fn shelves_beyond(&self, known: &GtidSet) -> Result<Vec<String>, DialectMismatch> {
        let known = known.numbers();
        let mut names: Vec<String> = self.open.keys().map(ToString::to_string).collect();
        for rollup in self.rolled.values().flatten() {
            let mut is_known = true;
            for piece in &rollup.pieces {
                is_known &= known.contains(&piece.span.added.numbers())?;
            }
            if !is_known {
                names.extend(rollup.shelves.iter().cloned());
            }
        }
        Ok(names)
    }

    /// The shelves on which there may be anything that was committed from `first_ms` to `last_ms`, by their names.
    #[must_use]
    pub fn shelves_within(&self, first_ms: u64, last_ms: u64) -> Vec<String> {
        let is_within = |piece: &Piece| piece.span.first_ms <= last_ms && piece.span.last_ms >= first_ms;
        let rolled = self.rolled.values().flatten().filter(|rollup| rollup.pieces.iter().any(is_within));
        let open = self.open.keys().map(ToString::to_string);
        open.chain(rolled.flat_map(|rollup| rollup.shelves.iter().cloned())).collect()
    }

    /// What roll-ups say of those shelves, as numbers: an entry that has been removed since is not missed otherwise. `None`
    /// where none speaks for any.
    ///
    /// # Errors
    /// Pieces of both families: two clusters were mixed up.
    pub fn promised_within(&self, first_ms: u64, last_ms: u64) -> Result<Option<GtidSet>, DialectMismatch> {
        let is_within = |piece: &Piece| piece.span.first_ms <= last_ms && piece.span.last_ms >= first_ms;
        let rolled = self.rolled.values().flatten().filter(|rollup| rollup.pieces.iter().any(is_within));
        let mut all: Option<GtidSet> = None;
        for piece in rolled.flat_map(|rollup| &rollup.pieces) {
            let numbers = piece.span.added.numbers();
            all = Some(match all {
                Some(all) => all.union(&numbers)?,
                None => numbers,
            });
        }
        Ok(all)
    }

    /// How many entries cannot be read.
    #[must_use]
    pub fn unreadable(&self) -> usize {
        self.open.values().map(|stood| stood.unreadable.len()).sum()
    }
}

/// Every entry of an archive by its key, for those who read what it holds; those that cannot be read, with the reason.
pub type Entries = (BTreeMap<String, Entry>, BTreeMap<String, String>);

/// Reads all entries, whatever roll-ups say.
///
/// # Errors
/// The store's last word.
pub async fn entries(store: &Store, cluster: &str) -> Result<Entries, StoreError> {
    let names: Vec<_> = shelves(store, cluster).await?.into_keys().collect();
    entries_that(store, cluster, &names, |_| true).await
}

/// Reads the entries of these shelves, and keeps those of which `is_wanted` holds.
///
/// # Errors
/// The store's last word.
pub async fn entries_that(
    store: &Store,
    cluster: &str,
    shelves: &[String],
    is_wanted: impl Fn(&Entry) -> bool,
) -> Result<Entries, StoreError> {
    let mut found = Entries::default();
    for name in shelves {
        each_entry(store, cluster, name, |key, read| match read {
            Ok(entry) if is_wanted(&entry) => drop(found.0.insert(key, entry)),
            Ok(_) => {}
            Err(why) => drop(found.1.insert(key, why)),
        })
        .await?;
    }
    Ok(found)
}

/// Reads the entries of these shelves. One that cannot be read is passed over: what it says is missing then.
///
/// # Errors
/// The store's last word.
pub async fn entries_on(store: &Store, cluster: &str, shelves: &[String]) -> Result<Vec<Entry>, StoreError> {
    let mut found = Vec::new();
    for name in shelves {
        each_entry(store, cluster, name, |key, read| match read {
            Ok(entry) => found.push(entry),
            Err(why) => warn!(key, why, "an entry cannot be read"),
        })
        .await?;
    }
    Ok(found)
}

/// Every shelf that is there, by its name.
async fn shelves(store: &Store, cluster: &str) -> Result<BTreeMap<String, Shelf>, StoreError> {
    let names = store.folders(&archive_prefix(cluster)).await?;
    Ok(names.into_iter().filter_map(|name| Some((name.clone(), name.parse().ok()?))).collect())
}

/// The roll-ups of a level that count: whose shelves are all there, and not all spoken for already.
async fn rollups(
    store: &Store,
    cluster: &str,
    level: u8,
    there: &BTreeMap<String, Shelf>,
    spoken_for: &BTreeSet<String>,
) -> Result<Vec<RollUp>, StoreError> {
    let keys = store.list(&level_prefix(cluster, level)).await?;
    let names = keys.iter().filter_map(|item| rollup_name(cluster, level, &item.key));
    // At the first level the name is the shelf's.
    let is_of_use = |name: &str| level > 1 || (there.contains_key(name) && !spoken_for.contains(name));
    let wanted: Vec<String> = names.filter(|name| is_of_use(name)).map(ToOwned::to_owned).collect();
    let reads = stream::iter(wanted).map(|name| async move {
        let json = store.read(&rollup_key(cluster, level, &name), ROLLUP_BYTES_MAX).await;
        (name, json)
    });
    let mut reads = reads.buffer_unordered(AT_ONCE);
    let mut found = Vec::new();
    while let Some((name, json)) = reads.next().await {
        let read = match json {
            Ok(json) => RollUp::read(&json, cluster, &name),
            Err(error) if error.is_missing() => continue,
            Err(error) => return Err(error),
        };
        match read {
            // Where one of its shelves was removed, those that are left say it themselves.
            Ok(rollup) if rollup.shelves.iter().all(|shelf| there.contains_key(shelf)) => found.push(rollup),
            Ok(_) => {}
            Err(why) => warn!(level, name, why, "a roll-up cannot be read: what it stands for is"),
        }
    }
    found.sort_by(|a, b| a.shelves.cmp(&b.shelves));
    Ok(found)
}

/// Reads every entry of a shelf.
async fn each_entry(
    store: &Store,
    cluster: &str,
    shelf: &str,
    mut read: impl FnMut(String, Result<Entry, String>),
) -> Result<(), StoreError> {
    let there = store.list(&shelf_prefix(cluster, shelf)).await?;
    let keys = there.into_iter().map(|item| item.key).filter(|key| is_entry_key(cluster, key));
    let reads = stream::iter(keys).map(|key| async move {
        let json = store.read(&key, ENTRY_BYTES_MAX).await;
        (key, json)
    });
    let mut reads = reads.buffer_unordered(AT_ONCE);
    while let Some((key, json)) = reads.next().await {
        match json {
            Ok(json) => {
                let entry = Entry::read(&json, cluster, &key).map_err(|e| e.to_string());
                read(key, entry);
            }
            // Removed meanwhile.
            Err(error) if error.is_missing() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
