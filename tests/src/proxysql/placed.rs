//! What leads clients: the runtime copy of `mysql_servers`.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use anyhow::Result;
use tokio::sync::watch;

use super::WRITER_GROUP;

/// What clients are led by.
#[derive(Debug, Clone, Default)]
pub(super) struct Runtime {
    /// In the order of group and address.
    pub(super) servers: Vec<Placed>,
    /// Writer and reader groups that the monitor keeps.
    pub(super) pairs: Vec<(u32, u32)>,
    /// The most servers that were in use in the writer group at any moment.
    pub(super) most_writers: usize,
}

/// A server in a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// Which group.
    pub group: u32,
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether it is used.
    pub status: Status,
    /// The other columns, in the table's order, as they were loaded.
    pub(super) rest: Vec<String>,
}

/// Whether a server is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It is.
    Online,
    /// Not for now: it did not answer.
    Shunned,
    /// Only by who is in a transaction there.
    OfflineSoft,
}

/// Who clients are led to, as it changes.
#[derive(Debug, Clone)]
pub struct Changes(watch::Receiver<Runtime>);

impl Changes {
    pub(super) fn new(runtime: &watch::Sender<Runtime>) -> Self {
        Self(runtime.subscribe())
    }

    /// Waits until `right` holds for all rows.
    ///
    /// # Errors
    /// When the instance is gone.
    pub async fn wait_for(&mut self, right: impl Fn(&[Placed]) -> bool) -> Result<()> {
        self.0.wait_for(|runtime| right(&runtime.servers)).await?;
        Ok(())
    }
}

impl FromStr for Status {
    type Err = ();

    /// An OFFLINE_HARD server is not there at run time.
    fn from_str(text: &str) -> Result<Self, ()> {
        match text.to_ascii_uppercase().as_str() {
            "ONLINE" => Ok(Self::Online),
            "SHUNNED" => Ok(Self::Shunned),
            "OFFLINE_SOFT" => Ok(Self::OfflineSoft),
            _ => Err(()),
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Online => "ONLINE",
            Self::Shunned => "SHUNNED",
            Self::OfflineSoft => "OFFLINE_SOFT",
        })
    }
}

impl Placed {
    /// Where it is reached; `None` for a name, which the double does not resolve.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.host.parse().ok()?, self.port))
    }

    fn is(&self, group: u32, host: &str, port: u16) -> bool {
        self.group == group && self.host == host && self.port == port
    }
}

impl Runtime {
    /// Changes, and counts who is in the writer group then.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut Self) -> bool) -> bool {
        let changed = change(self);
        self.most_writers = self.most_writers.max(self.online(WRITER_GROUP).count());
        changed
    }

    /// Those that are used in a group.
    pub(super) fn online(&self, group: u32) -> impl Iterator<Item = &Placed> {
        self.servers.iter().filter(move |server| server.group == group && server.status == Status::Online)
    }

    /// Whether it is still there, in whatever state.
    pub(super) fn has(&self, server: &Placed) -> bool {
        self.servers.iter().any(|other| other.is(server.group, &server.host, server.port))
    }

    /// What the real monitor does with an answer about read_only. Says whether anything changed.
    pub(super) fn judge(&mut self, (writer, reader): (u32, u32), server: &Placed, read_only: bool) -> bool {
        let (host, port) = (&server.host, server.port);
        let there = |all: &[Placed], group| all.iter().position(|other| other.is(group, host, port));
        let in_writer = there(&self.servers, writer);
        let in_reader = there(&self.servers, reader);
        let changed = match (read_only, in_writer, in_reader) {
            (true, Some(index), Some(_)) => {
                self.servers.remove(index);
                true
            }
            (true, Some(index), None) => {
                self.servers[index].group = reader;
                true
            }
            (false, None, Some(_)) | (false, Some(_), None) => {
                for group in [writer, reader] {
                    if there(&self.servers, group).is_none() {
                        self.servers.push(Placed { group, status: Status::Online, ..server.clone() });
                    }
                }
                true
            }
            _ => false,
        };
        self.servers.sort_by(|a, b| (a.group, &a.host, a.port).cmp(&(b.group, &b.host, b.port)));
        changed
    }
}
