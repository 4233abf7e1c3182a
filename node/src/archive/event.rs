//! Events of a binlog file, read with bounds: whatever is cut or damaged is an error in words, and never more than that. What an
//! event holds is a stream, so that one of a gigabyte needs no gigabyte here.

use std::io::{self, Read};
use std::str::FromStr;

use super::fields::Fields;
use super::frame::MAGIC;
use crate::gtid::{GtidSet, MariadbGtid, MariadbSet, MysqlSet, ServerUuid, Tag, Tsid};
use crate::sql::binlog_event::kind;

/// Bytes of an event before its body.
const HEADER: usize = 19;
/// Bytes of a checksum.
const SUM: u64 = 4;
/// At the end of a FORMAT event: how checksums are made, and its own.
const FORMAT_END: usize = 5;
/// It has 57 bytes and one for each type of event, of which there are 256 at most.
const FORMAT_MAX: u64 = 4096;
/// In the header: whoever does not know the event may pass it over.
const IGNORABLE: u16 = 0x80;
/// A GTID event is a few fields long.
const GTID_MAX: u64 = 4096;
/// In MySQL's GTID event: the time of the commit, when its writer's follows.
const ORIGINAL_FOLLOWS: u64 = 1 << 55;
/// Says that logical clocks and times follow.
const CLOCKS: u8 = 2;
/// Fields of MySQL's tagged GTID event, by number.
const FLAGS: u64 = 0;
const UUID: u64 = 1;
const NUMBER: u64 = 2;
const TAG: u64 = 3;
const COMMITTED: u64 = 6;
const COMMITTED_ORIGINALLY: u64 = 7;

/// What every event begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    /// Its type, by number.
    pub(crate) kind: u8,
    /// In seconds since 1970, by its writer's clock.
    pub(crate) at_s: u32,
    pub(crate) server_id: u32,
    pub(crate) is_ignorable: bool,
}

/// The events of a file, or of a transaction that is compressed.
pub(crate) struct Events<R> {
    input: R,
    /// Of the body of the event at hand, not read yet; and of its checksum.
    left: u64,
    sum: u64,
    sums: bool,
}

impl<R: Read> Events<R> {
    /// Those of a binlog file.
    ///
    /// # Errors
    /// It is none.
    pub(crate) fn of_file(mut input: R) -> Result<Self, String> {
        let mut magic = [0; MAGIC.len()];
        input.read_exact(&mut magic).map_err(|e| e.to_string())?;
        if magic != MAGIC {
            return Err("it is no binlog file".into());
        }
        Ok(Self::within(input))
    }

    /// Those that a compressed transaction holds: none has a checksum.
    pub(crate) fn within(input: R) -> Self {
        Self { input, left: 0, sum: 0, sums: false }
    }

    /// The next one; what is left of the one before is passed over. `None` at the end.
    ///
    /// # Errors
    /// It is cut off, or cannot be read.
    pub(crate) fn next(&mut self) -> Result<Option<Head>, String> {
        self.pass_over()?;
        let mut header = Vec::with_capacity(HEADER);
        (&mut self.input).take(HEADER as u64).read_to_end(&mut header).map_err(|e| e.to_string())?;
        if header.is_empty() {
            return Ok(None);
        }
        let mut fields = Fields(&header);
        let (head, size) = head(&mut fields).ok_or("an event is cut off in its header")?;
        let body = u64::from(size).checked_sub(HEADER as u64).ok_or("an event is shorter than its header")?;
        if head.kind == kind::FORMAT {
            self.format(body)?;
            return Ok(Some(head));
        }
        self.sum = if self.sums { SUM } else { 0 };
        self.left = body.checked_sub(self.sum).ok_or("an event is shorter than its checksum")?;
        Ok(Some(head))
    }

    /// What the event at hand holds, without its checksum; nothing of one that describes the file.
    pub(crate) fn body(&mut self) -> Body<'_, R> {
        Body(self)
    }

    fn pass_over(&mut self) -> Result<(), String> {
        let rest = self.left + self.sum;
        (self.left, self.sum) = (0, 0);
        let passed =
            io::copy(&mut (&mut self.input).take(rest), &mut io::sink()).map_err(|e| e.to_string())?;
        if passed < rest { Err("an event is cut off".into()) } else { Ok(()) }
    }

    /// Learns whether what follows has checksums. The event itself ends with the place of one on all servers.
    fn format(&mut self, body: u64) -> Result<(), String> {
        if body > FORMAT_MAX {
            return Err("an event that describes the file is too long".into());
        }
        let mut bytes = Vec::new();
        (&mut self.input).take(body).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
        let algorithm = bytes.len().checked_sub(FORMAT_END).and_then(|at| bytes.get(at));
        self.sums = match algorithm {
            Some(_) if (bytes.len() as u64) < body => return Err("an event is cut off".into()),
            // Off, or a server that knows of none.
            Some(0 | 255) => false,
            Some(1) => true,
            Some(other) => return Err(format!("its checksums are of an unknown kind: {other}")),
            None => return Err("an event that describes the file is too short".into()),
        };
        Ok(())
    }
}

/// What an event holds.
pub(crate) struct Body<'e, R>(&'e mut Events<R>);

impl<R: Read> Read for Body<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.0.left).unwrap_or(usize::MAX).min(into.len());
        // Some decoders take a read of nothing for one that cannot go on.
        let Some(into) = into.get_mut(..most).filter(|into| !into.is_empty()) else { return Ok(0) };
        let read = self.0.input.read(into)?;
        self.0.left = self.0.left.saturating_sub(read as u64);
        Ok(read)
    }
}

