//! Which binlog file to begin with, and which events belong to the wanted transactions. Pure.

use std::str::FromStr;

use mysql_async::binlog::events::{Event, GtidEvent};

use crate::gtid::{Dialect, GtidSet, MariadbSet, MysqlSet, ServerUuid, Tag, Tsid};

/// Event types by number; MySQL's and MariaDB's own ones never collide.
pub(super) mod kind {
    pub(in super::super) const STOP: u8 = 3;
    pub(in super::super) const ROTATE: u8 = 4;
    pub(in super::super) const FORMAT: u8 = 15;
    const HEARTBEAT: u8 = 27;
    pub(in super::super) const GTID: u8 = 33;
    const ANONYMOUS_GTID: u8 = 34;
    const PREVIOUS_GTIDS: u8 = 35;
    pub(in super::super) const PAYLOAD: u8 = 40;
    const HEARTBEAT_2: u8 = 41;
    pub(in super::super) const TAGGED_GTID: u8 = 42;
    pub(in super::super) const ANNOTATE: u8 = 160;
    const CHECKPOINT: u8 = 161;
    pub(in super::super) const MARIADB_GTID: u8 = 162;
    const MARIADB_GTID_LIST: u8 = 163;
    const MARIADB_ENCRYPTION: u8 = 164;

    /// Belongs to the file and to no transaction.
    pub(super) fn is_of_the_file(kind: u8) -> bool {
        let of_mysql = [STOP, ROTATE, FORMAT, HEARTBEAT, PREVIOUS_GTIDS, HEARTBEAT_2];
        let of_mariadb = [CHECKPOINT, MARIADB_GTID_LIST, MARIADB_ENCRYPTION];
        of_mysql.contains(&kind) || of_mariadb.contains(&kind)
    }

    pub(super) fn is_anonymous(kind: u8) -> bool {
        kind == ANONYMOUS_GTID
    }
}

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

/// The GTID that an event gives to the transaction after it, as a set of one; `None` for any other event.
pub(super) fn gtid_of(event: &Event) -> Result<Option<GtidSet>, String> {
    match event.header().event_type_raw() {
        kind::GTID | kind::TAGGED_GTID => {
            let gtid: GtidEvent = event.read_event().map_err(|e| e.to_string())?;
            let tag = gtid.tag().map(|tag| Tag::from_str(tag.as_str())).transpose();
            let tag = tag.map_err(|e| e.to_string())?.unwrap_or_default();
            let mut set = MysqlSet::default();
            set.insert(Tsid { uuid: ServerUuid::from_bytes(gtid.sid()), tag }, gtid.gno()..=gtid.gno());
            Ok(Some(GtidSet::Mysql(set)))
        }
        kind::MARIADB_GTID => {
            let (sequence, rest) = event.data().split_first_chunk::<8>().ok_or("it is too short")?;
            let (domain, _) = rest.split_first_chunk::<4>().ok_or("it is too short")?;
            let (sequence, domain) = (u64::from_le_bytes(*sequence), u32::from_le_bytes(*domain));
            let text = format!("{domain}-{}-{sequence}..{sequence}", event.header().server_id());
            let set: MariadbSet = text.parse().map_err(|e| format!("{e}"))?;
            Ok(Some(GtidSet::Mariadb(set)))
        }
        _ => Ok(None),
    }
}
