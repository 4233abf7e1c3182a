//! Where exactly replaying stops: the segments around the moment are read, and everything before it is taken.

use super::course::{Course, Item, Line};
use super::until::Until;
use crate::archive::coverage::Piece;
use crate::archive::part::Seen;
use crate::gtid::{DialectMismatch, GtidSet, MariadbSet};

/// What is replayed, and how it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stop {
    pub(super) items: Vec<Item>,
    /// What there is in the end, as numbers.
    pub(super) goal: GtidSet,
    /// The last transaction that is replayed.
    pub(super) last: Option<Seen>,
    /// The first one that is not, where one is archived.
    pub(super) first_not: Option<Seen>,
    /// Of those that follow, so many at least have an earlier time than the moment, by their writer's clock.
    pub(super) early_after: u64,
    /// Nothing that is archived is later: whether more was committed by then, nobody knows.
    pub(super) is_open: bool,
}

/// Reads the transactions of a piece, by its number.
pub(super) trait Read {
    async fn transactions(&self, piece: usize) -> Result<Vec<Seen>, String>;
}

/// Finds it.
///
/// # Errors
/// A segment cannot be read, in words.
pub(super) async fn stop(
    pieces: &[Piece],
    course: &Course,
    base: &GtidSet,
    until: &Until,
    read: &impl Read,
) -> Result<Stop, String> {
    let mixed = |e: DialectMismatch| e.to_string();
    let mut seen = Vec::new();
    // Of the item `at`, the first `keep` of `seen` are replayed, and nothing after it.
    let (mut at, mut keep) = (course.items.len(), 0);
    match until {
        Until::Latest => {}
        Until::To(set) => {
            let set = set.numbers();
            let has = |numbers: &GtidSet| numbers.intersect(&set).map(|both| !both.is_empty());
            let found = last_with(&course.items, |item| has(&item.take)).map_err(mixed)?;
            at = found.unwrap_or_default();
            if found.is_some() {
                seen = taken(course, at, read).await?;
                let last = last_with(&seen, |seen| has(&seen.numbers)).map_err(mixed)?;
                keep = last.map_or(0, |last| last + 1);
            }
        }
        Until::Before(gtid) => {
            let gtid = gtid.numbers();
            for (number, item) in course.items.iter().enumerate() {
                if !item.take.intersect(&gtid).map_err(mixed)?.is_empty() {
                    at = number;
                    seen = taken(course, at, read).await?;
                    let is_it =
                        |seen: &Seen| seen.numbers.intersect(&gtid).is_ok_and(|both| !both.is_empty());
                    keep = seen.iter().position(is_it).unwrap_or_default();
                    break;
                }
            }
        }
        Until::Time(us) => {
            for (number, item) in course.items.iter().enumerate() {
                let last_ms = pieces.get(item.piece).map_or(0, |piece| piece.span.last_ms);
                if micros(last_ms.saturating_mul(1000).saturating_add(999)) <= *us {
                    continue;
                }
                let all = taken(course, number, read).await?;
                if let Some(first) = all.iter().position(|seen| micros(seen.at_us) > *us) {
                    (at, keep, seen) = (number, first, all);
                    break;
                }
            }
        }
    }
    let mut items: Vec<Item> = course.items.iter().take(at).cloned().collect();
    let mut last = None;
    if let (Some(item), Some(kept)) = (course.items.get(at), seen.get(..keep).filter(|kept| !kept.is_empty()))
    {
        let mut take = GtidSet::empty(base.dialect());
        for transaction in kept {
            take = take.union(&transaction.numbers).map_err(mixed)?;
        }
        items.push(Item { piece: item.piece, take });
        last = kept.last().cloned();
    }
    if let (None, Some(end)) = (&last, items.len().checked_sub(1)) {
        last = taken(course, end, read).await?.pop();
    }
    let mut first_not = seen.get(keep).cloned();
    // All of that segment is taken: the first one that is not is in the next.
    if first_not.is_none() && at < course.items.len() {
        let next = if seen.is_empty() { at } else { at + 1 };
        if next < course.items.len() {
            first_not = taken(course, next, read).await?.into_iter().next();
        }
    }
    let rest = seen.get(keep..).unwrap_or_default();
    let early_after = match until {
        Until::Time(us) => {
            let is_early = |item: &&Item| {
                pieces.get(item.piece).is_some_and(|p| micros(p.span.first_ms.saturating_mul(1000)) <= *us)
            };
            let here = rest.iter().filter(|seen| micros(seen.at_us) <= *us).count();
            (here + course.items.iter().skip(at + 1).filter(is_early).count()) as u64
        }
        _ => 0,
    };
    let mut goal = base.numbers();
    for item in &items {
        goal = goal.union(&item.take).map_err(mixed)?;
    }
    let is_open = matches!(until, Until::Time(_)) && first_not.is_none();
    Ok(Stop { items, goal, last, first_not, early_after, is_open })
}

/// Where a server stands that has all of it, as a server says it: MySQL's set, or MariaDB's position.
pub(super) fn position(
    base: &GtidSet,
    line: &Line,
    stop: &Stop,
    pieces: &[Piece],
) -> Result<String, DialectMismatch> {
    let GtidSet::Mariadb(base) = base else { return Ok(stop.goal.to_string()) };
    let mut end = base.clone();
    for Item { piece, take } in &stop.items {
        let (Some(piece), GtidSet::Mariadb(take)) = (pieces.get(*piece), take) else { continue };
        let GtidSet::Mariadb(added) = &piece.span.added else { continue };
        // Of a segment that ends with what is taken the last server ids are known.
        for gtid in added.last_gtids() {
            if take.last_gtids().any(|last| (last.domain, last.sequence) == (gtid.domain, gtid.sequence)) {
                end.advance(gtid);
            }
        }
    }
    if let Some(last) = stop.last.as_ref().and_then(|last| MariadbSet::parse_position(&last.gtid).ok()) {
        end = end.union(&last);
    }
    let has_all = GtidSet::Mariadb(end.numbers()) == stop.goal;
    let end = if has_all { GtidSet::Mariadb(end) } else { stop.goal.named_by(&line.has)? };
    Ok(match end {
        GtidSet::Mariadb(end) => end.position(),
        GtidSet::Mysql(end) => end.to_string(),
    })
}

/// Those of an item that are taken, in order.
pub(super) async fn taken(course: &Course, at: usize, read: &impl Read) -> Result<Vec<Seen>, String> {
    let Some(item) = course.items.get(at) else { return Ok(Vec::new()) };
    let mut seen = read.transactions(item.piece).await?;
    seen.retain(|seen| item.take.contains(&seen.numbers).unwrap_or_default());
    Ok(seen)
}

fn last_with<T>(
    list: &[T],
    holds: impl Fn(&T) -> Result<bool, DialectMismatch>,
) -> Result<Option<usize>, DialectMismatch> {
    for (number, one) in list.iter().enumerate().rev() {
        if holds(one)? {
            return Ok(Some(number));
        }
    }
    Ok(None)
}

fn micros(us: u64) -> i64 {
    i64::try_from(us).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[path = "stop_tests.rs"]
mod tests;
