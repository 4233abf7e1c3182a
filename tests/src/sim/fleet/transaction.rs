//! Transactions, and the sets of them as Baton's own GTID module keeps them.

use std::sync::Arc;

use baton_node::gtid::{Dialect, GtidSet, MariadbGtid, MariadbSet, MysqlSet, ServerUuid, Tsid};

/// What a client writes. Each row is written once, so that a row stands for the transaction that brought it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row(pub u64);

/// A transaction's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gtid {
    /// The server on which it was first committed, and its number there.
    Mysql(ServerUuid, u64),
    /// Domain, server id and sequence number.
    Mariadb(MariadbGtid),
}

/// A committed transaction.
#[derive(Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Its name.
    pub gtid: Gtid,
    /// Its row; none in one that changes nothing.
    pub row: Option<Row>,
}

/// Shared between the logs that hold it.
pub(super) type Shared = Arc<Transaction>;

impl Gtid {
    /// Adds it to a set of its dialect; MariaDB: with everything before it.
    pub fn add_to(self, set: &mut GtidSet) {
        match (self, set) {
            (Self::Mysql(uuid, number), GtidSet::Mysql(set)) => set.insert(Tsid::from(uuid), number..=number),
            (Self::Mariadb(gtid), GtidSet::Mariadb(set)) => set.advance(gtid),
            _ => unreachable!("a fleet is of one dialect"),
        }
    }

    /// Whether a set has it.
    pub fn is_in(self, set: &GtidSet) -> bool {
        match (self, set) {
            (Self::Mysql(uuid, number), GtidSet::Mysql(set)) => {
                let mut one = MysqlSet::default();
                one.insert(Tsid::from(uuid), number..=number);
                set.contains(&one)
            }
            (Self::Mariadb(gtid), GtidSet::Mariadb(set)) => {
                let mut one = MariadbSet::default();
                one.advance(gtid);
                set.contains_position(&one)
            }
            _ => unreachable!("a fleet is of one dialect"),
        }
    }

    /// A set with it alone, as a server names what it received last.
    pub(super) fn alone(self) -> GtidSet {
        let mut set = match self {
            Self::Mysql(..) => GtidSet::empty(Dialect::Mysql),
            Self::Mariadb(_) => GtidSet::empty(Dialect::Mariadb),
        };
        self.add_to(&mut set);
        set
    }
}

/// Two sets of one fleet are of one dialect.
pub(super) fn union(a: &GtidSet, b: &GtidSet) -> GtidSet {
    a.union(b).unwrap_or_else(|_| unreachable!("a fleet is of one dialect"))
}

/// Whether `a` has all of `b`; on MariaDB by position, as its replicas compare.
pub(super) fn has(a: &GtidSet, b: &GtidSet) -> bool {
    match (a, b) {
        (GtidSet::Mariadb(a), GtidSet::Mariadb(b)) => a.contains_position(b),
        _ => a.contains(b).unwrap_or(false),
    }
}
