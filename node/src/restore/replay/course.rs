//! Which segments an archive's line of history is made of, in the order in which they are replayed. Pure.
//!
//! What matters is which transactions follow one another, not which files: segments overlap, were read from different servers and
//! came in any order. On MySQL a GTID says which transaction is meant, whatever the segment. On MariaDB two may have the same
//! number, one of which the cluster went on without: wherever a segment of a later epoch has a number, that one counts.

use std::cmp::Reverse;

use crate::archive::coverage::Piece;
use crate::archive::entry::Timeline;
use crate::gtid::{Dialect, DialectMismatch, GtidSet, MysqlSet};

/// A part of a segment that is replayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    /// Which of the pieces.
    pub(super) piece: usize,
    /// What of it, as [`GtidSet::numbers`].
    pub(super) take: GtidSet,
}

/// What follows a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Course {
    /// In the order in which they are replayed; no transaction is in two of them.
    pub(super) items: Vec<Item>,
    /// What there is after the last of them, as [`GtidSet::numbers`].
    pub(super) reaches: GtidSet,
    /// What the line has and cannot be got to, because some of it is archived nowhere.
    pub(super) beyond: GtidSet,
    /// What of that is archived nowhere: the holes.
    pub(super) missing: GtidSet,
}

/// A history as an archive knows it, up to the newest of its epochs.
#[derive(Debug, Clone)]
pub(super) struct Line {
    /// The last of its epochs.
    pub(super) newest: Timeline,
    /// What its servers had, archived or not.
    pub(super) has: GtidSet,
    /// What is archived of this history, on the line or beside it.
    pub(super) archived: GtidSet,
}

impl Line {
    /// The history between two resets that `reset` names; `None` where nothing of it is archived.
    pub(super) fn of(pieces: &[Piece], reset: u32) -> Result<Option<Self>, DialectMismatch> {
        let on = || pieces.iter().filter(|piece| piece.timeline.reset == reset);
        let Some(newest) = on().map(|piece| piece.timeline).max() else { return Ok(None) };
        let Some(dialect) = on().map(|piece| piece.span.after.dialect()).next() else { return Ok(None) };
        let (mut has, mut archived) = (GtidSet::empty(dialect), GtidSet::empty(dialect));
        for Piece { span, timeline, .. } in on() {
            archived = archived.union(&span.added)?;
            if *timeline == newest {
                has = has.union(&span.after)?.union(&span.added)?;
            }
        }
        Ok(Some(Self { newest, has, archived }))
    }

    /// What is archived, and the cluster went on without.
    pub(super) fn beside(&self) -> Result<GtidSet, DialectMismatch> {
        self.archived.subtract(&self.has)
    }
}

/// A piece on the line.
struct Candidate {
    piece: usize,
    timeline: Timeline,
    /// Those on the line that its server had before.
    after: GtidSet,
    after_count: u64,
    first_ms: u64,
    /// Those on the line that it has.
    added: GtidSet,
}

/// What follows `base` on the line.
///
/// # Errors
/// Sets of both families: two clusters were mixed up.
pub(super) fn course(pieces: &[Piece], line: &Line, base: &GtidSet) -> Result<Course, DialectMismatch> {
    let mut rest = candidates(pieces, line)?;
    let (mut known, mut items) = (base.numbers(), Vec::new());
    while let Some((at, take)) = next(&mut rest, pieces, &known)? {
        known = known.union(&take)?;
        let piece = rest.get(at).map_or(0, |candidate| candidate.piece);
        items.push(Item { piece, take });
    }
    let beyond = line.has.numbers().subtract(&known)?;
    let mut missing = beyond.clone();
    for candidate in &rest {
        let added = until_a_later_epoch(&rest, pieces, candidate, candidate.added.clone(), &known)?;
        missing = missing.subtract(&added)?;
    }
    Ok(Course { items, reaches: known, beyond, missing })
}

