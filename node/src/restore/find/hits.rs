//! The earliest transactions of what was found, each of them once. Pure.

use std::collections::BTreeMap;

use super::choose::Fate;
use super::scan::Hit;
use crate::archive::entry::Timeline;

/// A transaction with what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) hit: Hit,
    pub(super) timeline: Timeline,
    pub(super) fate: Fate,
}

/// Those that were found so far, up to one more than are shown: so it is known that there are more.
#[derive(Debug)]
pub(super) struct Hits {
    limit: usize,
    /// By when each was committed, and in the order in which they came.
    kept: BTreeMap<(u64, u64), Found>,
    came: u64,
}

impl Hits {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, kept: BTreeMap::new(), came: 0 }
    }

    /// Takes one. What two segments have is one.
    pub(super) fn take(&mut self, found: Found) {
        let is_there = |other: &Found| {
            other.timeline.reset == found.timeline.reset
                && other.hit.gtid == found.hit.gtid
                // On MariaDB another transaction may have the same number, one of which the cluster went on without.
                && other.hit.deeds == found.hit.deeds
        };
        if let Some(there) = self.kept.values_mut().find(|other| is_there(other)) {
            // Of an earlier line and a later one.
            there.fate = there.fate.min(found.fate);
            return;
        }
        self.came += 1;
        self.kept.insert((found.hit.at_us, self.came), found);
        if self.kept.len() > self.limit.saturating_add(1) {
            self.kept.pop_last();
        }
    }

    /// Whether nothing that was committed from then on, in milliseconds since 1970, is shown.
    pub(super) fn is_full(&self, from_ms: u64) -> bool {
        let last = self.kept.keys().nth(self.limit);
        last.is_some_and(|(at_us, _)| *at_us < from_ms.saturating_mul(1000))
    }

    /// Those that are shown, the oldest first, and whether there are more.
    pub(super) fn shown(self) -> (Vec<Found>, bool) {
        let has_more = self.kept.len() > self.limit;
        (self.kept.into_values().take(self.limit).collect(), has_more)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::testing::{dropped, found};
    use super::*;

    #[test]
    fn the_earliest_each_of_them_once() {
        let mut hits = Hits::new(2);
        for at_us in [5_000_000, 1_000_000, 3_000_000, 7_000_000] {
            hits.take(found(at_us, Fate::Kept));
            hits.take(found(at_us, Fate::Lost));
        }
        assert!(hits.is_full(5001) && !hits.is_full(5000));
        let (shown, has_more) = hits.shown();
        let when: Vec<_> = shown.iter().map(|found| (found.hit.at_us / 1_000_000, found.fate)).collect();
        assert_eq!((when, has_more), (vec![(1, Fate::Kept), (3, Fate::Kept)], true));
    }

    #[test]
    fn the_same_number_before_and_after_a_reset_is_another_transaction() {
        let mut hits = Hits::new(5);
        let (one, mut other) = (found(1_000_000, Fate::Earlier), found(1_000_000, Fate::Kept));
        other.timeline.reset = 1;
        let mut third = one.clone();
        third.hit.deeds = vec![dropped("shop.items")];
        for found in [one, other, third] {
            hits.take(found);
        }
        assert!(!hits.is_full(u64::MAX));
        let (shown, has_more) = hits.shown();
        assert_eq!((shown.len(), has_more), (3, false));
    }
}
