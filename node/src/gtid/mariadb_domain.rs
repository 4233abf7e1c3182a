//! One MariaDB domain: a line of history, known by its sequence numbers and by how far each server id got.

use std::collections::BTreeMap;

use super::interval::Intervals;

/// A part of one domain's history.
///
/// What a server tells is a prefix of the line: every sequence number up to the highest. Who wrote which of them it does
/// not tell, only the last one of each server id. So both are kept apart: the numbers, each of which counts once, and
/// the last one of each server id. A difference is a part that does not start at 1.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct DomainSet {
    /// The sequence numbers in this part.
    numbers: Intervals,
    /// Server id → its highest sequence number in this part; each is one of `numbers`, and the highest is their last.
    last_by_server: BTreeMap<u32, u64>,
}

impl DomainSet {
    pub(super) fn add(&mut self, server_id: u32, first: u64, last: u64) {
        self.numbers = self.numbers.union(&Intervals::span(first, last));
        if first <= last {
            let known = self.last_by_server.entry(server_id).or_default();
            *known = last.max(*known);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.last_by_server.is_empty()
    }

    pub(super) fn count(&self) -> u64 {
        self.numbers.count()
    }

    /// Whether this is what a server would tell: everything up to the last sequence number.
    pub(super) fn is_prefix(&self) -> bool {
        self.numbers.last().is_none_or(|last| self.numbers.count() == last)
    }

    /// The highest sequence number of this server id, 0 when it wrote nothing here.
    pub(super) fn last_of(&self, server_id: u32) -> u64 {
        self.last_by_server.get(&server_id).copied().unwrap_or(0)
    }

    /// The last transaction: server id and sequence number.
    pub(super) fn last(&self) -> Option<(u32, u64)> {
        self.by_number().pop().map(|(number, server_id)| (server_id, number))
    }

    /// `(sequence number, server id)`, rising.
    pub(super) fn by_number(&self) -> Vec<(u64, u32)> {
        let mut out: Vec<_> =
            self.last_by_server.iter().map(|(server_id, number)| (*number, *server_id)).collect();
        out.sort_unstable();
        out
    }

    /// The numbers shared out to the server ids, in the line's order: each goes to the server id whose last number is the
    /// nearest at or above it. That is certain for the last server id, and a guess where server ids took turns.
    pub(super) fn segments(&self) -> Vec<(u32, Intervals)> {
        let (mut below, mut previous) = (0, 0);
        let mut out = Vec::new();
        for (number, server_id) in self.by_number() {
            // Two server ids that share their last number (a divergence) get the same segment.
            if number > previous {
                below = previous;
            }
            previous = number;
            out.push((server_id, self.numbers.intersect(&Intervals::span(below + 1, number))));
        }
        out
    }

    /// Up to which sequence number both tell of the same transactions; 0 if they share no server id.
    ///
    /// Two histories that fork at p have everything up to p in common, so the writer of p has at least p in both, and no
    /// server id has more than p in both as long as none wrote on both sides of the fork.
    fn common_up_to(&self, other: &Self) -> u64 {
        let shared = self.last_by_server.iter().map(|(server_id, last)| other.last_of(*server_id).min(*last));
        shared.max().unwrap_or(0)
    }

    /// The same numbers, as if one server id had written them all.
    pub(super) fn by_nobody(&self) -> Self {
        let last_by_server = self.numbers.last().map(|last| (0, last)).into_iter().collect();
        Self { numbers: self.numbers.clone(), last_by_server }
    }

    /// The same numbers with the server ids that `line` has for them, as far as it shows them.
    pub(super) fn named_by(&self, line: &Self) -> Self {
        let mut named = Self::default();
        for (server_id, numbers) in line.segments() {
            for range in numbers.intersect(&self.numbers).iter() {
                named.add(server_id, range.start, range.last());
            }
        }
        named
    }

    pub(super) fn union(&self, other: &Self) -> Self {
        let mut last_by_server = self.last_by_server.clone();
        for (server_id, last) in &other.last_by_server {
            let known = last_by_server.entry(*server_id).or_default();
            *known = (*known).max(*last);
        }
        Self { numbers: self.numbers.union(&other.numbers), last_by_server }
    }

    pub(super) fn intersect(&self, other: &Self) -> Self {
        let common = Intervals::span(1, self.common_up_to(other));
        let numbers = self.numbers.intersect(&other.numbers).intersect(&common);
        let shared = self.last_by_server.iter().filter_map(|(server_id, last)| {
            Some((*server_id, numbers.last_up_to(other.last_of(*server_id).min(*last))?))
        });
        Self { last_by_server: shared.collect(), numbers }
    }

    pub(super) fn contains(&self, other: &Self) -> bool {
        let all_servers =
            other.last_by_server.iter().all(|(server_id, last)| self.last_of(*server_id) >= *last);
        all_servers && self.numbers.contains(&other.numbers)
    }

    /// What of `self` is not in `other`. Everything past the common part, whoever wrote it. Where a server id is behind
    /// within the common part, which complete states never show, everything past its own last number: rather too much
    /// than too little.
    pub(super) fn subtract(&self, other: &Self) -> Self {
        let common_up_to = self.common_up_to(other);
        let common = other.numbers.intersect(&Intervals::span(1, common_up_to));
        let mut out = Self { numbers: self.numbers.subtract(&common), ..Self::default() };
        let uncovered = self.numbers.subtract(&other.numbers);
        for (server_id, segment) in self.segments() {
            let (ours, theirs) = (self.last_of(server_id), other.last_of(server_id));
            if ours > theirs {
                out.last_by_server.insert(server_id, ours);
                if ours <= common_up_to {
                    let behind = self.numbers.intersect(&Intervals::span(theirs + 1, ours));
                    out.numbers = out.numbers.union(&behind);
                }
            } else if let Some(last) = segment.intersect(&uncovered).last() {
                // Only when `other` is itself a difference, with less than a prefix to take away.
                out.last_by_server.insert(server_id, last);
            }
        }
        out
    }

    /// See [`super::MariadbSet::diverges`].
    pub(super) fn diverges(&self, other: &Self) -> bool {
        let common_up_to = self.common_up_to(other);
        let both_went_on = |set: &Self| set.last().is_some_and(|(_, number)| number > common_up_to);
        if common_up_to > 0 && both_went_on(self) && both_went_on(other) {
            return true;
        }
        self.last_by_server.iter().any(|(server_id, number)| {
            other.last_by_server.iter().any(|(theirs, n)| n == number && theirs != server_id)
        })
    }
}
