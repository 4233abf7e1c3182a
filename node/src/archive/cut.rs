//! Where transactions begin and end in what a server sends, and which they are. Pure.

use std::collections::BTreeMap;

use mysql_async::binlog::events::{Event, GtidEvent};

use crate::gtid::{GtidSet, MariadbGtid, MariadbSet};
use crate::sql::binlog_event::{gtid_of, kind, mariadb_gtid_of};

/// Of MariaDB's GTID event: the transaction is one statement and has no event that ends it.
const STANDALONE: u8 = 1;
/// Precede a statement that needs them, and end nothing.
const BEFORE: [u8; 6] =
    [kind::INTVAR, kind::RAND, kind::USER_VAR, kind::APPEND_BLOCK, kind::BEGIN_LOAD, kind::ANNOTATE];
/// In the body of a query: bytes before the status variables, where their length stands, and the schema's.
const QUERY_HEAD: usize = 13;
const SCHEMA_LENGTH_AT: usize = 8;

/// What to do with an event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// A file of the server's begins: nothing after it may stand in a segment that began before it.
    File,
    /// It belongs to no transaction.
    Skip,
    /// It begins one. What had begun before and had not ended never will.
    Begins(Box<Begun>),
    /// It belongs to the one that has begun.
    Within,
    /// It ends that one.
    Ends,
}

/// A transaction that begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Begun {
    /// Which.
    pub(super) gtids: GtidSet,
    /// What the server never logged before it, where that shows only now.
    pub(super) unlogged: Option<GtidSet>,
    /// When it was committed on its writer, in microseconds since 1970; to the second on MariaDB.
    pub(super) at_us: u64,
}

/// How the transaction at hand ends.
#[derive(Debug)]
enum End {
    /// After so many bytes more.
    Bytes(u64),
    /// With the event that commits it.
    Commit,
    /// With its only statement.
    Statement,
}

/// Follows a stream of events.
#[derive(Debug)]
pub(super) struct Cutter {
    end: Option<End>,
    /// MariaDB: the last number of each domain.
    last: BTreeMap<u32, u64>,
}

impl Cutter {
    /// `start`: what the server was asked to leave out.
    pub(super) fn new(start: &GtidSet) -> Self {
        let last = match start {
            GtidSet::Mysql(_) => BTreeMap::new(),
            GtidSet::Mariadb(set) => set.last_gtids().map(|gtid| (gtid.domain, gtid.sequence)).collect(),
        };
        Self { end: None, last }
    }

    /// Judges the next event.
    ///
    /// # Errors
    /// It cannot be archived, in words.
    pub(super) fn judge(&mut self, event: &Event) -> Result<Cut, String> {
        let kind = event.header().event_type_raw();
        if let Some(gtids) = gtid_of(event)? {
            let begun = self.begin(event, gtids)?;
            return Ok(Cut::Begins(Box::new(begun)));
        }
        if kind::is_anonymous(kind) {
            return Err("a transaction without a GTID came".into());
        }
        if kind == kind::FORMAT {
            self.end = None;
            return Ok(Cut::File);
        }
        if kind::is_of_the_file(kind) || self.end.is_none() {
            return Ok(Cut::Skip);
        }
        let is_over = match self.end.as_mut() {
            None => false,
            Some(End::Bytes(left)) => {
                *left = left.saturating_sub(u64::from(event.header().event_size()));
                *left == 0
            }
            Some(End::Commit) => commits(kind, event.data()),
            Some(End::Statement) => !BEFORE.contains(&kind),
        };
        if is_over {
            self.end = None;
            return Ok(Cut::Ends);
        }
        Ok(Cut::Within)
    }

    fn begin(&mut self, event: &Event, gtids: GtidSet) -> Result<Begun, String> {
        let header_us = u64::from(event.header().timestamp()) * 1_000_000;
        if event.header().event_type_raw() == kind::MARIADB_GTID {
            let gtid = mariadb_gtid_of(event)?;
            let flags = event.data().get(12).copied().ok_or("a GTID event is too short")?;
            self.end = Some(if flags & STANDALONE == 0 { End::Commit } else { End::Statement });
            let (gtids, unlogged) = self.on_the_line(gtid)?;
            return Ok(Begun { gtids, unlogged, at_us: header_us });
        }
        let read: GtidEvent = event.read_event().map_err(|e| e.to_string())?;
        let length = read.tx_length();
        let size = u64::from(event.header().event_size());
        self.end = Some(match length.checked_sub(size) {
            Some(left) if left > 0 => End::Bytes(left),
            _ => End::Commit,
        });
        let at_us = Some(read.original_commit_timestamp()).filter(|us| *us > 0).unwrap_or(header_us);
        Ok(Begun { gtids, unlogged: None, at_us })
    }

    /// On MariaDB a transaction stands for every number since the one before it: nothing else will ever have those.
    fn on_the_line(&mut self, gtid: MariadbGtid) -> Result<(GtidSet, Option<GtidSet>), String> {
        let MariadbGtid { domain, server_id, sequence } = gtid;
        let before = self.last.insert(domain, sequence);
        let first = before.map_or(sequence, |before| (before + 1).min(sequence));
        let text = format!("{domain}-{server_id}-{first}..{sequence}");
        let set: MariadbSet = text.parse().map_err(|e| format!("{e}"))?;
        let unlogged = (before.is_none() && sequence > 1).then(|| {
            let mut unlogged = MariadbSet::default();
            unlogged.advance(MariadbGtid { domain, server_id, sequence: sequence - 1 });
            GtidSet::Mariadb(unlogged)
        });
        Ok((GtidSet::Mariadb(set), unlogged))
    }
}

/// Whether an event ends a transaction that has an end of its own.
fn commits(kind: u8, body: &[u8]) -> bool {
    match kind {
        kind::XID | kind::XA_PREPARE | kind::PAYLOAD => true,
        kind::QUERY => statement(body).is_some_and(|text| [&b"COMMIT"[..], b"ROLLBACK"].contains(&text)),
        _ => false,
    }
}

/// The text of a query.
fn statement(body: &[u8]) -> Option<&[u8]> {
    let schema = usize::from(*body.get(SCHEMA_LENGTH_AT)?);
    let variables = usize::from(u16::from_le_bytes([*body.get(QUERY_HEAD - 2)?, *body.get(QUERY_HEAD - 1)?]));
    // The schema's name ends with a zero.
    body.get(QUERY_HEAD + variables + schema + 1..)
}
