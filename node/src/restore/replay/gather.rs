//! Looks into an archive, and finds what a restore goes on with. Nothing is changed.

use std::collections::BTreeMap;

use super::course::{Course, Item, Line, course};
use super::preview::{Near, around};
use super::segments::Segments;
use super::show::{Moment, Replay};
use super::stop::{Stop, position, stop};
use super::until::{Fit, History, Until, Wanted, fits, position as stands_at};
use crate::archive::coverage::Piece;
use crate::archive::entry::Entry;
use crate::archive::index::{Index, entries_on};
use crate::backup::manifest::Manifest;
use crate::backup::store::Store;
use crate::gtid::{DialectMismatch, GtidSet};
use crate::restore::chain::{Chain, choose};
use crate::restore::flow::Source;
use crate::restore::plan::{Target, Way};
use crate::restore::shelf::Shelf;

/// Clocks of two hosts differ by no more, or Baton says so.
const CLOCKS_MS: u64 = 2000;

/// The engine whose copies have what was committed until they ended, of which the manifest knows nothing.
const CLONE: &str = "clone";

/// A segment of which something is replayed.
#[derive(Debug, Clone)]
pub(in crate::restore) struct Part {
    pub(in crate::restore) entry: Entry,
    /// Which, as numbers.
    pub(in crate::restore) take: GtidSet,
}

/// What a restore goes on with.
#[derive(Debug, Clone)]
pub(in crate::restore) struct Ready {
    pub(in crate::restore) show: Replay,
    /// In the order in which they are replayed.
    pub(in crate::restore) parts: Vec<Part>,
    /// Which transactions there are in the end, as numbers.
    pub(in crate::restore) goal: GtidSet,
    /// Transactions around the moment, for whoever asked for them.
    pub(in crate::restore) near: Vec<Near>,
}

/// What an archive goes on with after a backup, for whoever did not ask for it; `None` where there is nothing.
pub(in crate::restore) async fn more(store: &Store, last: &Manifest) -> Result<Option<String>, String> {
    let mixed = |e: DialectMismatch| e.to_string();
    let pieces = Index::look(store, &last.cluster).await?.pieces().map_err(mixed)?;
    let newest = pieces.iter().map(|piece| piece.timeline).max();
    let line = Line::of(&pieces, newest.unwrap_or_default().reset).map_err(mixed)?;
    let (Some(line), Some(base)) = (line, stands_at(last)) else { return Ok(None) };
    let found = course(&pieces, &line, &base).map_err(mixed)?;
    let follows = found.reaches.subtract(&base.numbers()).map_err(mixed)?;
    Ok((!follows.is_empty())
        .then(|| format!("{} follow in the archive: --latest replays them", follows.amount())))
}

/// Chooses the backup, and what is replayed after it.
///
/// # Errors
/// It cannot be got to, and why, in words.
pub(in crate::restore) async fn gather(
    shelf: &Shelf,
    backup: Option<&str>,
    (wanted, is_preview): (&Wanted, bool),
    target: &Target,
    source: &Source,
) -> Result<(Chain, Ready), String> {
    let (store, cluster) = (&shelf.store, shelf.cluster.as_str());
    let mixed = |e: DialectMismatch| e.to_string();
    let index = Index::look(store, cluster).await?;
    let pieces = index.pieces().map_err(mixed)?;
    let Some(dialect) = pieces.first().map(|piece| piece.span.after.dialect()) else {
        return Err(format!("store {} has no archive of {cluster}'s binlog", store.name()));
    };
    let until = wanted.read(dialect)?;
    let (reset, since_ms) = history(&pieces, &until);
    let line = Line::of(&pieces, reset).map_err(mixed)?.ok_or("nothing is archived of that time")?;
    is_on(&line, &until).map_err(mixed)??;
    let archive = Archive { index: &index, line: &line, since_ms, until: &until, wanted, is_preview, source };
    archive.choose(shelf, backup, target).await
}

/// What is known of an archive, and what is wanted of it.
struct Archive<'a> {
    index: &'a Index,
    line: &'a Line,
    since_ms: Option<u64>,
    until: &'a Until,
    wanted: &'a Wanted,
    /// Whether transactions around the moment are listed.
    is_preview: bool,
    source: &'a Source,
}

