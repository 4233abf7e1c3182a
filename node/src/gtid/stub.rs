#![allow(missing_docs)]
//! Stand-in until the real algebra is merged: just enough for `sql` to compile.
use std::fmt;
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    Mysql,
    Mariadb,
}
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GtidSet {
    Mysql(String),
    Mariadb(String),
}
#[derive(Debug, thiserror::Error)]
#[error("not a GTID set")]
pub struct GtidError;
impl GtidSet {
    pub fn empty(d: Dialect) -> Self {
        match d {
            Dialect::Mysql => Self::Mysql(String::new()),
            Dialect::Mariadb => Self::Mariadb(String::new()),
        }
    }
    pub fn parse_mysql(s: &str) -> Result<Self, GtidError> {
        Ok(Self::Mysql(s.replace('\n', "")))
    }
    pub fn parse_mariadb_state(s: &str) -> Result<Self, GtidError> {
        Ok(Self::Mariadb(s.into()))
    }
    pub fn parse_mariadb_pos(s: &str) -> Result<Self, GtidError> {
        Ok(Self::Mariadb(s.into()))
    }
    pub fn union(&self, other: &Self) -> Result<Self, GtidError> {
        Ok(if other.to_string().is_empty() { self.clone() } else { other.clone() })
    }
    pub fn contains(&self, other: &Self) -> Result<bool, GtidError> {
        Ok(self == other || other.to_string().is_empty())
    }
}
impl fmt::Display for GtidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mysql(s) | Self::Mariadb(s) => f.write_str(s),
        }
    }
}
