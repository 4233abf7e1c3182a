//! Rows of `mysql_servers`, and how they differ from what is wanted.

use std::fmt;

use super::desired::Want;
use crate::config::HostPort;

/// The columns of a row, in the order in which [`Row`] is read.
pub(super) const COLUMNS: &str = "hostgroup_id, hostname, port, gtid_port, status, weight, compression, \
                                  max_connections, max_replication_lag, use_ssl, max_latency_ms, comment";

/// An instance's two hostgroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Groups {
    /// Where clients that write are led.
    pub writer: u32,
    /// Where clients that only read are led.
    pub reader: u32,
}

/// A row of `mysql_servers`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Which hostgroup.
    pub hostgroup: u32,
    /// The server's address.
    pub address: HostPort,
    /// `ONLINE`, `SHUNNED`, `OFFLINE_SOFT` or `OFFLINE_HARD`.
    pub status: String,
    /// The other columns, as they were read: they are the instance's owner's.
    pub tuning: Tuning,
}

/// What a row says besides, each as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// `gtid_port`, `weight`, `compression`, `max_connections`, `max_replication_lag`, `use_ssl`, `max_latency_ms`.
    pub numbers: [u64; 7],
    /// `comment`.
    pub comment: String,
}

/// Which of the three copies of `mysql_servers`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// What is edited.
    Memory,
    /// What is used.
    Runtime,
    /// What a restart begins with.
    Disk,
}

/// What an instance has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Actual {
    /// `mysql_servers`.
    pub memory: Vec<Row>,
    /// `runtime_mysql_servers`.
    pub runtime: Vec<Row>,
    /// Whether the instance's own monitor places the servers of these groups too, by read_only.
    pub monitored: bool,
}

/// One row that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The server.
    pub address: HostPort,
    /// In which hostgroup.
    pub hostgroup: u32,
    /// What is wanted.
    pub want: Want,
    /// What is there.
    pub have: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, hostgroup, want, have } = self;
        match have {
            Some(have) => write!(f, "{address} is {have} in hostgroup {hostgroup}")?,
            None => write!(f, "{address} is missing from hostgroup {hostgroup}")?,
        }
        match (want, have) {
            (Want::Online, Some(_)) => f.write_str(", not ONLINE"),
            (Want::Soft, _) => f.write_str(", not drained"),
            (Want::Absent, _) => f.write_str(", where it does not belong"),
            _ => Ok(()),
        }
    }
}

impl Row {
    pub(super) fn is(&self, hostgroup: u32, address: &HostPort) -> bool {
        self.hostgroup == hostgroup && self.address == *address
    }
}

impl Tuning {
    /// ProxySQL's defaults.
    pub(super) fn new(comment: &str) -> Self {
        Self { numbers: [0, 1, 0, 1000, 0, 0, 0], comment: comment.to_owned() }
    }
}

/// The row, as a condition.
pub(super) fn place(group: u32, address: &HostPort) -> String {
    format!("hostgroup_id={group} AND hostname={} AND port={}", quoted(&address.host), address.port)
}

/// As SQLite takes it: a backslash means itself.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
