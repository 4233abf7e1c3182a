//! What was found in a stream.

use serde::{Deserialize, Serialize};

/// Where a backup stands in the server's history.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Every transaction that it has, in the dialect's own spelling; of a clone those before it began.
    pub gtids: String,
    /// The binlog file of the server that was read; empty where nobody knows.
    pub binlog_file: String,
    /// The byte in it.
    pub binlog_position: u64,
}

/// From which to which byte of InnoDB's redo log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LsnRange {
    /// 0 of a full backup; else where its base ends.
    pub from: u64,
    /// Where the next increment begins.
    pub to: u64,
}

/// A file or a table in a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Its path in the data directory, or `schema.table`.
    pub name: String,
    /// Its bytes in the stream.
    pub bytes: u64,
}

/// What was found in a stream that is a backup.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Findings {
    /// Where it stands; `None` of what has no such thing.
    pub position: Option<Position>,
    /// Of InnoDB.
    pub lsn: Option<LsnRange>,
    /// The version of the program.
    pub tool_version: String,
    /// The version of the server, as the program found it.
    pub server_version: String,
    /// What it holds, by name.
    pub inventory: Vec<FileEntry>,
}
