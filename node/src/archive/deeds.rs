//! What events of a transaction did: statements that are logged as such, and rows that were changed. Transactions and events that
//! are compressed are unpacked. No event, however odd, is more than one that is not known.

use std::collections::HashMap;
use std::io::{self, Read};

use flate2::read::ZlibDecoder;

use super::event::Events;
use super::fields::Fields;
use super::rows::{self, Change, Form, Table};
use crate::sql::binlog_event::kind;
use crate::sql::replaying::without_secrets;

/// So much of a statement is read: a list of ten thousand tables fits.
const STATEMENT_BYTES: u64 = 1 << 20;
/// The names of a table, and the types of as many columns as there can be; what follows is not used.
const TABLE_BYTES: u64 = 32 << 10;
/// So many tables are known at once. Rows of one that was forgotten are not known, which is told.
const TABLES_MAX: usize = 4096;
/// An event with more than that has one enormous row, or none of a server's; its rows are not counted.
const ROWS_BYTES: u64 = 64 << 20;
/// Of a statement so many characters are shown.
const SHOWN_MAX: usize = 200;
/// Statements that stand for nothing themselves.
const PLAIN: [&str; 3] = ["BEGIN", "COMMIT", "ROLLBACK"];
/// In the body of a query: where the lengths of the schema's name and of the status variables stand, and how long its head is.
const SCHEMA_LENGTH_AT: usize = 8;
const VARIABLES_LENGTH_AT: usize = 11;
const QUERY_HEAD: usize = 13;
/// LOAD DATA says more in its head.
const LOAD_HEAD: usize = 26;
/// Fields before MySQL's compressed transaction, and how it is compressed.
const END_OF_FIELDS: u64 = 0;
const COMPRESSION: u64 = 2;
const ZSTD: u64 = 0;
const NONE: u64 = 255;
/// Each of these is a number.
const FIELD_MAX: u64 = 16;
/// The id of no table.
const NO_TABLE: u64 = 0xff_ffff;

/// Something that an event did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Did<'d> {
    /// It ran this in that schema, which may be empty.
    Statement { schema: &'d str, text: &'d str },
    /// It changed so many rows; `None` where nobody can count them.
    Rows { schema: &'d str, table: &'d str, change: Change, count: Option<u64> },
    /// Nobody knows what: the event is of this type.
    Unknown(u8),
}

/// Follows the events of a transaction.
#[derive(Debug, Default)]
pub(crate) struct Deeds {
    /// By the id that row events name.
    tables: HashMap<u64, Table>,
}

