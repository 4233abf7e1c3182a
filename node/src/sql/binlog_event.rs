//! Events of a binlog, as far as they tell of transactions.

use std::str::FromStr;

use mysql_async::binlog::events::{Event, GtidEvent};

use crate::gtid::{GtidSet, MariadbGtid, MariadbSet, MysqlSet, ServerUuid, Tag, Tsid};

/// Event types by number; MySQL's and MariaDB's own ones never collide.
pub(crate) mod kind {
    pub(crate) const QUERY: u8 = 2;
    pub(crate) const STOP: u8 = 3;
    pub(crate) const ROTATE: u8 = 4;
    pub(crate) const INTVAR: u8 = 5;
    pub(crate) const APPEND_BLOCK: u8 = 9;
    pub(crate) const RAND: u8 = 13;
    pub(crate) const USER_VAR: u8 = 14;
    pub(crate) const FORMAT: u8 = 15;
    pub(crate) const XID: u8 = 16;
    pub(crate) const BEGIN_LOAD: u8 = 17;
    pub(crate) const EXECUTE_LOAD: u8 = 18;
    pub(crate) const TABLE_MAP: u8 = 19;
    pub(crate) const WRITE_ROWS_1: u8 = 23;
    pub(crate) const UPDATE_ROWS_1: u8 = 24;
    pub(crate) const DELETE_ROWS_1: u8 = 25;
    pub(crate) const HEARTBEAT: u8 = 27;
    const IGNORABLE: u8 = 28;
    const ROWS_QUERY: u8 = 29;
    pub(crate) const WRITE_ROWS: u8 = 30;
    pub(crate) const UPDATE_ROWS: u8 = 31;
    pub(crate) const DELETE_ROWS: u8 = 32;
    pub(crate) const GTID: u8 = 33;
    pub(crate) const ANONYMOUS_GTID: u8 = 34;
    pub(crate) const PREVIOUS_GTIDS: u8 = 35;
    const TRANSACTION_CONTEXT: u8 = 36;
    const VIEW_CHANGE: u8 = 37;
    pub(crate) const XA_PREPARE: u8 = 38;
    pub(crate) const PARTIAL_UPDATE_ROWS: u8 = 39;
    pub(crate) const PAYLOAD: u8 = 40;
    pub(crate) const HEARTBEAT_2: u8 = 41;
    pub(crate) const TAGGED_GTID: u8 = 42;
    pub(crate) const ANNOTATE: u8 = 160;
    const CHECKPOINT: u8 = 161;
    pub(crate) const MARIADB_GTID: u8 = 162;
    pub(crate) const MARIADB_GTID_LIST: u8 = 163;
    const MARIADB_ENCRYPTION: u8 = 164;
    pub(crate) const QUERY_COMPRESSED: u8 = 165;
    pub(crate) const WRITE_ROWS_COMPRESSED_1: u8 = 166;
    pub(crate) const UPDATE_ROWS_COMPRESSED_1: u8 = 167;
    pub(crate) const DELETE_ROWS_COMPRESSED_1: u8 = 168;
    pub(crate) const WRITE_ROWS_COMPRESSED: u8 = 169;
    pub(crate) const UPDATE_ROWS_COMPRESSED: u8 = 170;
    pub(crate) const DELETE_ROWS_COMPRESSED: u8 = 171;

    /// Belongs to the file and to no transaction.
    pub(crate) fn is_of_the_file(kind: u8) -> bool {
        let of_mysql = [STOP, ROTATE, FORMAT, HEARTBEAT, PREVIOUS_GTIDS, HEARTBEAT_2];
        let of_mariadb = [CHECKPOINT, MARIADB_GTID_LIST, MARIADB_ENCRYPTION];
        of_mysql.contains(&kind) || of_mariadb.contains(&kind)
    }

    /// Changes nothing itself: it belongs to the file, ends a transaction, or says more about what does.
    pub(crate) fn does_nothing(kind: u8) -> bool {
        let variables = [INTVAR, RAND, USER_VAR, APPEND_BLOCK, BEGIN_LOAD];
        let remarks = [IGNORABLE, ROWS_QUERY, TRANSACTION_CONTEXT, VIEW_CHANGE, ANNOTATE];
        is_of_the_file(kind)
            || [XID, XA_PREPARE].contains(&kind)
            || variables.contains(&kind)
            || remarks.contains(&kind)
    }

    pub(crate) fn is_anonymous(kind: u8) -> bool {
        kind == ANONYMOUS_GTID
    }
}

/// The GTID that an event gives to the transaction after it, as a set of one; `None` for any other event.
pub(crate) fn gtid_of(event: &Event) -> Result<Option<GtidSet>, String> {
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
            let MariadbGtid { domain, server_id, sequence } = mariadb_gtid_of(event)?;
            let text = format!("{domain}-{server_id}-{sequence}..{sequence}");
            let set: MariadbSet = text.parse().map_err(|e| format!("{e}"))?;
            Ok(Some(GtidSet::Mariadb(set)))
        }
        _ => Ok(None),
    }
}

/// What a GTID event of MariaDB's names.
pub(crate) fn mariadb_gtid_of(event: &Event) -> Result<MariadbGtid, String> {
    let (sequence, rest) = event.data().split_first_chunk::<8>().ok_or("it is too short")?;
    let (domain, _) = rest.split_first_chunk::<4>().ok_or("it is too short")?;
    let (sequence, domain) = (u64::from_le_bytes(*sequence), u32::from_le_bytes(*domain));
    Ok(MariadbGtid { domain, server_id: event.header().server_id(), sequence })
}

/// The body of a PREVIOUS_GTIDS event (MySQL) or of a GTID_LIST event (MariaDB): what precedes a file.
pub(crate) fn previous_gtids(before: &GtidSet) -> Vec<u8> {
    match before {
        GtidSet::Mysql(set) => previous_of_mysql(set),
        GtidSet::Mariadb(set) => {
            let last: Vec<_> = set.last_gtids().collect();
            let count = u32::try_from(last.len()).unwrap_or_default();
            let mut body = count.to_le_bytes().to_vec();
            for gtid in last {
                body.extend(gtid.domain.to_le_bytes());
                body.extend(gtid.server_id.to_le_bytes());
                body.extend(gtid.sequence.to_le_bytes());
            }
            body
        }
    }
}

fn previous_of_mysql(set: &MysqlSet) -> Vec<u8> {
    let mut entries: Vec<(&Tsid, Vec<(u64, u64)>)> = Vec::new();
    for (tsid, numbers) in set.iter() {
        let interval = (*numbers.start(), *numbers.end() + 1);
        match entries.last_mut() {
            Some((last, list)) if *last == tsid => list.push(interval),
            _ => entries.push((tsid, vec![interval])),
        }
    }
    let has_tags = entries.iter().any(|(tsid, _)| !tsid.tag.is_empty());
    let count = entries.len() as u64;
    // The highest byte says which form follows, and the lowest one repeats it.
    let head = if has_tags { (1 << 56) | (count << 8) | 1 } else { count };
    let mut body = head.to_le_bytes().to_vec();
    for (tsid, intervals) in entries {
        body.extend(tsid.uuid.bytes());
        if has_tags {
            let tag = tsid.tag.to_string();
            // Lengths below 64 are one byte, shifted by the bit that says so.
            body.push(u8::try_from(tag.len() << 1).unwrap_or_default());
            body.extend(tag.as_bytes());
        }
        body.extend((intervals.len() as u64).to_le_bytes());
        for (first, after) in intervals {
            body.extend(first.to_le_bytes());
            body.extend(after.to_le_bytes());
        }
    }
    body
}
