//! Puts entries on shelves, and writes the roll-ups of those that are complete. A roll-up that cannot be written is written by
//! whoever begins next on this node: until then its entries are read.

use std::collections::BTreeMap;

use bytes::Bytes;
use tracing::{info, warn};

use super::coverage::Piece;
use super::entry::Timeline;
use super::index::{Index, Stood};
use super::rollup::{JOINED, LEVEL_MAX, RollUp, rollup_key};
use super::shelf::{ENTRIES_MAX, Shelf};
use crate::backup::store::Store;

/// The shelves of this process.
pub(super) struct Shelving {
    cluster: String,
    node: String,
    open: BTreeMap<Timeline, (Shelf, Stood)>,
    /// Every roll-up that is in none of a later level. Fewer than are joined at once, of each.
    rolled: BTreeMap<u8, Vec<RollUp>>,
}

impl Shelving {
    /// Of one node, without a shelf.
    pub(super) fn new(cluster: &str, node: &str) -> Self {
        let (cluster, node) = (cluster.to_owned(), node.to_owned());
        Self { cluster, node, open: BTreeMap::new(), rolled: BTreeMap::new() }
    }

    /// The shelf for a segment of this line. A new one is begun at `now_ms`, told apart by `drawn`.
    pub(super) fn shelf(&mut self, timeline: Timeline, now_ms: u64, drawn: u32) -> Shelf {
        let begun =
            || (Shelf { timeline, begun_ms: now_ms, drawn, node: self.node.clone() }, Stood::default());
        self.open.entry(timeline).or_insert_with(begun).0.clone()
    }

    /// An entry was put on the shelf of its line. A full one gets its roll-up.
    pub(super) async fn stands(&mut self, store: &Store, piece: Piece) {
        let timeline = piece.timeline;
        let Some((_, stood)) = self.open.get_mut(&timeline) else { return };
        stood.entries += 1;
        stood.pieces.push(piece);
        if stood.entries < ENTRIES_MAX {
            return;
        }
        if let Some((shelf, stood)) = self.open.remove(&timeline) {
            self.close(store, &shelf, &stood).await;
            self.join(store).await;
        }
    }

    /// Goes on from a look: shelves that an earlier process of this node left get their roll-ups. How many there were.
    pub(super) async fn tidy(&mut self, store: &Store, index: &Index) -> usize {
        self.rolled = index.rolled.clone();
        // With an entry that cannot be read it is looked at again each time, and told.
        let is_left = |(shelf, stood): &(&Shelf, &Stood)| {
            shelf.node == self.node
                && stood.unreadable.is_empty()
                && self.open.values().all(|(mine, _)| mine != *shelf)
        };
        let left: Vec<_> = index.open.iter().filter(is_left).collect();
        for (shelf, stood) in &left {
            self.close(store, shelf, stood).await;
        }
        self.join(store).await;
        left.len()
    }

    async fn close(&mut self, store: &Store, shelf: &Shelf, stood: &Stood) {
        let rollup =
            RollUp::of(&self.cluster, shelf, stood.entries, &stood.pieces).map_err(|e| e.to_string());
        self.write(store, 1, rollup).await;
    }

    /// Joins those of a level once there are enough of them.
    async fn join(&mut self, store: &Store) {
        for level in 1..LEVEL_MAX {
            while let Some(parts) = self.rolled.get(&level).and_then(|all| all.get(..JOINED)) {
                let rollup = RollUp::join(&self.cluster, parts).map_err(|e| e.to_string());
                if !self.write(store, level + 1, rollup).await {
                    return;
                }
                self.rolled.entry(level).or_default().drain(..JOINED);
            }
        }
    }

    async fn write(&mut self, store: &Store, level: u8, rollup: Result<RollUp, String>) -> bool {
        let written = async {
            let rollup = rollup?;
            let key = rollup_key(&self.cluster, level, &rollup.name());
            store.put(&key, Bytes::from(rollup.to_json()?)).await.map_err(|e| e.to_string())?;
            info!(key, entries = rollup.entries, "a roll-up was written");
            Ok::<_, String>(rollup)
        };
        match written.await {
            Ok(rollup) => self.rolled.entry(level).or_default().push(rollup),
            Err(why) => {
                warn!(why, "a roll-up is not in the store");
                return false;
            }
        }
        true
    }
}