fn head(fields: &mut Fields<'_>) -> Option<(Head, u32)> {
    let at_s = fields.u32()?;
    let kind = fields.u8()?;
    let (server_id, size, _ends_at) = (fields.u32()?, fields.u32()?, fields.u32()?);
    let is_ignorable = fields.u16()? & IGNORABLE != 0;
    Some((Head { kind, at_s, server_id, is_ignorable }, size))
}

/// A transaction's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Gtid {
    Mysql(Tsid, u64),
    Mariadb(MariadbGtid),
}

impl std::fmt::Display for Gtid {
    /// As its server calls it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Mysql(..) => self.set().fmt(f),
            Self::Mariadb(gtid) => gtid.fmt(f),
        }
    }
}

impl Gtid {
    /// As a set of one on MySQL; on MariaDB with all that precede it, as a position stands for them.
    pub(crate) fn set(&self) -> GtidSet {
        match self {
            Self::Mysql(tsid, number) => {
                let mut set = MysqlSet::default();
                set.insert(tsid.clone(), *number..=*number);
                GtidSet::Mysql(set)
            }
            Self::Mariadb(gtid) => {
                let mut set = MariadbSet::default();
                set.advance(*gtid);
                GtidSet::Mariadb(set)
            }
        }
    }
}

/// Whether an event begins a transaction.
pub(crate) fn begins(kind: u8) -> bool {
    [kind::GTID, kind::TAGGED_GTID, kind::MARIADB_GTID].contains(&kind)
}

/// Which transaction an event begins, and when that was committed on its writer, in microseconds since 1970; to the second on
/// MariaDB, as `cut` has it.
///
/// # Errors
/// It is cut off, or of another form.
pub(crate) fn begun(head: Head, body: impl Read) -> Result<(Gtid, u64), String> {
    let mut bytes = Vec::new();
    body.take(GTID_MAX).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    let mut fields = Fields(&bytes);
    let read = match head.kind {
        kind::GTID => of_mysql(&mut fields),
        kind::TAGGED_GTID => tagged(&mut fields),
        _ => of_mariadb(&mut fields, head.server_id).map(|gtid| (gtid, 0)),
    };
    let (gtid, us) = read.ok_or("an event that names a transaction cannot be read")?;
    let at_us = if us > 0 { us } else { u64::from(head.at_s) * 1_000_000 };
    Ok((gtid, at_us))
}

fn of_mariadb(fields: &mut Fields<'_>, server_id: u32) -> Option<Gtid> {
    let (sequence, domain) = (fields.u64()?, fields.u32()?);
    Some(Gtid::Mariadb(MariadbGtid { domain, server_id, sequence }))
}

fn of_mysql(fields: &mut Fields<'_>) -> Option<(Gtid, u64)> {
    let _flags = fields.u8()?;
    let uuid = ServerUuid::from_bytes(fields.take(16)?.try_into().ok()?);
    let gtid = Gtid::Mysql(uuid.into(), Some(fields.u64()?).filter(|number| is_number(*number))?);
    // Servers before 5.7 end here.
    if fields.u8() != Some(CLOCKS) || fields.take(16).is_none() {
        return Some((gtid, 0));
    }
    let committed = fields.le(7).unwrap_or_default();
    let us = if committed & ORIGINAL_FOLLOWS == 0 { committed } else { fields.le(7)? };
    Some((gtid, us))
}

/// MySQL's own serialization, of its second version: numbers of fields and fields, in no certain order.
fn tagged(fields: &mut Fields<'_>) -> Option<(Gtid, u64)> {
    let (version, size, _last_needed) = (fields.varint()?, fields.varint()?, fields.varint()?);
    if version != 1 || size == 0 {
        return None;
    }
    let (mut uuid, mut tag, mut number) = (None, Tag::default(), None);
    let (mut committed, mut originally) = (0, 0);
    while !fields.0.is_empty() {
        match fields.varint()? {
            FLAGS => drop(fields.varint()?),
            UUID => {
                let mut bytes = [0; 16];
                for byte in &mut bytes {
                    *byte = u8::try_from(fields.varint()?).ok()?;
                }
                uuid = Some(ServerUuid::from_bytes(bytes));
            }
            // It has a sign, which is its lowest bit.
            NUMBER => number = Some(fields.varint()?).filter(|n| n & 1 == 0).map(|n| n >> 1),
            TAG => {
                let length = usize::try_from(fields.varint()?).ok()?;
                let text = std::str::from_utf8(fields.take(length)?).ok()?;
                tag = if text.is_empty() { Tag::default() } else { Tag::from_str(text).ok()? };
            }
            COMMITTED => committed = fields.varint()?,
            COMMITTED_ORIGINALLY => originally = fields.varint()?,
            // All others are one number each, whatever they mean; a later one that is not would not be understood.
            _ => drop(fields.varint()?),
        }
    }
    let gtid = Gtid::Mysql(Tsid { uuid: uuid?, tag }, number.filter(|number| is_number(*number))?);
    Some((gtid, if originally > 0 { originally } else { committed }))
}

/// Whether MySQL gives such a number.
fn is_number(number: u64) -> bool {
    (1..u64::MAX >> 1).contains(&number)
}

#[cfg(test)]
#[path = "event_tests.rs"]
pub(crate) mod tests;
