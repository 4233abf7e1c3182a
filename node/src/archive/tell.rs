//! What transactions of a segment did, in short: for people who look for the one that did the harm.

use std::collections::BTreeMap;
use std::io::Read;

use super::deeds::{Deeds, Did};
use super::part::{Seen, Step, walk};
use super::rows::Change;
use crate::gtid::GtidSet;

/// Of a statement so much is kept: nobody looks at more.
const STATEMENT_MAX: usize = 4 << 10;

/// A transaction, and what it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Which.
    pub seen: Seen,
    /// Statements that are logged as such: those that change tables themselves, and accounts.
    pub statements: Vec<Statement>,
    /// Rows by `schema.table`.
    pub rows: BTreeMap<String, Rows>,
}

/// A statement as its server logged it. It may have a password in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// In which schema it ran; empty where that does not matter.
    pub schema: String,
    /// Its beginning.
    pub text: String,
}

/// How many rows of a table were changed, as far as they can be counted.
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
    let (mut all, mut now) = (Vec::new(), None::<(Told, Deeds)>);
    walk(content, after, |event, step| {
        match step {
            Step::File => return Ok(()),
            Step::Begins(begun) => {
                let seen = Seen::of(&begun);
                let is_wanted = wanted.contains(&seen.numbers).map_err(|e| e.to_string())?;
                let told = Told { seen, statements: Vec::new(), rows: BTreeMap::new() };
                now = is_wanted.then(|| (told, Deeds::default()));
                return Ok(());
            }
            Step::Within | Step::Ends => {}
        }
        if let Some((told, deeds)) = &mut now {
            deeds.take(event.header().event_type_raw(), &mut event.data(), &mut |did| told.add(did));
        }
        if matches!(step, Step::Ends) {
            all.extend(now.take().map(|(told, _)| told));
        }
        Ok(())
    })?;
    Ok(all)
}

impl Told {
    fn add(&mut self, did: Did<'_>) {
        match did {
            Did::Statement { schema, text } => {
                let text = text.get(..text.floor_char_boundary(STATEMENT_MAX)).unwrap_or_default();
                self.statements.push(Statement { schema: schema.to_owned(), text: text.to_owned() });
            }
            Did::Rows { schema, table, change, count } => {
                let of = self.rows.entry(format!("{schema}.{table}")).or_default();
                *match change {
                    Change::Inserted => &mut of.inserted,
                    Change::Updated => &mut of.updated,
                    Change::Deleted => &mut of.deleted,
                } += count.unwrap_or_default();
            }
            Did::Unknown(_) => {}
        }
    }
}
