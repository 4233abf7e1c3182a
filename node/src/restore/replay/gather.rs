//! Looks into an archive, and finds what a restore goes on with. Nothing is changed.

use super::checks::{history, is_of_one_cluster, is_on, is_what_was_named, is_whole, may_be_later};
use super::course::{Item, Line, course};
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
    /// And whatever the backup has beside them.
    pub(in crate::restore) is_open: bool,
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
    is_of_one_cluster(&pieces, &line)?;
    let archive = Archive {
        index: &index,
        line: &line,
        pieces: &pieces,
        since_ms,
        until: &until,
        wanted,
        is_preview,
        source,
    };
    let (chain, mut ready) = archive.choose(shelf, backup, target).await?;
    ready.show.warn_of(&line.beside().map_err(mixed)?, index.unreadable());
    Ok((chain, ready))
}

/// What is known of an archive, and what is wanted of it.
struct Archive<'a> {
    index: &'a Index,
    line: &'a Line,
    pieces: &'a [Piece],
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
        let history = History { line: self.line, pieces: self.pieces, since_ms: self.since_ms };
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
            let (ready, stop) = match (self.after(shelf, last).await, guess.take()) {
                // Of one that is older more is missing.
                (Err(_), Some(kept)) => return Ok(kept),
                (after, kept) => {
                    guess = kept;
                    after?
                }
            };
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
        is_what_was_named(&stop, self.until)?;
        let mut ready = ready(&entries, &pieces, &base, self.line, &stop, self.wanted)?;
        if self.is_preview {
            ready.near = read.near(&around(&found, &stop, &read).await?).await?;
        }
        Ok((ready, stop))
    }
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
    let is_open = stop.is_open || matches!(wanted, Wanted::Latest);
    Ok(Ready { show, parts, goal: stop.goal.clone(), is_open, near: Vec::new() })
}
