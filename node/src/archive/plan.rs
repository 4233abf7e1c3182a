//! Where whoever archives goes on. Pure.

use crate::gtid::{Dialect, DialectMismatch, GtidSet};

use super::coverage::Piece;
use super::entry::Timeline;

/// A server that is about to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The epoch that it follows.
    pub epoch: u64,
    /// Whether it holds the write role.
    pub is_writer: bool,
    /// Every transaction that it has.
    pub executed: GtidSet,
    /// Those that it cannot send.
    pub purged: GtidSet,
}

/// How it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What is read belongs there.
    pub timeline: Timeline,
    /// What it need not send. It has all of that.
    pub start: GtidSet,
    /// What it has, cannot send, and nobody has archived. Reading here leaves a hole, unless another server is read first.
    pub gap: GtidSet,
    /// What is archived and not asked for again.
    pub archived: GtidSet,
}

/// Where reading goes on, by what is archived.
///
/// # Errors
/// The archive is one of another family's servers.
pub fn plan(pieces: &[Piece], reading: &Reading) -> Result<Plan, DialectMismatch> {
    let Reading { epoch, is_writer, executed, purged } = reading;
    let timeline = timeline(pieces, *epoch, *is_writer, executed)?;
    let mut archived = GtidSet::empty(executed.dialect());
    // What went before the archive's beginning was never asked for, and is no gap.
    let mut base: Option<&GtidSet> = None;
    // What somebody has left out already is a hole that is known.
    let mut passed = archived.clone();
    for piece in pieces.iter().filter(|piece| piece.timeline.goes_on_as(timeline)) {
        archived = archived.union(&piece.span.added)?;
        passed = passed.union(&piece.span.after)?;
        base = base.filter(|base| base.count() <= piece.span.after.count()).or(Some(&piece.span.after));
    }
    let gap = match base {
        Some(_) => purged.subtract(&archived)?.subtract(&passed)?,
        None => GtidSet::empty(executed.dialect()),
    };
    let start = match (base, executed.dialect()) {
        (None, _) => purged.clone(),
        (Some(base), Dialect::Mysql) => archived.union(base)?.intersect(executed)?.union(purged)?,
        (Some(base), Dialect::Mariadb) => {
            let first = on_from(base.clone(), pieces, timeline)?.intersect(executed)?.union(purged)?;
            on_from(first, pieces, timeline)?.intersect(executed)?.union(purged)?
        }
    };
    Ok(Plan { timeline, start, gap, archived })
}

/// As far as the archive goes on from `known` without a hole: MariaDB sends what follows a position, holes before it or not.
fn on_from(mut known: GtidSet, pieces: &[Piece], timeline: Timeline) -> Result<GtidSet, DialectMismatch> {
    let mut on: Vec<_> = pieces.iter().filter(|piece| piece.timeline.goes_on_as(timeline)).collect();
    on.sort_by_key(|piece| piece.span.after.count());
    for Piece { span, .. } in on {
        if known.contains(&span.after)? {
            known = known.union(&span.added)?;
        }
    }
    Ok(known)
}

/// Within its epoch nobody takes a transaction from the writer: where one that is archived is not there any more, its history
/// was begun anew.
fn timeline(
    pieces: &[Piece],
    epoch: u64,
    is_writer: bool,
    executed: &GtidSet,
) -> Result<Timeline, DialectMismatch> {
    let newest = pieces.iter().map(|piece| piece.timeline).filter(|t| t.epoch <= epoch).max();
    // A reset holds for the epochs after it.
    let reset = newest.map_or(0, |timeline| timeline.reset);
    let now = Timeline { epoch, reset };
    for piece in pieces.iter().filter(|piece| is_writer && piece.timeline == now) {
        if !executed.contains(&piece.span.added)? {
            return Ok(Timeline { epoch, reset: reset + 1 });
        }
    }
    Ok(now)
}