impl Archive<'_> {
    /// The newest backup that lies before the moment for sure; else the newest that may.
    async fn choose(
        &self,
        shelf: &Shelf,
        backup: Option<&str>,
        target: &Target,
    ) -> Result<(Chain, Ready), String> {
        let history = History { line: self.line, since_ms: self.since_ms };
        let (mut tried, mut guess) = (Vec::new(), None);
        loop {
            let chain = choose(shelf, backup, |last| {
                if let Err(why) = Way::find(&last.engine, target) {
                    return Ok(backup.map_or(Fit::Later, |_| Fit::No(why)));
                }
                if tried.contains(&last.backup) { Ok(Fit::Later) } else { fits(last, self.until, &history) }
            });
            let chain = match (chain.await, guess.take()) {
                (Ok(chain), kept) => {
                    guess = kept;
                    chain
                }
                (Err(_), Some(kept)) => return Ok(kept),
                (Err(why), None) => return Err(why),
            };
            let last = chain.last().ok_or("there is no backup")?;
            let (ready, stop) = self.after(shelf, last).await?;
            if !may_be_later(last, &stop) {
                return Ok((chain, ready));
            }
            tried.push(last.backup.clone());
            guess = guess.or(Some((chain.guessed(), ready)));
            if backup.is_some() {
                return guess.ok_or_else(|| "there is no backup".to_owned());
            }
        }
    }

    /// What is replayed after a backup.
    async fn after(&self, shelf: &Shelf, last: &Manifest) -> Result<(Ready, Stop), String> {
        let mixed = |e: DialectMismatch| e.to_string();
        let base = stands_at(last).ok_or("nobody knows which transactions the backup has")?;
        let shelves = self.index.shelves_beyond(&base).map_err(mixed)?;
        let entries = entries_on(&shelf.store, &shelf.cluster, &shelves).await.map_err(|e| e.to_string())?;
        let pieces: Vec<Piece> = entries.iter().map(Piece::of).collect();
        let found = course(&pieces, self.line, &base).map_err(mixed)?;
        let read = Segments { source: self.source, entries: &entries };
        let stop = stop(&pieces, &found, &base, self.until, &read).await?;
        is_whole(self.line, &found, &stop, self.until, &pieces)?;
        let mut ready = ready(&entries, &pieces, &base, self.line, &stop, self.wanted)?;
        if self.is_preview {
            ready.near = read.near(&around(&found, &stop, &read).await?).await?;
        }
        Ok((ready, stop))
    }
}

/// Which history is meant, by how often it was begun anew, and since when it is, where there is an older one.
fn history(pieces: &[Piece], until: &Until) -> (u32, Option<u64>) {
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
fn may_be_later(last: &Manifest, stop: &Stop) -> bool {
    let ended_us = last.ended_ms.saturating_add(CLOCKS_MS).saturating_mul(1000);
    last.engine == CLONE && stop.first_not.as_ref().is_some_and(|first| first.at_us <= ended_us)
}

/// That what was named is on the line.
fn is_on(line: &Line, until: &Until) -> Result<Result<(), String>, DialectMismatch> {
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

/// That nothing is missing before the end.
fn is_whole(line: &Line, found: &Course, stop: &Stop, until: &Until, pieces: &[Piece]) -> Result<(), String> {
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

fn ready(
    entries: &[Entry],
    pieces: &[Piece],
    base: &GtidSet,
    line: &Line,
    stop: &Stop,
    wanted: &Wanted,
) -> Result<Ready, String> {
    let mixed = |e: DialectMismatch| e.to_string();
    let gtids = position(base, line, stop, pieces).map_err(mixed)?;
    let replayed = stop.goal.subtract(&base.numbers()).map_err(mixed)?;
    let part = |Item { piece, take }: &Item| {
        let entry = entries.get(*piece)?.clone();
        Some(Part { entry, take: take.clone() })
    };
    let parts: Vec<Part> = stop.items.iter().filter_map(part).collect();
    let mut show = Replay::new(wanted, base.dialect());
    show.segments = parts.len() as u64;
    show.transactions = replayed.count();
    show.bytes = parts.iter().map(|part| part.entry.stream.bytes).sum();
    show.stored_bytes = parts.iter().map(|part| part.entry.stream.stored_bytes()).sum();
    show.gtids = gtids;
    show.last = stop.last.as_ref().map(Moment::of);
    show.first_not = stop.first_not.as_ref().map(Moment::of);
    show.warn(stop);
    Ok(Ready { show, parts, goal: stop.goal.clone(), near: Vec::new() })
}
