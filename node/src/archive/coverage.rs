//! What the entries of an archive say together. Pure.

use serde::{Deserialize, Serialize};

use super::entry::{Entry, Span, Timeline};
use crate::gtid::{DialectMismatch, GtidSet};

/// A segment, as far as it matters here, or several that follow one another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// Its line of history.
    pub timeline: Timeline,
    /// The node that was read, where its server held the write role of that epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writer: Option<String>,
    /// Its place there.
    #[serde(flatten)]
    pub span: Span,
}

impl Piece {
    /// What matters of an entry.
    #[must_use]
    pub fn of(entry: &Entry) -> Self {
        let writer = Some(entry.server.node.clone()).filter(|_| entry.server.is_writer);
        Self { timeline: entry.timeline, writer, span: entry.span.clone() }
    }
}

/// What an archive holds of the newest history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage {
    /// What went before everything that is archived: a backup has to have it.
    pub base: GtidSet,
    /// Every transaction that is archived, of whatever line.
    pub archived: GtidSet,
    /// The newest line, as far as the archive knows it: what its servers had, archived or not.
    pub line: GtidSet,
    /// What the line has and the archive lacks. Nothing can be restored across that.
    pub holes: GtidSet,
    /// What is archived and not on the line: a server had it, and the cluster went on without.
    pub side: GtidSet,
    /// Where it can be restored to, one entry for each stretch between holes, oldest first.
    pub windows: Vec<Window>,
}

impl Coverage {
    /// What of these holes, which were found earlier, is missing yet: nobody has brought it since, and what went before it
    /// has not been removed.
    ///
    /// # Errors
    /// They are another family's.
    pub fn still_lacks(&self, holes: &GtidSet) -> Result<GtidSet, DialectMismatch> {
        holes.subtract(&self.archived)?.subtract(&self.base)
    }
}

/// A stretch of history without a hole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// What a backup has to have at least for it.
    pub from: GtidSet,
    /// What there is at its end.
    pub to: GtidSet,
    /// When its first transaction was committed, in milliseconds since 1970.
    pub first_ms: u64,
    /// When its last one was.
    pub last_ms: u64,
}

/// So many stretches of an archive are told, the newest.
const TOLD: usize = 20;
/// So many characters of their sets, the newest first: nodes report them several times a second.
const SETS_MAX: usize = 16 << 10;

/// A stretch without a hole, in milliseconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stretch {
    /// When its first transaction was committed.
    pub first_ms: u64,
    /// When its last one was, as far as is known.
    pub last_ms: u64,
    /// What a backup has to have at least for it, and what there is at its end; `None` where that is too long to be told.
    #[serde(default)]
    pub sets: Option<(GtidSet, GtidSet)>,
}

impl Stretch {
    /// One that has nothing yet but what went before it.
    pub fn begins(from: &GtidSet, now_ms: u64) -> Self {
        let sets = within(from, from, SETS_MAX).map(|_| (from.clone(), from.clone()));
        Self { first_ms: now_ms, last_ms: now_ms, sets }
    }

    /// A segment goes on with it.
    ///
    /// # Errors
    /// It is another family's.
    pub fn goes_on(&mut self, span: &Span) -> Result<(), DialectMismatch> {
        if let Some((from, to)) = &mut self.sets {
            // What was committed before anybody archived is its beginning, too. What fills an earlier hole is not.
            if *from == span.after {
                self.first_ms = self.first_ms.min(span.first_ms);
            }
            *to = to.union(&span.added)?;
        }
        self.last_ms = self.last_ms.max(span.last_ms);
        Ok(())
    }
}

/// What is left of that room once both sets are told; `None` where they do not fit.
fn within(from: &GtidSet, to: &GtidSet, room: usize) -> Option<usize> {
    room.checked_sub(from.to_string().len() + to.to_string().len())
}

impl Coverage {
    /// The newest stretches, the oldest of them first.
    pub fn stretches(&self) -> Vec<Stretch> {
        let mut room = SETS_MAX;
        let told = self.windows.iter().rev().take(TOLD).map(|Window { from, to, first_ms, last_ms }| {
            let left = within(from, to, room);
            room = left.unwrap_or_default();
            let sets = left.map(|_| (from.clone(), to.clone()));
            Stretch { first_ms: *first_ms, last_ms: *last_ms, sets }
        });
        let mut told: Vec<_> = told.collect();
        told.reverse();
        told
    }
}

/// Since when there is the history that `line` belongs to, in milliseconds since 1970; `None` where no other was archived
/// before it.
pub fn begun_anew(pieces: &[Piece], line: Timeline, now_ms: u64) -> Option<u64> {
    let is_another = pieces.iter().any(|piece| piece.timeline.reset < line.reset);
    let on = pieces.iter().filter(|piece| piece.timeline.goes_on_as(line));
    let first = on.map(|piece| piece.span.first_ms).min();
    is_another.then(|| first.unwrap_or(now_ms))
}

/// What the pieces cover of the newest line; `None` when there is none. They may come in any order and overlap.
///
/// # Errors
/// Pieces of both families: two clusters were mixed up.
pub fn coverage(pieces: &[Piece]) -> Result<Option<Coverage>, DialectMismatch> {
    let Some(newest) = pieces.iter().map(|piece| piece.timeline).max() else { return Ok(None) };
    let mut on: Vec<&Piece> = pieces.iter().filter(|piece| piece.timeline.goes_on_as(newest)).collect();
    on.sort_by_key(|piece| (piece.span.after.count(), piece.span.first_ms));
    let Some(oldest) = on.first() else { return Ok(None) };
    let base = oldest.span.after.clone();
    let empty = GtidSet::empty(base.dialect());
    let (mut archived, mut line) = (empty.clone(), empty);
    for piece in &on {
        archived = archived.union(&piece.span.added)?;
        if piece.timeline == newest {
            line = line.union(&piece.span.after)?.union(&piece.span.added)?;
        }
    }
    let holes = line.subtract(&base)?.subtract(&archived)?;
    let side = archived.subtract(&line)?;
    let windows = windows(&on, &base, &archived, &side)?;
    Ok(Some(Coverage { base, archived, line, holes, side, windows }))
}

/// Pieces in the order of what precedes them; a new stretch begins where some of that is archived nowhere. A hole that was filled
/// later is none: what fills it was read of a server that had, and did not send, what comes after it.
fn windows(
    on: &[&Piece],
    base: &GtidSet,
    archived: &GtidSet,
    side: &GtidSet,
) -> Result<Vec<Window>, DialectMismatch> {
    let mut windows: Vec<Window> = Vec::new();
    let mut known = base.clone();
    for Piece { span, .. } in on {
        if !span.added.is_empty() && side.contains(&span.added)? {
            continue;
        }
        let lacks = span.after.subtract(side)?.subtract(&known)?.subtract(archived)?;
        let reaches = lacks.is_empty();
        known = known.union(&lacks)?;
        match windows.last_mut().filter(|_| reaches) {
            Some(window) => {
                known = known.union(&span.added)?;
                window.to = known.subtract(side)?;
                window.first_ms = window.first_ms.min(span.first_ms);
                window.last_ms = window.last_ms.max(span.last_ms);
            }
            None => {
                let from = known.clone();
                known = known.union(&span.added)?;
                let (first_ms, last_ms) = (span.first_ms, span.last_ms);
                windows.push(Window { from, to: known.subtract(side)?, first_ms, last_ms });
            }
        }
    }
    Ok(windows)
}
