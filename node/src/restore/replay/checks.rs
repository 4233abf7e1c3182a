//! Whether what is asked of an archive can be had of it: which history is meant, and that nothing is missing there. Pure.

use std::collections::BTreeMap;

use super::course::{Course, Line};
use super::show::Moment;
use super::stop::Stop;
use super::until::Until;
use crate::archive::coverage::Piece;
use crate::backup::manifest::Manifest;
use crate::gtid::{DialectMismatch, GtidSet, MariadbGtid, MariadbSet};

/// No writer goes on for so long after its epoch.
const OUTLIVES_MS: u64 = 600_000;
/// Clocks of two hosts differ by no more, or Baton says so.
const CLOCKS_MS: u64 = 2000;
/// The engine whose copies have what was committed until they ended, of which the manifest knows nothing.
const CLONE: &str = "clone";

/// Which history is meant, by how often it was begun anew, and since when it is, where there is an older one.
pub(super) fn history(pieces: &[Piece], until: &Until) -> (u32, Option<u64>) {
    let mut began = BTreeMap::new();
    for Piece { timeline, span, .. } in pieces {
        let first = began.entry(timeline.reset).or_insert(span.first_ms);
        *first = span.first_ms.min(*first);
    }
    let is_there = |first_ms: u64| match until {
        Until::Time(us) => i64::try_from(first_ms).is_ok_and(|ms| ms.saturating_mul(1000) <= *us),
        _ => true,
    };
    let newest =
        began.iter().rev().find(|(_, first_ms)| is_there(**first_ms)).or_else(|| began.iter().next());
    let Some((reset, first_ms)) = newest else { return (0, None) };
    (*reset, began.keys().next().filter(|oldest| *oldest < reset).map(|_| *first_ms))
}

/// Whether a copy that was made while its server went on may have what is not to be there, whatever its manifest says.
pub(super) fn may_be_later(last: &Manifest, stop: &Stop) -> bool {
    let ended_us = last.ended_ms.saturating_add(CLOCKS_MS).saturating_mul(1000);
    last.engine == CLONE && stop.first_not.as_ref().is_some_and(|first| first.at_us <= ended_us)
}

/// That what was named is on the line.
pub(super) fn is_on(line: &Line, until: &Until) -> Result<Result<(), String>, DialectMismatch> {
    let (Until::To(named) | Until::Before(named)) = until else { return Ok(Ok(())) };
    let is_there = match (&line.has, named, until) {
        // Its numbers are on the line, and the server that it names has come as far.
        (GtidSet::Mariadb(has), GtidSet::Mariadb(named), _) => has.contains_position(named),
        (has, named, _) => has.contains(named)?,
    };
    if is_there {
        return Ok(Ok(()));
    }
    let lacks = named.subtract(&line.has)?;
    let beside = lacks.numbers().intersect(&line.beside()?.numbers())?;
    Ok(Err(if beside.is_empty() {
        format!("{lacks} is not in the archive, which has {}", line.has)
    } else {
        format!(
            "{lacks} lies beside the line: it was archived, and the cluster went on without it; it cannot be replayed \
             together with what came after, and stays in the store for whoever reads it there"
        )
    }))
}

/// MariaDB: that the number which was named is the transaction which was named. On the line it may be another server's.
pub(super) fn is_what_was_named(stop: &Stop, until: &Until) -> Result<(), String> {
    let (at, named) = match until {
        Until::Before(GtidSet::Mariadb(named)) => (&stop.first_not, named),
        Until::To(GtidSet::Mariadb(named)) => (&stop.last, named),
        _ => return Ok(()),
    };
    let found = at.as_ref().and_then(|seen| MariadbSet::parse_position(&seen.gtid).ok()).unwrap_or_default();
    for gtid in found.last_gtids() {
        let is_other = |named: MariadbGtid| {
            named.domain == gtid.domain
                && named.sequence == gtid.sequence
                && named.server_id != gtid.server_id
        };
        if named.last_gtids().any(is_other) {
            return Err(format!("what was named lies beside the line, which has {gtid} in its place"));
        }
    }
    Ok(())
}

