//! Where whoever archives goes on. Pure.

use crate::gtid::{Dialect, DialectMismatch, GtidSet};

use super::coverage::Piece;
use super::entry::Timeline;
use crate::sql::OwnId;

/// A server that is about to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The epoch that it follows.
    pub epoch: u64,
    /// The node, where it holds the write role.
    pub writer: Option<String>,
    /// What its own transactions are called after.
    pub own_id: OwnId,
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
    let Reading { executed, purged, .. } = reading;
    let timeline = timeline(pieces, reading)?;
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

/// Within its epoch nobody takes a transaction from the writer: where one that it had is not there any more, its history was
/// begun anew. It had what was read from it as the writer, and what it committed itself. Anything else that a replica sent in
/// this epoch may be the tail of an older writer, which the cluster went on without.
fn timeline(pieces: &[Piece], reading: &Reading) -> Result<Timeline, DialectMismatch> {
    let newest = pieces.iter().map(|piece| piece.timeline).filter(|t| t.epoch <= reading.epoch).max();
    // A reset holds for the epochs after it.
    let reset = newest.map_or(0, |timeline| timeline.reset);
    let now = Timeline { epoch: reading.epoch, reset };
    if reading.writer.is_none() {
        return Ok(now);
    }
    for Piece { span, writer, .. } in pieces.iter().filter(|piece| piece.timeline == now) {
        let lacks = span.added.subtract(&reading.executed)?;
        let was_its = writer == &reading.writer && !lacks.is_empty();
        if was_its || is_of(&lacks, reading.own_id) {
            return Ok(Timeline { reset: reset + 1, ..now });
        }
    }
    Ok(now)
}

/// Whether a server committed any of these first.
fn is_of(set: &GtidSet, own_id: OwnId) -> bool {
    match (set, own_id) {
        (GtidSet::Mysql(set), OwnId::Uuid(uuid)) => set.uuids().any(|of| of == uuid),
        (GtidSet::Mariadb(set), OwnId::Id(id)) => set.last_gtids().any(|last| last.server_id == id),
        _ => false,
    }
}
