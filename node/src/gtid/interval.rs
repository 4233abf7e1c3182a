//! Sets of numbers as sorted, disjoint, coalesced half-open intervals. Every operation is one linear merge.

/// A non-empty half-open interval: `start` is in it, `end` is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Interval {
    pub(super) start: u64,
    pub(super) end: u64,
}

impl Interval {
    /// The last number in it.
    pub(super) fn last(self) -> u64 {
        self.end - 1
    }
}

/// A set of numbers. No two intervals touch, so that equal sets are equal values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Intervals(Vec<Interval>);

impl Intervals {
    /// The numbers from `first` to `last`, both included; none when `last < first`. `last` is below `u64::MAX`.
    pub(super) fn span(first: u64, last: u64) -> Self {
        let mut out = Self::default();
        out.push(Interval { start: first, end: last + 1 });
        out
    }

    /// Sorts and coalesces; empty and overlapping intervals are welcome.
    pub(super) fn from_unsorted(mut intervals: Vec<Interval>) -> Self {
        intervals.sort_unstable_by_key(|interval| interval.start);
        let mut out = Self(Vec::with_capacity(intervals.len()));
        for interval in intervals {
            out.push(interval);
        }
        out
    }

    /// Appends an interval that starts no earlier than the last one here.
    fn push(&mut self, interval: Interval) {
        if interval.start >= interval.end {
            return;
        }
        match self.0.last_mut() {
            Some(last) if last.end >= interval.start => last.end = last.end.max(interval.end),
            _ => self.0.push(interval),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Interval> + '_ {
        self.0.iter().copied()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many numbers, at most `u64::MAX`.
    pub(super) fn count(&self) -> u64 {
        self.0.iter().fold(0, |sum: u64, i| sum.saturating_add(i.end - i.start))
    }

    /// The highest number.
    pub(super) fn last(&self) -> Option<u64> {
        self.0.last().map(|interval| interval.last())
    }

    /// The highest number that is not above `limit`.
    pub(super) fn last_up_to(&self, limit: u64) -> Option<u64> {
        let after = self.0.partition_point(|interval| interval.start <= limit);
        let interval = self.0.get(after.checked_sub(1)?)?;
        Some(interval.last().min(limit))
    }

    pub(super) fn union(&self, other: &Self) -> Self {
        let mut out = Self(Vec::with_capacity(self.0.len().max(other.0.len())));
        let (mut left, mut right) = (self.iter().peekable(), other.iter().peekable());
        loop {
            let next = match (left.peek(), right.peek()) {
                (Some(l), Some(r)) if l.start <= r.start => left.next(),
                (_, Some(_)) => right.next(),
                (_, None) => left.next(),
            };
            match next {
                Some(interval) => out.push(interval),
                None => return out,
            }
        }
    }

    pub(super) fn intersect(&self, other: &Self) -> Self {
        let mut out = Self::default();
        let (mut i, mut j) = (0, 0);
        while let (Some(l), Some(r)) = (self.0.get(i), other.0.get(j)) {
            out.push(Interval { start: l.start.max(r.start), end: l.end.min(r.end) });
            if l.end <= r.end {
                i += 1;
            } else {
                j += 1;
            }
        }
        out
    }

    pub(super) fn subtract(&self, other: &Self) -> Self {
        let mut out = Self::default();
        let mut j = 0;
        for interval in self.iter() {
            let mut start = interval.start;
            while let Some(hole) = other.0.get(j).filter(|hole| hole.start < interval.end) {
                out.push(Interval { start, end: hole.start });
                start = start.max(hole.end);
                // A hole that reaches past this interval may cut into the next one too.
                if hole.end > interval.end {
                    break;
                }
                j += 1;
            }
            out.push(Interval { start, end: interval.end });
        }
        out
    }

    /// Whether every number of `other` is here. Coalesced intervals fit into one of ours or do not fit at all.
    pub(super) fn contains(&self, other: &Self) -> bool {
        let mut ours = self.iter().peekable();
        other.iter().all(|theirs| {
            while ours.next_if(|i| i.end < theirs.end).is_some() {}
            ours.peek().is_some_and(|i| i.start <= theirs.start)
        })
    }
}