/// That the archive is of one cluster: one that was made anew under the name of an older one has begun with the first epoch
/// again, and which of the two histories is meant nobody can tell.
pub(super) fn is_of_one_cluster(pieces: &[Piece], line: &Line) -> Result<(), String> {
    let last_ms = |is_newest: bool| {
        let of = pieces.iter().filter(|piece| (piece.timeline == line.newest) == is_newest);
        of.filter(|piece| piece.timeline <= line.newest)
            .map(|piece| piece.span.last_ms)
            .max()
            .unwrap_or_default()
    };
    let (newest, older) = (last_ms(true), last_ms(false));
    if older <= newest.saturating_add(OUTLIVES_MS) {
        return Ok(());
    }
    Err(format!(
        "the archive has two histories: its epoch {} ends {}, and an earlier epoch goes on until {}; a cluster was made anew \
         under the same name, and needs another one, or another prefix in the store: move the folder of the older one away",
        line.newest.epoch,
        Moment::time(newest * 1000),
        Moment::time(older * 1000)
    ))
}

/// That nothing is missing before the end.
pub(super) fn is_whole(
    line: &Line,
    found: &Course,
    stop: &Stop,
    until: &Until,
    pieces: &[Piece],
) -> Result<(), String> {
    let mixed = |e: DialectMismatch| e.to_string();
    let is_got_to = match until {
        Until::Latest => found.beyond.is_empty(),
        Until::Time(_) => stop.first_not.is_some() || found.beyond.is_empty(),
        Until::To(set) => stop.goal.contains(&set.numbers()).map_err(mixed)?,
        // It is the first one that is not replayed, unless it lies beyond a hole.
        Until::Before(gtid) => found.reaches.contains(&gtid.numbers()).map_err(mixed)?,
    };
    if is_got_to {
        return Ok(());
    }
    let missing = found.missing.named_by(&line.has).map_err(mixed)?;
    let last = found.items.last().and_then(|item| pieces.get(item.piece));
    let reachable = match last {
        Some(piece) => {
            let last = piece.span.added.intersect(&line.has).map_err(mixed)?;
            format!(
                "what can be restored ends with {last}, committed by {}",
                Moment::time(piece.span.last_ms * 1000)
            )
        }
        None => "nothing can be replayed after this backup".to_owned(),
    };
    Err(format!("the archive lacks {missing}, and nothing can be restored across that; {reachable}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::course::tests::{piece, set};
    use super::*;

    #[test]
    fn a_cluster_that_was_made_anew_under_the_same_name_is_noticed() {
        let of = |pieces: &[Piece]| is_of_one_cluster(pieces, &Line::of(pieces, 0).unwrap().unwrap());
        let old = [piece(1, "a1-3", "a4-6", 100), piece(4, "a1-6", "a7-9", 200)];
        assert_eq!(of(&old), Ok(()));
        let anew =
            [old.clone(), [piece(1, "a1-9", "b1-3", 900_000), piece(1, "a1-9b1-3", "b4", 910_000)]].concat();
        assert!(of(&anew).unwrap_err().contains("its epoch 4 ends 1970-01-01 00:00:00.209000 UTC"));
        // A writer that was lost goes on for a while.
        let late = [old, [piece(3, "a1-6", "a7-8", 30_000), piece(2, "a1-5", "a6", 250)]].concat();
        assert_eq!(of(&late), Ok(()));
    }

    #[test]
    fn what_was_named_has_to_be_on_the_line() {
        let pieces = [piece(1, "a1-3", "a4-7", 100), piece(2, "a1-5", "b1-3", 200)];
        let line = Line::of(&pieces, 0).unwrap().unwrap();
        let on = |until| is_on(&line, &until).unwrap();
        assert_eq!(on(Until::Before(set("b2"))), Ok(()));
        assert!(on(Until::Before(set("a6"))).unwrap_err().contains("lies beside the line"));
        assert!(on(Until::To(set("b9"))).unwrap_err().contains("is not in the archive"));
    }
}
