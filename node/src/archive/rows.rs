//! How many rows an event changes: images of rows are passed over by the types of their columns, and no value is decoded. Where
//! anything does not fit there is no number, and never a wrong one.

use super::fields::Fields;

/// No server takes a table with more.
const COLUMNS_MAX: usize = 4096;

/// A table as the events of a transaction refer to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) schema: String,
    pub(super) name: String,
    /// `None` where a column has a type that is not known here.
    columns: Option<Vec<Column>>,
}

/// How long a column's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Bytes(usize),
    /// As long as a number of so many bytes before it says.
    Prefixed(usize),
    /// The same, and a change inside of it can stand in its place.
    Json(usize),
}

/// What an event with rows is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) change: Change,
    /// It has room for more in its head.
    pub(super) has_extra: bool,
    /// Values of JSON may be changes inside of them.
    pub(super) is_partial: bool,
}

/// What happened to rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Change {
    Inserted,
    Updated,
    Deleted,
}

impl Table {
    /// That of a TABLE_MAP event, with the id that others name it by.
    pub(super) fn read(body: &[u8]) -> Option<(u64, Self)> {
        let mut fields = Fields(body);
        let (id, _flags) = (fields.le(6)?, fields.u16()?);
        let mut name = || {
            let length = fields.length()?;
            let text = String::from_utf8_lossy(fields.take(length)?).into_owned();
            // It ends with a zero.
            fields.take(1).map(|_| text)
        };
        let (schema, name) = (name()?, name()?);
        Some((id, Self { schema, name, columns: columns(&mut fields) }))
    }
}

fn columns(fields: &mut Fields<'_>) -> Option<Vec<Column>> {
    let count = fields.length().filter(|count| *count <= COLUMNS_MAX)?;
    let types = fields.take(count)?;
    let length = fields.length()?;
    let mut meta = Fields(fields.take(length)?);
    types.iter().map(|kind| column(*kind, &mut meta)).collect()
}

/// By the numbers of the protocol, and MariaDB's own two (140, 141) for columns that are compressed.
fn column(kind: u8, meta: &mut Fields<'_>) -> Option<Column> {
    Some(match kind {
        // NULL
        6 => Column::Bytes(0),
        // TINY, YEAR
        1 | 13 => Column::Bytes(1),
        // SHORT
        2 => Column::Bytes(2),
        // INT24, DATE, TIME, NEWDATE
        9..=11 | 14 => Column::Bytes(3),
        // LONG, TIMESTAMP
        3 | 7 => Column::Bytes(4),
        // LONGLONG, DATETIME
        8 | 12 => Column::Bytes(8),
        // FLOAT, DOUBLE
        4 | 5 => Column::Bytes(meta.u8()?.into()),
        // VARCHAR, VAR_STRING, and VARCHAR that is compressed
        15 | 253 | 141 => prefixed(meta.u16()?.into()),
        // BIT: bits beside whole bytes
        16 => {
            let (bits, bytes) = (meta.u8()?, meta.u8()?);
            Column::Bytes(usize::from(bytes) + usize::from(bits > 0))
        }
        // TIMESTAMP2, DATETIME2, TIME2, with so many digits of a second
        17 => Column::Bytes(4 + digits(meta)?),
        18 => Column::Bytes(5 + digits(meta)?),
        19 => Column::Bytes(3 + digits(meta)?),
        // BLOBs, GEOMETRY, VECTOR, and BLOB that is compressed
        249..=252 | 255 | 242 | 140 => Column::Prefixed(prefix(meta)?),
        // JSON
        245 => Column::Json(prefix(meta)?),
        // NEWDECIMAL
        246 => decimal(meta.u8()?.into(), meta.u8()?.into())?,
        // ENUM, SET: their own type, and bytes
        247 | 248 => Column::Bytes(usize::from(meta.u8()? > 0) * usize::from(meta.u8()?)),
        // STRING, which stands for ENUM and SET, too
        254 => string(meta.u8()?, meta.u8()?),
        _ => return None,
    })
}

fn prefixed(longest: usize) -> Column {
    Column::Prefixed(if longest > 255 { 2 } else { 1 })
}

fn prefix(meta: &mut Fields<'_>) -> Option<usize> {
    Some(usize::from(meta.u8()?)).filter(|bytes| (1..=4).contains(bytes))
}

