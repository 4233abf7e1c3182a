//! GTID sets and their algebra: what a server has, what it lacks, what only it has.
//!
//! The two dialects mean different things by a GTID. MySQL keeps a true set, intervals per server UUID and tag.
//! MariaDB keeps the end of a line of history per domain. [`GtidSet`] gives both the same questions; the types behind it
//! say where an answer rests on more than the text the server gave. Pure: no I/O and no clock.

mod error;
mod interval;
mod mariadb;
mod mariadb_domain;
mod mariadb_text;
mod mysql;
mod mysql_id;
mod mysql_text;

#[cfg(test)]
mod interval_tests;
#[cfg(test)]
mod mariadb_tests;
#[cfg(test)]
mod mysql_tests;
#[cfg(test)]
mod set_tests;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use error::{DialectMismatch, GtidParseError};
pub use mariadb::{MariadbGtid, MariadbSet};
pub use mysql::MysqlSet;
pub use mysql_id::{ServerUuid, Tag, Tsid};

/// The family a server belongs to: what its statements, variables and GTIDs look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// MySQL and its builds, such as Percona Server.
    Mysql,
    /// MariaDB.
    Mariadb,
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Dialect::Mysql => "MySQL",
            Dialect::Mariadb => "MariaDB",
        })
    }
}

/// A set of transactions, in the terms of one dialect.
///
/// Serialised with its dialect: `{"mysql":"<uuid>:1-5"}`, `{"mariadb":"0-1-100"}`. Operations on two sets of different
/// dialects answer [`DialectMismatch`], empty sets included: such a pair means that two clusters were mixed up.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GtidSet {
    /// A MySQL set.
    Mysql(MysqlSet),
    /// A MariaDB set.
    Mariadb(MariadbSet),
}

impl GtidSet {
    /// The set without a transaction.
    pub fn empty(dialect: Dialect) -> Self {
        match dialect {
            Dialect::Mysql => Self::Mysql(MysqlSet::default()),
            Dialect::Mariadb => Self::Mariadb(MariadbSet::default()),
        }
    }

    /// Reads a MySQL set as the server does (`gtid_executed`, `Retrieved_Gtid_Set`, `gtid_purged`): see [`MysqlSet`].
    pub fn parse_mysql(text: &str) -> Result<Self, GtidParseError> {
        text.parse().map(Self::Mysql)
    }

    /// Reads MariaDB's `gtid_binlog_state`: the last GTID of each server id in each domain.
    pub fn parse_mariadb_state(text: &str) -> Result<Self, GtidParseError> {
        MariadbSet::parse_state(text).map(Self::Mariadb)
    }

    /// Reads a MariaDB position (`gtid_slave_pos`, `gtid_binlog_pos`, `Gtid_IO_Pos`): the last GTID of each domain.
    pub fn parse_mariadb_pos(text: &str) -> Result<Self, GtidParseError> {
        MariadbSet::parse_position(text).map(Self::Mariadb)
    }

    /// The dialect this set belongs to.
    pub fn dialect(&self) -> Dialect {
        match self {
            Self::Mysql(_) => Dialect::Mysql,
            Self::Mariadb(_) => Dialect::Mariadb,
        }
    }

    /// Whether there is no transaction in it.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Mysql(set) => set.is_empty(),
            Self::Mariadb(set) => set.is_empty(),
        }
    }

    /// How many transactions are in it, at most `u64::MAX`. MariaDB: how many sequence numbers, see [`MariadbSet::count`].
    pub fn count(&self) -> u64 {
        match self {
            Self::Mysql(set) => set.count(),
            Self::Mariadb(set) => set.count(),
        }
    }

    /// [`GtidSet::count`] in words: `1 transaction`, `7 transactions`.
    pub fn amount(&self) -> String {
        match self.count() {
            1 => "1 transaction".to_owned(),
            many => format!("{many} transactions"),
        }
    }

    /// The same transactions as they are told apart on one line of history: MariaDB's by their numbers alone
    /// ([`MariadbSet::numbers`]), MySQL's as they are.
    pub fn numbers(&self) -> Self {
        match self {
            Self::Mysql(set) => Self::Mysql(set.clone()),
            Self::Mariadb(set) => Self::Mariadb(set.numbers()),
        }
    }

    /// What [`GtidSet::numbers`] has left, in the words of `line`, which has it.
    pub fn named_by(&self, line: &Self) -> Result<Self, DialectMismatch> {
        match (self, line) {
            (Self::Mariadb(set), Self::Mariadb(line)) => Ok(Self::Mariadb(set.named_by(line))),
            _ => self.intersect(line),
        }
    }

    /// Everything that is in either.
    pub fn union(&self, other: &Self) -> Result<Self, DialectMismatch> {
        self.combine(other, MysqlSet::union, MariadbSet::union)
    }

    /// Everything of `self` that `other` lacks: what is lost, or errant.
    pub fn subtract(&self, other: &Self) -> Result<Self, DialectMismatch> {
        self.combine(other, MysqlSet::subtract, MariadbSet::subtract)
    }

    /// Everything that is in both.
    pub fn intersect(&self, other: &Self) -> Result<Self, DialectMismatch> {
        self.combine(other, MysqlSet::intersect, MariadbSet::intersect)
    }

    /// Whether `self` has everything of `other`. True exactly when `other.subtract(self)` is empty.
    pub fn contains(&self, other: &Self) -> Result<bool, DialectMismatch> {
        match (self, other) {
            (Self::Mysql(left), Self::Mysql(right)) => Ok(left.contains(right)),
            (Self::Mariadb(left), Self::Mariadb(right)) => Ok(left.contains(right)),
            _ => Err(self.mismatch(other)),
        }
    }

    fn combine(
        &self,
        other: &Self,
        mysql: fn(&MysqlSet, &MysqlSet) -> MysqlSet,
        mariadb: fn(&MariadbSet, &MariadbSet) -> MariadbSet,
    ) -> Result<Self, DialectMismatch> {
        match (self, other) {
            (Self::Mysql(left), Self::Mysql(right)) => Ok(Self::Mysql(mysql(left, right))),
            (Self::Mariadb(left), Self::Mariadb(right)) => Ok(Self::Mariadb(mariadb(left, right))),
            _ => Err(self.mismatch(other)),
        }
    }

    fn mismatch(&self, other: &Self) -> DialectMismatch {
        DialectMismatch { left: self.dialect(), right: other.dialect() }
    }
}

impl fmt::Display for GtidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mysql(set) => set.fmt(f),
            Self::Mariadb(set) => set.fmt(f),
        }
    }
}