fn candidates(pieces: &[Piece], line: &Line) -> Result<Vec<Candidate>, DialectMismatch> {
    let mut found = Vec::new();
    for (number, piece) in pieces.iter().enumerate() {
        if piece.timeline.reset != line.newest.reset {
            continue;
        }
        let added = piece.span.added.intersect(&line.has)?.numbers();
        if added.is_empty() {
            continue;
        }
        // A server that had what the cluster went on without was not told of it here.
        let after = piece.span.after.intersect(&line.has)?.numbers();
        let (after_count, first_ms) = (after.count(), piece.span.first_ms);
        let timeline = piece.timeline;
        found.push(Candidate { piece: number, timeline, after, after_count, first_ms, added });
    }
    // Its beginning is taken off again and again: it is kept at the end.
    found.sort_by_key(|candidate| Reverse((candidate.after_count, candidate.first_ms)));
    Ok(found)
}

/// The next piece and what is taken of it. What adds nothing any more is dropped.
fn next(
    rest: &mut Vec<Candidate>,
    pieces: &[Piece],
    known: &GtidSet,
) -> Result<Option<(usize, GtidSet)>, DialectMismatch> {
    while let Some(last) = rest.last()
        && known.contains(&last.added)?
    {
        rest.pop();
    }
    let mut best: Option<(usize, Timeline, GtidSet)> = None;
    let known_count = known.count();
    for (at, candidate) in rest.iter().enumerate().rev() {
        // Behind it all the others had more before, too.
        if candidate.after_count > known_count {
            break;
        }
        let is_better = best.as_ref().is_none_or(|(_, timeline, _)| candidate.timeline > *timeline);
        if is_better && known.contains(&candidate.after)? {
            let take = candidate.added.subtract(known)?;
            let take = until_a_later_epoch(rest, pieces, candidate, take, known)?;
            if !take.is_empty() {
                best = Some((at, candidate.timeline, take));
            }
        }
    }
    match best {
        Some((at, _, take)) => Ok(Some((at, take))),
        None => out_of_turn(rest, known),
    }
}

/// MariaDB: where a segment of a later epoch begins, it goes on with that one; and what its server did not have before it, by
/// the server ids, the cluster went on without.
fn until_a_later_epoch(
    rest: &[Candidate],
    pieces: &[Piece],
    candidate: &Candidate,
    take: GtidSet,
    known: &GtidSet,
) -> Result<GtidSet, DialectMismatch> {
    if take.dialect() == Dialect::Mysql {
        return Ok(take);
    }
    for later in rest.iter().rev().filter(|later| later.timeline > candidate.timeline) {
        if !known.contains(&later.after)?
            && let (Some(own), Some(later)) = (pieces.get(candidate.piece), pieces.get(later.piece))
        {
            return take.intersect(&own.span.added.intersect(&later.span.after)?.numbers());
        }
    }
    Ok(take)
}

/// MySQL: a server that was told what is archived already has sent what lay before that, and says that it had both. What only
/// lacks later numbers of the same servers has its turn.
fn out_of_turn(rest: &[Candidate], known: &GtidSet) -> Result<Option<(usize, GtidSet)>, DialectMismatch> {
    for (at, candidate) in rest.iter().enumerate().rev() {
        let take = candidate.added.subtract(known)?;
        let lacks = candidate.after.subtract(known)?;
        if let (GtidSet::Mysql(taken), GtidSet::Mysql(lacks)) = (&take, &lacks)
            && !taken.is_empty()
            && is_behind(lacks, taken)
        {
            return Ok(Some((at, take)));
        }
    }
    Ok(None)
}

/// Whether everything of `later` has a higher number than what `earlier` has of the same server.
fn is_behind(later: &MysqlSet, earlier: &MysqlSet) -> bool {
    later.iter().all(|(tsid, numbers)| {
        let last = earlier.iter().filter(|(of, _)| *of == tsid).map(|(_, numbers)| *numbers.end()).max();
        last.is_some_and(|last| *numbers.start() > last)
    })
}

#[cfg(test)]
#[path = "course_tests.rs"]
pub(super) mod tests;
