//! Up to where it goes on from a backup, as an operator says it. Pure.

use jiff::Timestamp;

use super::course::Line;
use crate::archive::coverage::Piece;
use crate::backup::manifest::Manifest;
use crate::gtid::{Dialect, DialectMismatch, GtidSet, MariadbSet};

/// In words of the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::restore) enum Wanted {
    /// Everything that is archived.
    Latest,
    /// The transactions of this set, and what precedes the last of them.
    ToGtid(String),
    /// What precedes this one.
    BeforeGtid(String),
    /// What was committed by then.
    ToTime(Timestamp),
}

/// The same in terms of a family of servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Until {
    Latest,
    /// As it was named.
    To(GtidSet),
    /// As it was named: one transaction.
    Before(GtidSet),
    /// In microseconds since 1970.
    Time(i64),
}

impl Wanted {
    /// # Errors
    /// It is no GTID of this family, in words.
    pub(super) fn read(&self, dialect: Dialect) -> Result<Until, String> {
        match self {
            Self::Latest => Ok(Until::Latest),
            Self::ToTime(at) => Ok(Until::Time(at.as_microsecond())),
            Self::ToGtid(text) => Ok(Until::To(set(text, dialect).map_err(|e| format!("--to-gtid: {e}"))?)),
            Self::BeforeGtid(text) => {
                let failed = |why: String| format!("--before-gtid: {why}");
                let one = match (set(text, dialect).map_err(failed)?, dialect) {
                    (GtidSet::Mariadb(position), Dialect::Mariadb) => alone(&position),
                    (set, _) => Some(set).filter(|set| set.count() == 1),
                };
                one.map(Until::Before)
                    .ok_or_else(|| failed(format!("{text} names more than one transaction")))
            }
        }
    }
}

/// A position of MariaDB's stands for everything up to it.
fn set(text: &str, dialect: Dialect) -> Result<GtidSet, String> {
    let set = match dialect {
        Dialect::Mysql => GtidSet::parse_mysql(text),
        Dialect::Mariadb => GtidSet::parse_mariadb_pos(text),
    };
    let set = set.map_err(|e| e.to_string())?;
    if set.is_empty() { Err("it names no transaction".into()) } else { Ok(set) }
}

/// The transaction that a position of one domain names.
fn alone(position: &MariadbSet) -> Option<GtidSet> {
    let mut last = position.last_gtids();
    let (Some(gtid), None) = (last.next(), last.next()) else { return None };
    let text = format!("{}-{}-{}..{}", gtid.domain, gtid.server_id, gtid.sequence, gtid.sequence);
    text.parse().ok().map(GtidSet::Mariadb)
}

/// Whether a backup may be what is gone on from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::restore) enum Fit {
    Yes,
    /// It is not wholly before the moment.
    Later,
    /// And never is.
    No(String),
}

/// Where a backup stands by its manifest.
pub(super) fn position(manifest: &Manifest) -> Option<GtidSet> {
    let position = manifest.position.as_ref()?;
    let read = match manifest.server.dialect {
        Dialect::Mysql => GtidSet::parse_mysql(&position.gtids),
        Dialect::Mariadb => GtidSet::parse_mariadb_pos(&position.gtids),
    };
    read.ok()
}

/// What is known of an archive beside the line, for [`fits`].
#[derive(Debug, Clone)]
pub(super) struct History<'h> {
    pub(super) line: &'h Line,
    pub(super) pieces: &'h [Piece],
    /// Where there is an older history, before a reset: when this one began, in milliseconds since 1970.
    pub(super) since_ms: Option<u64>,
}

/// Whether a backup lies before the moment, by its manifest.
///
/// # Errors
/// It is of another family than the archive.
pub(super) fn fits(
    manifest: &Manifest,
    until: &Until,
    history: &History<'_>,
) -> Result<Fit, DialectMismatch> {
    let Some(base) = position(manifest) else {
        return Ok(Fit::No("nobody knows which transactions it has".into()));
    };
    if history.since_ms.is_some_and(|since| manifest.began_ms < since) {
        return Ok(Fit::No("it is of a history that was begun anew since".into()));
    }
    let line = &history.line.has;
    let beside = match &base {
        GtidSet::Mysql(_) => base.intersect(&history.line.beside()?)?,
        // Numbers that were used twice tell nothing there: its position has to be on the line.
        GtidSet::Mariadb(_) => GtidSet::empty(Dialect::Mariadb),
    };
    let is_on_it = match (line, &base) {
        (GtidSet::Mariadb(line), GtidSet::Mariadb(base)) => line.contains_position(base),
        (line, base) => line.contains(base)?,
    };
    // A backup that is newer than all that is archived has more, and everything else, too.
    if !beside.is_empty()
        || has_lost(manifest.epoch, &base, history)?
        || (!is_on_it && !base.numbers().contains(&line.numbers())?)
    {
        return Ok(Fit::No(format!("it stands at {base}, and the cluster went on without a part of that")));
    }
    let numbers = base.numbers();
    Ok(match until {
        Until::Latest => Fit::Yes,
        Until::Time(us) if (manifest.ended_ms as i64).saturating_mul(1000) <= *us => Fit::Yes,
        Until::Time(_) => Fit::Later,
        Until::Before(gtid) if !numbers.intersect(&gtid.numbers())?.is_empty() => Fit::Later,
        Until::To(set) if numbers.contains(&set.numbers())? && numbers != set.numbers() => Fit::Later,
        Until::Before(_) | Until::To(_) => Fit::Yes,
    })
}

/// MariaDB: whether the epochs after that of a backup have other transactions where it ends, as far as the first of them that has
/// these numbers says it. Later ones say less: a server that writes again has higher numbers than those that it had lost.
fn has_lost(epoch: u64, base: &GtidSet, history: &History<'_>) -> Result<bool, DialectMismatch> {
    let GtidSet::Mariadb(position) = base else { return Ok(false) };
    for gtid in position.last_gtids() {
        let mut one = MariadbSet::default();
        one.advance(gtid);
        let (one, mut first) = (GtidSet::Mariadb(one), None::<GtidSet>);
        let later = |piece: &&Piece| {
            piece.timeline.reset == history.line.newest.reset && piece.timeline.epoch > epoch
        };
        for piece in history.pieces.iter().filter(later) {
            let has = piece.span.after.union(&piece.span.added)?;
            if has.numbers().contains(&one.numbers())?
                && first.as_ref().is_none_or(|f| has.count() < f.count())
            {
                first = Some(has);
            }
        }
        let has_it = |has: &GtidSet| match (has, &one) {
            (GtidSet::Mariadb(has), GtidSet::Mariadb(one)) => has.contains_position(one),
            _ => true,
        };
        if first.is_some_and(|has| !has_it(&has)) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
#[path = "until_tests.rs"]
mod tests;
