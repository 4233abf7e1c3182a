//! One event after the other as SQL.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};

use jiff::Timestamp;
use mysql_async::binlog::events::{Event, EventData, IntvarEvent, TableMapEvent};
use mysql_async::binlog::{EventType, IntvarEventType};

use super::rows;
use super::values::quoted;
use crate::gtid::{Dialect, GtidSet};
use crate::quarantine::pick::{gtid_of, kind};
use crate::sql::TableColumn;

/// MariaDB's flag of a transaction that is one statement and has no COMMIT.
const STANDALONE: u8 = 1;
/// Where the flags stand in MariaDB's GTID event.
const FLAGS_AT: usize = 12;

/// Writes the SQL.
pub(super) struct Writer<'a, W> {
    out: W,
    columns: &'a BTreeMap<String, Vec<TableColumn>>,
    /// By the id that row events name.
    tables: HashMap<u64, TableMapEvent<'static>>,
    schema: String,
}

impl<'a, W: Write> Writer<'a, W> {
    pub(super) fn new(out: W, columns: &'a BTreeMap<String, Vec<TableColumn>>) -> Self {
        Self { out, columns, tables: HashMap::new(), schema: String::new() }
    }

    pub(super) fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }

    pub(super) fn head(&mut self, lines: &[String]) -> io::Result<()> {
        for line in lines {
            self.comment(line)?;
        }
        writeln!(self.out, "SET time_zone = '+00:00';")
    }

    pub(super) fn file(&mut self, name: &str) -> io::Result<()> {
        self.tables.clear();
        writeln!(self.out)?;
        self.comment(&format!("From {name}"))
    }

    /// What cannot be decoded is named in its place.
    pub(super) fn event(&mut self, event: &Event) -> io::Result<()> {
        if let Ok(Some(gtid)) = gtid_of(event) {
            return self.transaction(event, &gtid);
        }
        if event.header().event_type_raw() == kind::ANNOTATE {
            return self.statement_was(&String::from_utf8_lossy(event.data()));
        }
        match event.read_data() {
            Ok(Some(data)) => self.data(event, data),
            Ok(None) => self.unknown(event, "of a kind that is not shown here"),
            Err(error) => self.unknown(event, &error.to_string()),
        }
    }

    fn transaction(&mut self, event: &Event, gtid: &GtidSet) -> io::Result<()> {
        let header = event.header();
        let at = Timestamp::from_second(i64::from(header.timestamp())).unwrap_or_default();
        let (at, server) = (at.strftime("%Y-%m-%d %H:%M:%S UTC"), header.server_id());
        let name = gtid.to_string();
        // A set of one prints as a range there.
        let name = name.split("..").next().unwrap_or(&name);
        writeln!(self.out)?;
        self.comment(&format!("Transaction {name}, {at}, server id {server}"))?;
        let mariadb = gtid.dialect() == Dialect::Mariadb;
        let standalone = event.data().get(FLAGS_AT).is_some_and(|flags| flags & STANDALONE != 0);
        if mariadb && !standalone { writeln!(self.out, "BEGIN;") } else { Ok(()) }
    }

    fn data(&mut self, event: &Event, data: EventData<'_>) -> io::Result<()> {
        match data {
            EventData::QueryEvent(query) => {
                self.use_schema(&query.schema(), &query.query())?;
                writeln!(self.out, "{};", query.query())
            }
            EventData::XidEvent(_) => writeln!(self.out, "COMMIT;"),
            EventData::RowsQueryEvent(query) => self.statement_was(&query.query()),
            EventData::IntvarEvent(var) => self.intvar(&var),
            EventData::TableMapEvent(map) => {
                self.tables.insert(map.table_id(), map.into_owned());
                Ok(())
            }
            EventData::RowsEvent(rows) => match self.tables.get(&rows.table_id()) {
                Some(table) => {
                    let key = format!("{}.{}", table.database_name(), table.table_name());
                    let columns = self.columns.get(&key).map_or(&[][..], Vec::as_slice);
                    match rows::write(&mut self.out, &rows, table, columns)? {
                        Ok(()) => Ok(()),
                        Err(why) => self.unknown(event, &why),
                    }
                }
                None => self.unknown(event, "rows of a table that no event names"),
            },
            _ => self.unknown(event, "not shown here"),
        }
    }

    /// What a statement that is logged as such means depends on the schema it ran in.
    fn use_schema(&mut self, schema: &str, query: &str) -> io::Result<()> {
        let plain = ["BEGIN", "COMMIT", "ROLLBACK"].iter().any(|p| query.eq_ignore_ascii_case(p));
        if plain || schema.is_empty() || self.schema == schema {
            return Ok(());
        }
        schema.clone_into(&mut self.schema);
        writeln!(self.out, "USE {};", quoted(schema))
    }

    fn intvar(&mut self, var: &IntvarEvent) -> io::Result<()> {
        let name = match var.subtype() {
            IntvarEventType::LAST_INSERT_ID_EVENT => "LAST_INSERT_ID",
            IntvarEventType::INSERT_ID_EVENT => "INSERT_ID",
            IntvarEventType::INVALID_INT_EVENT => return Ok(()),
        };
        writeln!(self.out, "SET {name} = {};", var.value())
    }

    fn statement_was(&mut self, statement: &str) -> io::Result<()> {
        self.comment(&format!("The statement was: {statement}"))
    }

    fn unknown(&mut self, event: &Event, why: &str) -> io::Result<()> {
        let number = event.header().event_type_raw();
        let kind =
            EventType::try_from(number).map_or_else(|_| number.to_string(), |kind| format!("{kind:?}"));
        self.comment(&format!("An event of type {kind} is in the binlog file only: {why}"))
    }

    /// Whatever is in the text, it stays a comment.
    fn comment(&mut self, text: &str) -> io::Result<()> {
        for line in text.split(['\n', '\r']) {
            writeln!(self.out, "-- {line}")?;
        }
        Ok(())
    }
}
