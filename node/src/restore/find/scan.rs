//! From the events of a segment to the transactions that are looked for.

use std::collections::BTreeMap;
use std::io::Read;

use serde::Serialize;

use super::wanted::Wanted;
use super::words::{Kind, Name, said};
use crate::archive::deeds::{Deeds, Did, shown};
use crate::archive::event::{Events, Gtid, begins, begun};
use crate::archive::rows::Change;

/// Of one transaction so many are told, and how many more there are.
const DEEDS_MAX: usize = 100;

/// What a transaction did, of what is looked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Deed {
    pub(super) kind: Kind,
    /// None where it is about something else than tables.
    pub(super) tables: Vec<String>,
    /// How many rows, where rows are logged and can be counted.
    pub(super) rows: Option<u64>,
    /// The beginning of the statement, where that is what is logged.
    pub(super) statement: Option<String>,
}

/// A transaction that did something of the kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hit {
    pub(super) gtid: Gtid,
    /// When it was committed on its writer, in microseconds since 1970; to the second on MariaDB.
    pub(super) at_us: u64,
    /// Never empty.
    pub(super) deeds: Vec<Deed>,
    /// So many beside these.
    pub(super) more: u64,
}

/// What a segment has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Scanned {
    /// In their order.
    pub(super) hits: Vec<Hit>,
    /// Events of which nobody knows what they did, by their types.
    pub(super) unknown: BTreeMap<u8, u64>,
    /// Why the rest could not be read.
    pub(super) broken: Option<String>,
}

/// Looks through a segment, up to `most` transactions of the kind.
pub(super) fn scan(content: impl Read, wanted: &Wanted, most: usize) -> Scanned {
    let (mut scanned, mut now) = (Scanned::default(), None);
    scanned.broken = follow(content, wanted, most, &mut scanned, &mut now).err();
    scanned.end(now);
    scanned
}

/// A transaction as far as it has come.
struct Doing {
    hit: Hit,
    deeds: Deeds,
}

fn follow(
    content: impl Read,
    wanted: &Wanted,
    most: usize,
    scanned: &mut Scanned,
    now: &mut Option<Doing>,
) -> Result<(), String> {
    let mut events = Events::of_file(content)?;
    // A segment holds whole transactions and nothing else: one ends where the next begins.
    while let Some(head) = events.next()? {
        if begins(head.kind) {
            scanned.end(now.take());
            if scanned.hits.len() >= most {
                return Ok(());
            }
            let (gtid, at_us) = begun(head, events.body())?;
            let hit = Hit { gtid, at_us, deeds: Vec::new(), more: 0 };
            *now = wanted.spans(at_us).then(|| Doing { hit, deeds: Deeds::default() });
        } else if let Some(Doing { hit, deeds }) = now
            && !head.is_ignorable
        {
            deeds.take(head.kind, &mut events.body(), &mut |did| match did {
                Did::Unknown(kind) => *scanned.unknown.entry(kind).or_default() += 1,
                did => hit.add(did, wanted),
            });
        }
    }
    Ok(())
}

impl Scanned {
    fn end(&mut self, doing: Option<Doing>) {
        self.hits.extend(doing.map(|doing| doing.hit).filter(|hit| !hit.deeds.is_empty()));
    }
}

impl Hit {
    fn add(&mut self, did: Did<'_>, wanted: &Wanted) {
        match did {
            Did::Statement { schema, text } => {
                let Some(said) = said(schema, text) else { return };
                if !wanted.is_any(&said.kinds) || !wanted.names_any(&said.kinds, &said.names) {
                    return;
                }
                let Some(kind) = said.kinds.first() else { return };
                // Of many names few are shown: those that were asked for first.
                let is_asked = |name: &&Name| wanted.names_any(&said.kinds, std::slice::from_ref(*name));
                let (asked, others): (Vec<&Name>, Vec<&Name>) = said.names.iter().partition(is_asked);
                let tables = asked.into_iter().chain(others).map(ToString::to_string).collect();
                self.push(Deed { kind: *kind, tables, rows: None, statement: Some(shown(text)) });
            }
            Did::Rows { schema, table, change, count } => {
                let kind = match change {
                    Change::Inserted => Kind::Insert,
                    Change::Updated => Kind::Update,
                    Change::Deleted => Kind::Delete,
                };
                let name = Name { schema: schema.to_owned(), table: table.to_owned() };
                if !wanted.is_any(&[kind]) || !wanted.names_any(&[kind], std::slice::from_ref(&name)) {
                    return;
                }
                let name = name.to_string();
                let is_it = |deed: &&mut Deed| {
                    deed.kind == kind && deed.statement.is_none() && deed.tables.first() == Some(&name)
                };
                match self.deeds.iter_mut().find(is_it) {
                    // One event whose rows nobody can count, and nobody knows how many there are.
                    Some(deed) => deed.rows = deed.rows.zip(count).map(|(rows, more)| rows + more),
                    None => self.push(Deed { kind, tables: vec![name], rows: count, statement: None }),
                }
            }
            Did::Unknown(_) => {}
        }
    }

    fn push(&mut self, deed: Deed) {
        if self.deeds.len() < DEEDS_MAX {
            self.deeds.push(deed);
        } else {
            self.more += 1;
        }
    }
}

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;
