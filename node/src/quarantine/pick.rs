//! Which binlog file to begin with, and which events belong to the wanted transactions. Pure.

use crate::gtid::{Dialect, GtidSet};
pub(super) use crate::sql::binlog_event::{gtid_of, kind};

/// Whether reading may begin with a file before which the server had `before`: nothing wanted came earlier.
pub(super) fn may_begin_with(before: &GtidSet, wanted: &GtidSet) -> bool {
    before.intersect(wanted).is_ok_and(|earlier| earlier.is_empty())
}

/// What to do with an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It begins a wanted transaction.
    Begin,
    /// It belongs to one.
    Keep,
    /// It does not.
    Pass,
}

/// Picks the events of the wanted transactions out of a binlog.
#[derive(Debug)]
pub(super) struct Picker {
    wanted: GtidSet,
    /// What was wanted and has been seen.
    seen: GtidSet,
    transactions: u64,
    inside: bool,
    /// The reader hands out what a compressed transaction holds after it, as if it were in the binlog too.
    unpacked: bool,
}

impl Picker {
    pub(super) fn new(wanted: GtidSet) -> Self {
        let seen = GtidSet::empty(wanted.dialect());
        Self { wanted, seen, transactions: 0, inside: false, unpacked: false }
    }

    /// Judges the next event: its type, and the GTID that it gives to what follows it, if it gives one.
    pub(super) fn judge(&mut self, kind: u8, gtid: Option<&GtidSet>) -> Verdict {
        if let Some(gtid) = gtid {
            self.unpacked = false;
            self.inside = self.wanted.contains(gtid).unwrap_or(false);
            if !self.inside {
                return Verdict::Pass;
            }
            self.seen = self.seen.union(gtid).unwrap_or_else(|_| self.seen.clone());
            self.transactions += 1;
            return Verdict::Begin;
        }
        if kind::is_anonymous(kind) || [kind::ROTATE, kind::FORMAT, kind::STOP].contains(&kind) {
            (self.inside, self.unpacked) = (false, false);
        }
        if kind::is_of_the_file(kind) || !self.inside || self.unpacked {
            return Verdict::Pass;
        }
        self.unpacked = kind == kind::PAYLOAD;
        Verdict::Keep
    }

    /// How many transactions were picked.
    pub(super) fn transactions(&self) -> u64 {
        self.transactions
    }

    /// What is wanted and has not come; empty when all has. MariaDB's sets count sequence numbers that no transaction has,
    /// so there the last of each domain stands for all before it.
    pub(super) fn missing(&self) -> GtidSet {
        let missing = self.wanted.subtract(&self.seen).unwrap_or_else(|_| self.wanted.clone());
        match (&self.wanted, &self.seen) {
            (GtidSet::Mariadb(wanted), GtidSet::Mariadb(seen)) if seen.contains_position(wanted) => {
                GtidSet::empty(Dialect::Mariadb)
            }
            _ => missing,
        }
    }
}
