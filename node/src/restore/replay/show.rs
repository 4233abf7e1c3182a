//! What is replayed, as an operator reads it. Pure.

use jiff::Timestamp;
use serde::Serialize;

use super::stop::Stop;
use super::until::Wanted;
use crate::archive::part::Seen;
use crate::gtid::{Dialect, GtidSet};
use crate::paper::{row, size, wrapped};

/// A transaction, for people and for machines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(in crate::restore) struct Moment {
    pub(in crate::restore) gtid: String,
    /// When it was committed on its writer, in microseconds since 1970; to the second on MariaDB.
    pub(in crate::restore) committed_us: u64,
}

impl Moment {
    pub(super) fn of(seen: &Seen) -> Self {
        Self { gtid: seen.gtid.clone(), committed_us: seen.at_us }
    }

    /// Microseconds since 1970 as a date and a time.
    pub(in crate::restore) fn time(us: u64) -> String {
        let at =
            i64::try_from(us).ok().and_then(|us| Timestamp::from_microsecond(us).ok()).unwrap_or_default();
        at.strftime("%Y-%m-%d %H:%M:%S%.6f UTC").to_string().replace(".000000", "")
    }

    pub(in crate::restore) fn text(&self) -> String {
        format!("{}, {}", Self::time(self.committed_us), self.gtid)
    }
}

/// What is replayed after the backup, for people and for machines.
#[derive(Debug, Clone, Serialize)]
pub(in crate::restore) struct Replay {
    /// What was asked for.
    pub(in crate::restore) until: String,
    /// Segments of which something is replayed.
    pub(in crate::restore) segments: u64,
    pub(in crate::restore) transactions: u64,
    /// Of these segments, unpacked.
    pub(in crate::restore) bytes: u64,
    pub(in crate::restore) stored_bytes: u64,
    /// Where the restored server stands in the end.
    pub(in crate::restore) gtids: String,
    /// The last transaction that will be there.
    pub(in crate::restore) last: Option<Moment>,
    /// The first one that will not, where one is archived.
    pub(in crate::restore) first_not: Option<Moment>,
    pub(in crate::restore) warnings: Vec<String>,
}

impl Replay {
    pub(super) fn new(wanted: &Wanted, dialect: Dialect) -> Self {
        let until = match wanted {
            Wanted::Latest => "everything that is archived".to_owned(),
            Wanted::ToGtid(set) => format!("up to and with {set}"),
            Wanted::BeforeGtid(gtid) => format!("up to, and without, {gtid}"),
            Wanted::ToTime(at) => {
                let us = u64::try_from(at.as_microsecond()).unwrap_or_default();
                format!("what was committed by {}", Moment::time(us))
            }
        };
        let warnings = match (wanted, dialect) {
            (Wanted::ToTime(_), Dialect::Mariadb) => {
                vec!["MariaDB notes when the last statement of a transaction began, to the second: what has that second is \
                      there".to_owned()]
            }
            _ => Vec::new(),
        };
        Self {
            until,
            segments: 0,
            transactions: 0,
            bytes: 0,
            stored_bytes: 0,
            gtids: String::new(),
            last: None,
            first_not: None,
            warnings,
        }
    }

    /// What is archived and not replayed, and what cannot be read.
    pub(super) fn warn_of(&mut self, beside: &GtidSet, unreadable: usize) {
        if !beside.is_empty() {
            self.warnings.push(format!(
                "{} are archived that the cluster went on without, and are not replayed: {beside}",
                beside.amount()
            ));
        }
        if unreadable > 0 {
            self.warnings.push(format!(
                "{unreadable} entries of the archive cannot be read: what they stand for counts as not archived"
            ));
        }
    }

    pub(super) fn warn(&mut self, stop: &Stop) {
        if stop.is_open {
            self.warnings.push(
                "nothing later is archived: whether more was committed by then is not known here".to_owned(),
            );
        }
        if stop.early_after > 0 {
            self.warnings.push(format!(
                "{} transactions come after the first one that is later, and have an earlier time by their writer's clock: \
                 they are not replayed",
                stop.early_after
            ));
        }
    }

    /// The last transaction that will be there.
    pub(in crate::restore) fn last_text(&self) -> String {
        self.last.as_ref().map_or("none after the backup".to_owned(), Moment::text)
    }

    pub(in crate::restore) fn render(&self, column: usize) -> String {
        let said = |label: &str, text: &str| row(column, label, text);
        let mut page = said("then", &self.until);
        let (bytes, stored) = (size(self.bytes), size(self.stored_bytes));
        page += &said(
            "replays",
            &format!(
                "{} transactions of {} segments, {bytes}, {stored} in the store",
                self.transactions, self.segments
            ),
        );
        page += &said("last", &self.last_text());
        page +=
            &said("first not", &self.first_not.as_ref().map_or("none is archived".to_owned(), Moment::text));
        page += &said("ends at", &self.gtids.replace(',', ", "));
        for warning in &self.warnings {
            page += &wrapped("! ", "  ", warning);
        }
        page
    }
}
