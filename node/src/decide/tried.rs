//! What a node tries on the server beside it, as a client would, and what that says. Pure.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::seen::ProbeError;

/// With less than this part of it free, a disk is nearly full.
const NEARLY_FULL: u64 = 20;
/// With this much free it is not, however large it is. Bytes.
const PLENTY: u64 = 20 << 30;
/// With less than this free, no commit can be written. Bytes.
const FULL: u64 = 1 << 20;
/// A trial under way for less than this says nothing.
const SLOW: Duration = Duration::from_millis(300);

/// What a node tried on its own server. New connections and writes are tried only while its guard holds a lease and the
/// cluster is lossless.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tried {
    /// For how long no new connection has come about; zero after one that did, and while none is tried.
    pub no_connection_for: Duration,
    /// Why not, by the latest attempt that has ended.
    pub connection_error: Option<ProbeError>,
    /// Client sessions, and how many the server takes.
    pub sessions: Option<(u32, u32)>,
    /// For how long nothing has been committed though it was tried; zero after a commit, and while none is tried.
    pub no_commit_for: Duration,
    /// What became of the latest write.
    pub write: Write,
    /// The file system of the server's data.
    pub disk: Option<Disk>,
}

/// What became of a write.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Write {
    /// None was called for, or the answer says nothing: closed, or somebody holds a lock.
    #[default]
    NotTried,
    /// Something was committed.
    Committed,
    /// It waits for an acknowledgement: the ackers' fault, not the writer's.
    AckersMissing,
    /// No answer.
    Blocked,
    /// The server says that it cannot: its words.
    Failed(String),
}

/// A file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// What the server's user may still write, in bytes.
    pub free: u64,
    /// Its size, in bytes.
    pub size: u64,
    /// It is mounted, or has been remounted, read-only.
    pub read_only: bool,
}

impl Disk {
    /// Worth an alert, and a reason against a candidate.
    pub fn is_nearly_full(&self) -> bool {
        self.size > 0 && self.free < PLENTY && self.free < self.size / NEARLY_FULL
    }

    fn is_full(&self) -> bool {
        self.size > 0 && self.free < FULL
    }

    /// Whether no commit can be written to it.
    pub fn takes_nothing(&self) -> bool {
        self.read_only || self.is_full()
    }
}

impl Tried {
    /// Why the server hangs, if for at least `limit` neither a new connection nor a write has come through. One of the two
    /// is no hang, and a write that waits for its ackers is theirs.
    pub fn hung(&self, limit: Duration) -> Option<String> {
        let limit = limit.max(SLOW);
        let blocked = self.write == Write::Blocked || self.write == Write::NotTried;
        let both = self.no_connection_for >= limit && self.no_commit_for >= limit;
        (both && blocked).then(|| {
            format!(
                "no new connection for {} ms and no commit for {} ms",
                self.no_connection_for.as_millis(),
                self.no_commit_for.as_millis()
            )
        })
    }

    /// Why the server cannot write though it takes connections, and for how long that has been so.
    pub fn cannot_write(&self) -> Option<(String, Duration)> {
        if self.no_commit_for < SLOW || self.no_connection_for >= SLOW {
            return None;
        }
        let disk = self.disk.unwrap_or_default();
        let why = match &self.write {
            Write::NotTried | Write::Committed | Write::AckersMissing => return None,
            Write::Failed(_) | Write::Blocked if disk.read_only => "its file system is read-only".to_owned(),
            Write::Failed(_) | Write::Blocked if disk.is_full() => "its disk is full".to_owned(),
            Write::Failed(words) => words.clone(),
            Write::Blocked => "a commit does not come through".to_owned(),
        };
        Some((why, self.no_commit_for))
    }

    /// Whether clients find no connection left.
    pub fn is_out_of_connections(&self) -> bool {
        self.connection_error == Some(ProbeError::TooManyConnections)
            || self.sessions.is_some_and(|(used, most)| most > 0 && used >= most)
    }
}
