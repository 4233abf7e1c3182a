//! Transactions around the moment, for whoever looks for the one that did the harm.

use serde::Serialize;

use super::course::Course;
use super::show::Moment;
use super::stop::{Read, Stop, taken};
use crate::archive::deeds::shown;
use crate::archive::part::Seen;
use crate::archive::tell::{Rows, Statement, Told};
use crate::gtid::{DialectMismatch, GtidSet};
use crate::paper::wrapped;
use crate::restore::find::said;

/// On each side of the moment.
const NEAR: usize = 10;
/// Of the tables and the statements of a transaction so many are named.
const NAMED_MAX: usize = 4;

/// A transaction near the moment, for people and for machines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(in crate::restore) struct Near {
    #[serde(flatten)]
    pub(in crate::restore) moment: Moment,
    /// Whether it is replayed.
    pub(in crate::restore) is_replayed: bool,
    /// Statements that are logged as such.
    pub(in crate::restore) statements: Vec<String>,
    /// Tables with the rows that were changed, in words.
    pub(in crate::restore) tables: Vec<String>,
    /// It changes or removes tables themselves.
    pub(in crate::restore) stands_out: bool,
}

/// Those around the moment: the piece of each, and whether it is replayed.
pub(super) async fn around(
    course: &Course,
    stop: &Stop,
    read: &impl Read,
) -> Result<Vec<(usize, Seen, bool)>, String> {
    let is_in = |numbers: &GtidSet| stop.goal.contains(numbers).unwrap_or_default();
    let (mut before, mut after) = (Vec::new(), Vec::new());
    let first_out = course.items.iter().position(|item| !is_in(&item.take)).unwrap_or(course.items.len());
    for at in (0..=first_out).rev() {
        let Some(item) = course.items.get(at) else { continue };
        let seen = taken(course, at, read).await?;
        before.extend(
            seen.into_iter().rev().filter(|seen| is_in(&seen.numbers)).map(|seen| (item.piece, seen, true)),
        );
        if before.len() >= NEAR {
            break;
        }
    }
    for (at, item) in course.items.iter().enumerate().skip(first_out) {
        let seen = taken(course, at, read).await?;
        after.extend(
            seen.into_iter().filter(|seen| !is_in(&seen.numbers)).map(|seen| (item.piece, seen, false)),
        );
        if after.len() >= NEAR {
            break;
        }
    }
    before.truncate(NEAR);
    after.truncate(NEAR);
    Ok(before.into_iter().rev().chain(after).collect())
}

/// What is asked for of each piece: numbers.
pub(super) fn wanted(near: &[(usize, Seen, bool)], piece: usize) -> Result<Option<GtidSet>, DialectMismatch> {
    let mut all: Option<GtidSet> = None;
    for (_, seen, _) in near.iter().filter(|(of, _, _)| *of == piece) {
        all = Some(match all {
            Some(all) => all.union(&seen.numbers)?,
            None => seen.numbers.clone(),
        });
    }
    Ok(all)
}

impl Near {
    pub(super) fn of(told: Told, is_replayed: bool) -> Self {
        let stands_out = told.statements.iter().any(is_harm);
        let tables = told.rows.iter().map(|(table, rows)| format!("{table}: {}", words(*rows)));
        Self {
            moment: Moment::of(&told.seen),
            is_replayed,
            tables: tables.collect(),
            statements: told.statements.iter().map(text).collect(),
            stands_out,
        }
    }

    fn render(&self) -> String {
        let mark = if self.stands_out { '!' } else { ' ' };
        let mut page = format!("{mark} {}\n", self.moment.text());
        for (lines, what) in [(&self.statements, "statements"), (&self.tables, "tables")] {
            for line in lines.iter().take(NAMED_MAX) {
                page += &wrapped("      ", "        ", line);
            }
            let more = lines.len().saturating_sub(NAMED_MAX);
            if more > 0 {
                page += &format!("      and {more} more {what}\n");
            }
        }
        page
    }
}

/// The list, with the place where replaying ends.
pub(in crate::restore) fn render(near: &[Near]) -> String {
    let mut page = String::from("transactions around the moment\n\n");
    let mut has_ended = false;
    for near in near {
        if !near.is_replayed && !has_ended {
            page += "  ---- the restored server ends here ----\n";
            has_ended = true;
        }
        page += &near.render();
    }
    if !has_ended {
        page += "  ---- the restored server ends here; nothing later is archived ----\n";
    }
    page
}

fn is_harm(statement: &Statement) -> bool {
    said(&statement.schema, &statement.text).is_some_and(|said| said.is_harm())
}

/// Behind its schema.
fn text(Statement { schema, text }: &Statement) -> String {
    if schema.is_empty() { shown(text) } else { format!("{schema}: {}", shown(text)) }
}

fn words(rows: Rows) -> String {
    let counts = [(rows.inserted, "inserted"), (rows.updated, "updated"), (rows.deleted, "deleted")];
    let said = counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
    let said = said.collect::<Vec<_>>().join(", ");
    // They cannot be counted.
    if said.is_empty() { "rows".to_owned() } else { said }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(us: u64, is_replayed: bool, statement: Option<&str>) -> Near {
        let moment = Moment { gtid: format!("0-1-{us}"), committed_us: us };
        let statement = statement.map(|text| Statement { schema: "shop".into(), text: text.into() });
        let stands_out = statement.as_ref().is_some_and(is_harm);
        let statements: Vec<String> = statement.iter().map(text).collect();
        let rows = Rows { inserted: 3, updated: 0, deleted: 1 };
        let tables = if stands_out { Vec::new() } else { vec![format!("app.t: {}", words(rows))] };
        Near { moment, is_replayed, statements, tables, stands_out }
    }

    #[test]
    fn what_did_the_harm_stands_out() {
        let page = render(&[near(1, true, None), near(2, false, Some("/* nightly */\ndrop table t"))]);
        assert_eq!(
            page,
            "transactions around the moment\n\n  1970-01-01 00:00:00.000001 UTC, 0-1-1\n      app.t: 3 inserted, 1 deleted\n\
             \x20 ---- the restored server ends here ----\n! 1970-01-01 00:00:00.000002 UTC, 0-1-2\n      shop: /* nightly */ drop table t\n"
        );
        assert!(render(&[near(1, true, None)]).ends_with("nothing later is archived ----\n"));
    }
}
