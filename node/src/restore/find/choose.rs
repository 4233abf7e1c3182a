//! Which segments are looked through, which transactions the cluster went on without, and what nobody can look through because it
//! is archived nowhere. Pure.

use std::collections::BTreeMap;

use serde::Serialize;

use super::wanted::Wanted;
use crate::archive::coverage::{Coverage, Piece, coverage};
use crate::archive::entry::{Entry, Timeline};
use crate::archive::event::Gtid;
use crate::gtid::{DialectMismatch, GtidSet, MariadbGtid, MariadbSet};
use crate::restore::replay::Moment;

/// Whether a restore gets to a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Fate {
    /// It is part of the history that the cluster went on with.
    Kept,
    /// The cluster went on without it.
    Lost,
    /// It is of a history that was begun anew since.
    Earlier,
}

/// What is known of an archive as a whole.
#[derive(Debug, Clone)]
pub(super) struct History {
    newest: Timeline,
    coverage: Coverage,
    /// When the first of all that is archived was committed, and the last.
    first_ms: u64,
    last_ms: u64,
    /// MariaDB: what the servers of each epoch of the newest history had, by the epoch.
    epochs: BTreeMap<u64, GtidSet>,
}

impl History {
    /// `None` where nothing is archived.
    ///
    /// # Errors
    /// Pieces of both families: two clusters were mixed up.
    pub(super) fn of(pieces: &[Piece]) -> Result<Option<Self>, DialectMismatch> {
        let newest = pieces.iter().map(|piece| piece.timeline).max();
        let (Some(newest), Some(coverage)) = (newest, coverage(pieces)?) else { return Ok(None) };
        let mut epochs: BTreeMap<u64, GtidSet> = BTreeMap::new();
        for Piece { timeline, span, .. } in pieces.iter().filter(|piece| piece.timeline.goes_on_as(newest)) {
            let has = span.after.union(&span.added)?;
            let all = match epochs.remove(&timeline.epoch) {
                Some(all) => all.union(&has)?,
                None => has,
            };
            epochs.insert(timeline.epoch, all);
        }
        let first_ms = pieces.iter().map(|piece| piece.span.first_ms).min().unwrap_or_default();
        let last_ms = pieces.iter().map(|piece| piece.span.last_ms).max().unwrap_or_default();
        Ok(Some(Self { newest, coverage, first_ms, last_ms, epochs }))
    }

    /// What became of a transaction that a segment of this line has.
    pub(super) fn fate(&self, timeline: Timeline, gtid: &Gtid) -> Fate {
        if !timeline.goes_on_as(self.newest) {
            return Fate::Earlier;
        }
        let is_kept = match gtid {
            // A name is used once there.
            Gtid::Mysql(..) => self.coverage.line.contains(&gtid.set()).unwrap_or_default(),
            Gtid::Mariadb(gtid) => {
                let mut later = self.epochs.range(timeline.epoch.saturating_add(1)..);
                later.all(|(_, has)| matches!(has, GtidSet::Mariadb(has) if has_it(has, *gtid)))
            }
        };
        if is_kept { Fate::Kept } else { Fate::Lost }
    }

    /// What of the time that was asked for lies before and after all that is archived.
    pub(super) fn beyond(&self, wanted: &Wanted) -> Vec<String> {
        let (from_ms, to_ms) = wanted.range_ms();
        let at = |ms: u64| Moment::time(ms.saturating_mul(1000));
        let mut lacks = Vec::new();
        if wanted.from_us.is_some() && from_ms < self.first_ms && !self.coverage.base.is_empty() {
            lacks.push(format!("nothing is archived that was committed before {}", at(self.first_ms)));
        }
        // To the second on MariaDB.
        let is_later = |ms: u64| ms > self.last_ms.saturating_add(999);
        if is_later(from_ms) || (wanted.to_us.is_some() && is_later(to_ms)) {
            lacks.push(format!("nothing is archived yet that was committed after {}", at(self.last_ms)));
        }
        lacks
    }

    /// What is missing in the archive where anything was committed that is looked for.
    pub(super) fn missing(&self, wanted: &Wanted) -> Option<&GtidSet> {
        let Coverage { holes, windows, .. } = &self.coverage;
        let (from_ms, to_ms) = wanted.range_ms();
        let is_within = windows.windows(2).any(|pair| match pair {
            [before, after] => {
                before.last_ms.min(after.first_ms) <= to_ms && after.first_ms.max(before.last_ms) >= from_ms
            }
            _ => false,
        });
        // Where there is but one stretch, nobody knows when it was.
        Some(holes).filter(|holes| !holes.is_empty() && (is_within || windows.len() < 2))
    }
}

/// Whether servers of a later epoch had a transaction of MariaDB's. A server that was seeded by a position knows nothing of the
/// server ids before that, which speaks against none of them.
fn has_it(has: &MariadbSet, gtid: MariadbGtid) -> bool {
    let up_to = |sequence| {
        let mut set = MariadbSet::default();
        set.advance(MariadbGtid { sequence, ..gtid });
        set
    };
    let is_known = has.contains_position(&up_to(1));
    let is_behind = has.last_gtids().any(|last| last.domain == gtid.domain && last.sequence >= gtid.sequence);
    has.contains_position(&up_to(gtid.sequence)) || (!is_known && is_behind)
}

/// Whether anything of a segment may be what is looked for.
pub(super) fn is_within(entry: &Entry, wanted: &Wanted) -> bool {
    let (from_ms, to_ms) = wanted.range_ms();
    entry.span.last_ms >= from_ms && entry.span.first_ms <= to_ms
}

/// In the order in which they were committed.
pub(super) fn in_order(mut entries: Vec<Entry>) -> Vec<Entry> {
    entries.sort_by_cached_key(|entry| {
        (entry.span.first_ms, entry.timeline, entry.span.after.count(), entry.span.last_ms)
    });
    entries
}

/// The only cluster of those that have an archive.
pub(super) fn the_only(mut having: Vec<String>, wanted: Option<&str>) -> Result<String, String> {
    match (having.pop(), wanted) {
        (Some(only), _) if having.is_empty() => Ok(only),
        (Some(last), _) => {
            having.push(last);
            Err(format!("it has archives of {}; say which cluster with --cluster", having.join(", ")))
        }
        (None, Some(wanted)) => Err(format!("it has no archive of {wanted}'s binlog")),
        (None, None) => Err("it has no archive of any binlog".into()),
    }
}

#[cfg(test)]
#[path = "choose_tests.rs"]
mod tests;
