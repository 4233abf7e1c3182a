//! MySQL's GTID set.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::interval::{Interval, Intervals};
use super::mysql_text::GNO_MAX;
use super::{GtidParseError, ServerUuid, Tsid};

/// A set of MySQL transactions: for each server UUID and tag, intervals of transaction numbers from 1 to 2^63 − 2.
///
/// Two sets are equal when they hold the same transactions, however they were written. Read with `parse`, printed with
/// `Display` in the server's own form except that the UUIDs are separated by `,` and not by `,` and a line break.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct MysqlSet {
    /// No entry is empty.
    by_tsid: BTreeMap<Tsid, Intervals>,
}

impl MysqlSet {
    /// Collects intervals in any order; empty ones vanish, overlapping ones merge.
    pub(super) fn from_intervals(intervals: BTreeMap<Tsid, Vec<Interval>>) -> Self {
        let merged = intervals.into_iter().map(|(tsid, list)| (tsid, Intervals::from_unsorted(list)));
        Self { by_tsid: merged.filter(|(_, list)| !list.is_empty()).collect() }
    }

    /// Adds the transactions of `tsid` with these numbers; numbers outside 1 to 2^63 − 2 do not exist and are left out.
    pub fn insert(&mut self, tsid: Tsid, numbers: RangeInclusive<u64>) {
        let added = Intervals::span((*numbers.start()).max(1), (*numbers.end()).min(GNO_MAX));
        if !added.is_empty() {
            let entry = self.by_tsid.entry(tsid).or_default();
            *entry = entry.union(&added);
        }
    }

    /// Whether there is no transaction in it.
    pub fn is_empty(&self) -> bool {
        self.by_tsid.is_empty()
    }

    /// How many transactions are in it, at most `u64::MAX`.
    pub fn count(&self) -> u64 {
        self.by_tsid.values().fold(0, |sum: u64, list| sum.saturating_add(list.count()))
    }

    /// Every interval with its origin, in the order in which they print.
    pub fn iter(&self) -> impl Iterator<Item = (&Tsid, RangeInclusive<u64>)> {
        self.by_tsid.iter().flat_map(|(tsid, list)| list.iter().map(move |i| (tsid, i.start..=i.last())))
    }

    /// The servers that committed at least one of these transactions first, each once.
    pub fn uuids(&self) -> impl Iterator<Item = ServerUuid> + '_ {
        let mut previous = None;
        self.by_tsid.keys().map(|tsid| tsid.uuid).filter(move |uuid| previous.replace(*uuid) != Some(*uuid))
    }

    /// Everything that is in either.
    pub fn union(&self, other: &Self) -> Self {
        let mut out = self.clone();
        for (tsid, theirs) in &other.by_tsid {
            let entry = out.by_tsid.entry(tsid.clone()).or_default();
            *entry = entry.union(theirs);
        }
        out
    }

    /// Everything of `self` that `other` lacks, as `GTID_SUBTRACT(self, other)`.
    pub fn subtract(&self, other: &Self) -> Self {
        self.keep(|tsid, ours| match other.by_tsid.get(tsid) {
            Some(theirs) => ours.subtract(theirs),
            None => ours.clone(),
        })
    }

    /// Everything that is in both.
    pub fn intersect(&self, other: &Self) -> Self {
        self.keep(|tsid, ours| {
            other.by_tsid.get(tsid).map(|theirs| ours.intersect(theirs)).unwrap_or_default()
        })
    }

    /// Whether `self` has everything of `other`. Mind the order: it is `GTID_SUBSET(other, self)`.
    pub fn contains(&self, other: &Self) -> bool {
        other
            .by_tsid
            .iter()
            .all(|(tsid, theirs)| self.by_tsid.get(tsid).is_some_and(|ours| ours.contains(theirs)))
    }

    fn keep(&self, part: impl Fn(&Tsid, &Intervals) -> Intervals) -> Self {
        let kept = self.by_tsid.iter().map(|(tsid, ours)| (tsid.clone(), part(tsid, ours)));
        Self { by_tsid: kept.filter(|(_, list)| !list.is_empty()).collect() }
    }
}

impl From<MysqlSet> for String {
    fn from(set: MysqlSet) -> Self {
        set.to_string()
    }
}

impl TryFrom<String> for MysqlSet {
    type Error = GtidParseError;

    fn try_from(text: String) -> Result<Self, GtidParseError> {
        text.parse()
    }
}