impl Deeds {
    /// Takes an event's body, without its checksum. What cannot be read of it is unknown; that it is cut off shows when the next
    /// one is read.
    pub(crate) fn take(&mut self, kind: u8, body: &mut dyn Read, each: &mut dyn FnMut(Did<'_>)) {
        let known = match kind {
            kind::PAYLOAD => self.unpacked(body, each),
            _ => self.event(kind, body, each),
        };
        if known.is_none() {
            each(Did::Unknown(kind));
        }
    }

    /// MySQL's compressed transaction: the others are in it.
    fn unpacked(&mut self, body: &mut dyn Read, each: &mut dyn FnMut(Did<'_>)) -> Option<()> {
        let input: Box<dyn Read + '_> = match compression(body)? {
            ZSTD => Box::new(zstd::stream::read::Decoder::new(body).ok()?),
            NONE => Box::new(body),
            _ => return None,
        };
        let mut events = Events::within(input);
        while let Some(head) = events.next().ok()? {
            if !head.is_ignorable && self.event(head.kind, &mut events.body(), each).is_none() {
                each(Did::Unknown(head.kind));
            }
        }
        Some(())
    }

    fn event(&mut self, kind: u8, body: &mut dyn Read, each: &mut dyn FnMut(Did<'_>)) -> Option<()> {
        if let Some((form, is_compressed)) = form(kind) {
            return self.rows(form, is_compressed, body, each);
        }
        match kind {
            kind::QUERY => statement(&first(body, STATEMENT_BYTES)?, QUERY_HEAD, false, each),
            kind::QUERY_COMPRESSED => statement(&first(body, STATEMENT_BYTES)?, QUERY_HEAD, true, each),
            kind::EXECUTE_LOAD => statement(&first(body, STATEMENT_BYTES)?, LOAD_HEAD, false, each),
            kind::TABLE_MAP => {
                let (id, table) = Table::read(&first(body, TABLE_BYTES)?)?;
                if self.tables.len() >= TABLES_MAX {
                    self.tables.clear();
                }
                self.tables.insert(id, table);
                Some(())
            }
            kind if kind::does_nothing(kind) => Some(()),
            _ => None,
        }
    }

    fn rows(
        &self,
        form: Form,
        is_compressed: bool,
        body: &mut dyn Read,
        each: &mut dyn FnMut(Did<'_>),
    ) -> Option<()> {
        let mut bytes = first(body, ROWS_BYTES)?;
        let id = rows::table_id(&bytes)?;
        // Ends the rows of a statement that changed none: it names no table.
        let Some(table) = self.tables.get(&id) else { return (id == NO_TABLE).then_some(()) };
        let mut is_whole = (bytes.len() as u64) < ROWS_BYTES;
        if is_compressed {
            let packed = bytes.split_off(rows::rows_at(form, &bytes)?);
            let (rows, is_all) = inflated(&packed, ROWS_BYTES).unwrap_or_default();
            is_whole &= is_all;
            bytes.extend(rows);
        }
        let count = if is_whole { rows::count(form, &bytes, table) } else { None };
        each(Did::Rows { schema: &table.schema, table: &table.name, change: form.change, count });
        Some(())
    }
}

/// What an event with rows is like, and whether MariaDB has compressed it.
fn form(kind: u8) -> Option<(Form, bool)> {
    use Change::{Deleted, Inserted, Updated};
    let (change, has_extra, is_compressed) = match kind {
        kind::WRITE_ROWS_1 => (Inserted, false, false),
        kind::UPDATE_ROWS_1 => (Updated, false, false),
        kind::DELETE_ROWS_1 => (Deleted, false, false),
        kind::WRITE_ROWS => (Inserted, true, false),
        kind::UPDATE_ROWS | kind::PARTIAL_UPDATE_ROWS => (Updated, true, false),
        kind::DELETE_ROWS => (Deleted, true, false),
        kind::WRITE_ROWS_COMPRESSED_1 => (Inserted, false, true),
        kind::UPDATE_ROWS_COMPRESSED_1 => (Updated, false, true),
        kind::DELETE_ROWS_COMPRESSED_1 => (Deleted, false, true),
        kind::WRITE_ROWS_COMPRESSED => (Inserted, true, true),
        kind::UPDATE_ROWS_COMPRESSED => (Updated, true, true),
        kind::DELETE_ROWS_COMPRESSED => (Deleted, true, true),
        _ => return None,
    };
    Some((Form { change, has_extra, is_partial: kind == kind::PARTIAL_UPDATE_ROWS }, is_compressed))
}

/// How a compressed transaction is, by the fields before it.
fn compression(body: &mut dyn Read) -> Option<u64> {
    let mut found = None;
    loop {
        match packed(body)? {
            END_OF_FIELDS => return found,
            field => {
                let length = packed(body).filter(|length| *length <= FIELD_MAX)?;
                let value = first(body, length)?;
                if field == COMPRESSION {
                    found = Fields(&value).packed();
                }
            }
        }
    }
}

/// A number whose first byte says how many follow.
fn packed(body: &mut dyn Read) -> Option<u64> {
    let mut bytes = first(body, 1)?;
    let more = match bytes.first()? {
        252 => 2,
        253 => 3,
        254 => 8,
        _ => 0,
    };
    bytes.extend(first(body, more)?);
    Fields(&bytes).packed()
}

fn first(body: &mut dyn Read, most: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    body.take(most).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// What MariaDB has compressed: how, how long it was, and then zlib. So much of it at most, and whether that is all.
fn inflated(packed: &[u8], most: u64) -> Option<(Vec<u8>, bool)> {
    let mut fields = Fields(packed);
    let how = fields.u8()?;
    if how & 0xf0 != 0x80 {
        return None;
    }
    fields.take((how & 0x07).into())?;
    let mut bytes = Vec::new();
    let is_all = match ZlibDecoder::new(fields.0).take(most).read_to_end(&mut bytes) {
        Ok(_) => (bytes.len() as u64) < most,
        // Of a long statement the beginning is there.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => false,
        Err(_) => return None,
    };
    Some((bytes, is_all))
}

fn statement(body: &[u8], head: usize, is_compressed: bool, each: &mut dyn FnMut(Did<'_>)) -> Option<()> {
    let schema = usize::from(*body.get(SCHEMA_LENGTH_AT)?);
    let variables = usize::from(Fields(body.get(VARIABLES_LENGTH_AT..)?).u16()?);
    let mut fields = Fields(body);
    fields.take(head + variables)?;
    let schema = String::from_utf8_lossy(fields.take(schema)?);
    // The schema's name ends with a zero.
    fields.take(1)?;
    let unpacked = if is_compressed { inflated(fields.0, STATEMENT_BYTES)?.0 } else { Vec::new() };
    let text = String::from_utf8_lossy(if is_compressed { &unpacked } else { fields.0 });
    if !PLAIN.iter().any(|plain| text.trim().eq_ignore_ascii_case(plain)) {
        each(Did::Statement { schema: &schema, text: &text });
    }
    Some(())
}

/// The beginning of a statement on one line, up to where a password or its digest may stand.
pub(crate) fn shown(text: &str) -> String {
    // Whatever comes after that is not shown, and need not be looked at.
    let beginning = text.get(..text.floor_char_boundary(SHOWN_MAX * 16)).unwrap_or_default();
    let line = beginning.split_whitespace().collect::<Vec<_>>().join(" ");
    without_secrets(&line).chars().filter(|c| !c.is_control()).take(SHOWN_MAX).collect()
}

#[cfg(test)]
#[path = "deeds_tests.rs"]
pub(crate) mod tests;
