//! Roll-ups: what the entries of one shelf come to, and what those of many shelves do, so that whoever begins need not read
//! them one by one. A roll-up says nothing that the entries do not say: where one is lost or damaged they are read.

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use super::coverage::Piece;
use super::entry::archive_prefix;
use super::shelf::Shelf;
use crate::gtid::DialectMismatch;

/// Version of the format.
const FORMAT: u32 = 1;
/// Between the archive's folder and a level.
const FOLDER: &str = "rollups";
const END: &str = ".json";
/// So many of one level are joined into one of the next.
pub(super) const JOINED: usize = 64;
/// Of the last level nothing is joined: one stands for months.
pub(super) const LEVEL_MAX: u8 = 3;
/// Digits of a digest in a name.
const DIGEST_DIGITS: usize = 32;
/// Of a few thousand shelves the names are, and a piece for each time that somebody began to read.
pub(super) const ROLLUP_BYTES_MAX: usize = 64 << 20;

/// What some shelves hold together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RollUp {
    /// Version of the format.
    format: u32,
    /// The cluster.
    cluster: String,
    /// Which shelves, in order. All of them are complete.
    pub(super) shelves: Vec<String>,
    /// How many entries are on them.
    pub(super) entries: u64,
    /// What these say.
    pub(super) pieces: Vec<Piece>,
}

impl RollUp {
    /// Of one shelf that is complete.
    pub(super) fn of(
        cluster: &str,
        shelf: &Shelf,
        entries: u64,
        pieces: &[Piece],
    ) -> Result<Self, DialectMismatch> {
        let (cluster, shelves) = (cluster.to_owned(), vec![shelf.to_string()]);
        Ok(Self { format: FORMAT, cluster, shelves, entries, pieces: joined(pieces.to_vec())? })
    }

    /// Of all of these.
    pub(super) fn join(cluster: &str, parts: &[Self]) -> Result<Self, DialectMismatch> {
        let shelves: BTreeSet<_> = parts.iter().flat_map(|part| part.shelves.iter().cloned()).collect();
        let pieces = parts.iter().flat_map(|part| part.pieces.iter().cloned()).collect();
        Ok(Self {
            format: FORMAT,
            cluster: cluster.to_owned(),
            shelves: shelves.into_iter().collect(),
            entries: parts.iter().map(|part| part.entries).sum(),
            pieces: joined(pieces)?,
        })
    }

    /// What it is called at its level: as its shelf, or by all its shelves.
    pub(super) fn name(&self) -> String {
        match self.shelves.as_slice() {
            [one] => one.clone(),
            many => {
                let mut hex = blake3::hash(many.join("\n").as_bytes()).to_hex().to_string();
                hex.truncate(DIGEST_DIGITS);
                hex
            }
        }
    }

    /// As it is written.
    pub(super) fn to_json(&self) -> Result<Vec<u8>, String> {
        serde_json::to_vec(self).map_err(|e| e.to_string())
    }

    /// Reads the one that is called `name`; what is wrong with it, in words.
    pub(super) fn read(json: &[u8], cluster: &str, name: &str) -> Result<Self, String> {
        let read: Self = serde_json::from_slice(json).map_err(|e| e.to_string())?;
        let is_its_own = read.format == FORMAT && read.cluster == cluster && read.name() == name;
        if is_its_own { Ok(read) } else { Err("it is not what its name says".into()) }
    }
}

/// Where the roll-ups of a level are.
pub(super) fn level_prefix(cluster: &str, level: u8) -> String {
    format!("{}{FOLDER}/{level}/", archive_prefix(cluster))
}

/// The key of one.
pub(super) fn rollup_key(cluster: &str, level: u8, name: &str) -> String {
    format!("{}{name}{END}", level_prefix(cluster, level))
}

/// What the one under `key` is called.
pub(super) fn rollup_name<'k>(cluster: &str, level: u8, key: &'k str) -> Option<&'k str> {
    key.strip_prefix(&level_prefix(cluster, level))?.strip_suffix(END)
}

/// Pieces that follow one another become one: those of one reading of one server, whatever it was cut into. They say the same
/// as before.
///
/// # Errors
/// Pieces of both families: two clusters were mixed up.
pub fn joined(mut pieces: Vec<Piece>) -> Result<Vec<Piece>, DialectMismatch> {
    pieces.sort_by_cached_key(|piece| (piece.timeline, piece.span.after.count(), piece.span.first_ms));
    let mut ends = HashMap::new();
    let mut joined: Vec<Piece> = Vec::new();
    for piece in pieces {
        let known = piece.span.after.union(&piece.span.added)?;
        let (timeline, writer) = (piece.timeline, piece.writer.clone());
        let before = ends.remove(&(timeline, writer.clone(), piece.span.after.clone()));
        let at = before.unwrap_or(joined.len());
        match joined.get_mut(at) {
            Some(Piece { span, .. }) => {
                span.added = span.added.union(&piece.span.added)?;
                span.transactions += piece.span.transactions;
                span.first_ms = span.first_ms.min(piece.span.first_ms);
                span.last_ms = span.last_ms.max(piece.span.last_ms);
            }
            None => joined.push(piece),
        }
        ends.insert((timeline, writer, known), at);
    }
    Ok(joined)
}
