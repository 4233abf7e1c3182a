//! Changed rows as INSERT, UPDATE and DELETE.

use std::io::{self, Write};

use mysql_async::binlog::events::{RowsEventData, TableMapEvent};
use mysql_async::binlog::row::BinlogRow;

use super::values::{literal, quoted};
use crate::sql::TableColumn;

/// A column of a row image: its name as SQL, and its value as SQL.
type Field = (String, String);

/// Writes one statement for each row. The inner error names what cannot be decoded; what came before it is written.
pub(super) fn write(
    out: &mut impl Write,
    event: &RowsEventData<'_>,
    table: &TableMapEvent<'_>,
    columns: &[TableColumn],
) -> io::Result<Result<(), String>> {
    // Names that belong to another shape of the table than the one written here would mislead.
    let columns = if columns.len() as u64 == table.columns_count() { columns } else { &[] };
    let name = format!("{}.{}", quoted(&table.database_name()), quoted(&table.table_name()));
    for row in event.rows(table) {
        let (before, after) = match row {
            Ok(row) => row,
            Err(error) => return Ok(Err(format!("rows of {name}: {error}"))),
        };
        let before = before.map(|row| fields(&row, columns)).unwrap_or_default();
        let after = after.map(|row| fields(&row, columns)).unwrap_or_default();
        writeln!(out, "{}", statement(&name, &before, &after))?;
    }
    Ok(Ok(()))
}

fn statement(table: &str, before: &[Field], after: &[Field]) -> String {
    let list =
        |fields: &[Field], pick: fn(&Field) -> &str| fields.iter().map(pick).collect::<Vec<_>>().join(", ");
    match (before.is_empty(), after.is_empty()) {
        (true, _) => {
            let (names, values) = (list(after, |f| &f.0), list(after, |f| &f.1));
            format!("INSERT INTO {table} ({names}) VALUES ({values});")
        }
        (false, true) => format!("DELETE FROM {table} WHERE {} LIMIT 1;", condition(before)),
        (false, false) => {
            let set: Vec<String> = after.iter().map(|(name, value)| format!("{name} = {value}")).collect();
            format!("UPDATE {table} SET {} WHERE {} LIMIT 1;", set.join(", "), condition(before))
        }
    }
}

fn condition(fields: &[Field]) -> String {
    let equal = |(name, value): &Field| match value.as_str() {
        "NULL" => format!("{name} IS NULL"),
        value => format!("{name} = {value}"),
    };
    fields.iter().map(equal).collect::<Vec<_>>().join(" AND ")
}

/// The image of a row may have some of the columns only.
fn fields(row: &BinlogRow, columns: &[TableColumn]) -> Vec<Field> {
    let field = |(at, column): (usize, &mysql_async::Column)| {
        let given = column.name_str();
        // Where the binlog has no names, the decoder numbers them from 0.
        let place: Option<usize> = given.strip_prefix('@').and_then(|n| n.parse().ok());
        let known = place.and_then(|place| columns.get(place));
        let name = match (known, place) {
            (Some(known), _) => quoted(&known.name),
            (None, Some(place)) => format!("@{}", place + 1),
            (None, None) => quoted(&given),
        };
        let value = literal(row.as_ref(at), column.column_type(), known.is_some_and(|c| c.unsigned));
        (name, value)
    };
    row.columns_ref().iter().enumerate().map(field).collect()
}
