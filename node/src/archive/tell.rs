//! What transactions of a segment did, in short: for people who look for the one that did the harm.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, Read};

use mysql_async::binlog::BinlogChecksumAlg;
use mysql_async::binlog::events::{
    BinlogEventFooter, Event, EventData, FormatDescriptionEvent, RowsEventData, TableMapEvent,
    TransactionPayloadEvent,
};

use super::part::{Seen, Step, walk};
use crate::gtid::GtidSet;
use crate::sql::binlog_event::kind;
use crate::sql::replaying::without_secrets;

/// Of a statement so many characters are told.
const STATEMENT_MAX: usize = 200;
/// Statements that stand for nothing themselves.
const PLAIN: [&str; 3] = ["BEGIN", "COMMIT", "ROLLBACK"];

/// A transaction, and what it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Which.
    pub seen: Seen,
    /// Statements that are logged as such: those that change tables themselves, and accounts.
    pub statements: Vec<String>,
    /// Rows by `schema.table`.
    pub rows: BTreeMap<String, Rows>,
}

/// How many rows of a table were changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rows {
    /// New ones.
    pub inserted: u64,
    /// Other values.
    pub updated: u64,
    /// Gone.
    pub deleted: u64,
}

/// Those of `wanted`, which are numbers, in order.
///
/// # Errors
/// The content cannot be read, in words. What cannot be understood in an event is left out.
pub fn told(content: impl Read, after: &GtidSet, wanted: &GtidSet) -> Result<Vec<Told>, String> {
    let (mut all, mut now) = (Vec::new(), None::<Telling>);
    let mut format = None;
    walk(content, after, |event, step| {
        match step {
            Step::File => format = Some(event.fde().clone().into_owned().with_footer(event.footer())),
            Step::Begins(begun) => {
                let seen = Seen::of(&begun);
                let is_wanted = wanted.contains(&seen.numbers).map_err(|e| e.to_string())?;
                now = is_wanted.then(|| Telling::new(seen));
            }
            Step::Within => {
                if let Some(now) = &mut now {
                    now.take(event, format.as_ref());
                }
            }
            Step::Ends => {
                if let Some(mut now) = now.take() {
                    now.take(event, format.as_ref());
                    all.push(now.told);
                }
            }
        }
        Ok(())
    })?;
    Ok(all)
}

/// A transaction as far as it has come.
struct Telling {
    told: Told,
    tables: HashMap<u64, TableMapEvent<'static>>,
}

impl Telling {
    fn new(seen: Seen) -> Self {
        let told = Told { seen, statements: Vec::new(), rows: BTreeMap::new() };
        Self { told, tables: HashMap::new() }
    }

    fn take(&mut self, event: &Event, format: Option<&FormatDescriptionEvent<'static>>) {
        if event.header().event_type_raw() == kind::PAYLOAD {
            drop(format.map(|format| self.unpack(event, format)));
            return;
        }
        match event.read_data() {
            Ok(Some(EventData::QueryEvent(query))) => self.statement(&query.schema(), &query.query()),
            Ok(Some(EventData::TableMapEvent(map))) => {
                self.tables.insert(map.table_id(), map.into_owned());
            }
            Ok(Some(EventData::RowsEvent(rows))) => self.rows(&rows),
            _ => {}
        }
    }

    /// A compressed transaction: its events carry no checksums.
    fn unpack(&mut self, event: &Event, format: &FormatDescriptionEvent<'static>) -> std::io::Result<()> {
        let payload: TransactionPayloadEvent<'_> = event.read_event()?;
        let plain = BinlogEventFooter::new(BinlogChecksumAlg::BINLOG_CHECKSUM_ALG_OFF);
        let format = format.clone().with_footer(plain);
        let mut input = BufReader::new(payload.decompressed()?);
        while !input.fill_buf()?.is_empty() {
            self.take(&Event::read(&format, &mut input)?, None);
        }
        Ok(())
    }

    fn statement(&mut self, schema: &str, text: &str) {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if PLAIN.iter().any(|plain| text.eq_ignore_ascii_case(plain)) {
            return;
        }
        let said: String =
            without_secrets(&text).chars().filter(|c| !c.is_control()).take(STATEMENT_MAX).collect();
        self.told.statements.push(if schema.is_empty() { said } else { format!("{schema}: {said}") });
    }

    fn rows(&mut self, rows: &RowsEventData<'_>) {
        let Some(table) = self.tables.get(&rows.table_id()) else { return };
        let name = format!("{}.{}", table.database_name(), table.table_name());
        let count = rows.rows(table).take_while(Result::is_ok).count() as u64;
        let of = self.told.rows.entry(name).or_default();
        match rows {
            RowsEventData::WriteRowsEventV1(_) | RowsEventData::WriteRowsEvent(_) => of.inserted += count,
            RowsEventData::DeleteRowsEventV1(_) | RowsEventData::DeleteRowsEvent(_) => of.deleted += count,
            _ => of.updated += count,
        }
    }
}