fn digits(meta: &mut Fields<'_>) -> Option<usize> {
    Some(usize::from(meta.u8()?).div_ceil(2)).filter(|bytes| *bytes <= 3)
}

/// Two bits of the length of a long one are in its type, the other way round.
fn string(kind: u8, length: u8) -> Column {
    let (real, longest) = if kind & 0x30 == 0x30 {
        (kind, usize::from(length))
    } else {
        (kind | 0x30, usize::from(length) | (usize::from((kind & 0x30) ^ 0x30) << 4))
    };
    if [247, 248].contains(&real) { Column::Bytes(longest) } else { prefixed(longest) }
}

/// Nine digits are four bytes, and fewer are as few as they need.
fn decimal(precision: usize, scale: usize) -> Option<Column> {
    const FEWER: [usize; 10] = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];
    let bytes = |digits: usize| FEWER.get(digits % 9).map(|rest| digits / 9 * 4 + rest);
    Some(Column::Bytes(bytes(precision.checked_sub(scale)?)? + bytes(scale)?))
}

/// Which table an event with rows is about, by its id.
pub(super) fn table_id(body: &[u8]) -> Option<u64> {
    Fields(body).le(6)
}

/// Where the rows begin in an event's body.
pub(super) fn rows_at(form: Form, body: &[u8]) -> Option<usize> {
    head(form, &mut Fields(body)).map(|head| head.bytes)
}

/// How many rows it changes; `None` where that cannot be told.
pub(super) fn count(form: Form, body: &[u8], table: &Table) -> Option<u64> {
    let columns = table.columns.as_ref()?;
    let mut fields = Fields(body);
    let head = head(form, &mut fields)?;
    if head.width != columns.len() {
        return None;
    }
    let mut count = 0;
    while !fields.0.is_empty() {
        let before = fields.0.len();
        image(&mut fields, columns, head.present)?;
        if let Some(after) = head.present_after {
            if form.is_partial {
                // Which of the JSON values are changes does not matter: a change has a length before it, too.
                let options = fields.packed()?;
                let json = columns.iter().filter(|column| matches!(column, Column::Json(_))).count();
                fields.take(if options & 1 == 0 { 0 } else { json.div_ceil(8) })?;
            }
            image(&mut fields, columns, after)?;
        }
        // A row without a column has nothing by which it could be counted.
        if fields.0.len() == before {
            return None;
        }
        count += 1;
    }
    Some(count)
}

struct RowsHead<'b> {
    width: usize,
    /// Which columns the images have, by bits.
    present: &'b [u8],
    present_after: Option<&'b [u8]>,
    bytes: usize,
}

fn head<'b>(form: Form, fields: &mut Fields<'b>) -> Option<RowsHead<'b>> {
    let all = fields.0.len();
    let (_id, _flags) = (fields.le(6)?, fields.u16()?);
    if form.has_extra {
        // It counts itself.
        let length = usize::from(fields.u16()?).checked_sub(2)?;
        fields.take(length)?;
    }
    let width = fields.length()?;
    let present = fields.take(width.div_ceil(8))?;
    let present_after = match form.change {
        Change::Updated => Some(fields.take(width.div_ceil(8))?),
        Change::Inserted | Change::Deleted => None,
    };
    Some(RowsHead { width, present, present_after, bytes: all - fields.0.len() })
}

fn image(fields: &mut Fields<'_>, columns: &[Column], present: &[u8]) -> Option<()> {
    let is_set = |bits: &[u8], at: usize| bits.get(at / 8).is_some_and(|byte| byte & (1 << (at % 8)) != 0);
    let there =
        || columns.iter().enumerate().filter(|(at, _)| is_set(present, *at)).map(|(_, column)| column);
    let nulls = fields.take(there().count().div_ceil(8))?;
    for (_, column) in there().enumerate().filter(|(at, _)| !is_set(nulls, *at)) {
        match *column {
            Column::Bytes(bytes) => fields.take(bytes)?,
            Column::Prefixed(bytes) | Column::Json(bytes) => {
                let length = usize::try_from(fields.le(bytes)?).ok()?;
                fields.take(length)?
            }
        };
    }
    Some(())
}

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;
