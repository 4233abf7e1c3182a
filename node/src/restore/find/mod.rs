//! Finds what did the harm: the transactions of an archive that dropped, emptied or changed a table. It needs the store and the key
//! alone.
//!
//! Which segments may have them their entries say (`choose`); these are decrypted one after another and looked through (`scan`),
//! statements by their words (`words`), rows by their number. Nothing of it stays but what is shown (`hits`, `show`), and what
//! could not be looked through is told: nobody is to take a silent hole for "it never happened".

mod choose;
mod hits;
mod reader;
mod scan;
mod show;
#[cfg(test)]
mod testing;
mod tokens;
mod wanted;
mod words;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

pub(in crate::restore) use words::{Kind, said};

use super::args::FindArgs;
use super::flow::Source;
use super::place::StoreArgs;
use super::plan::Target;
use super::progress::Progress;
use super::replay::{Moment, Wanted as Until, gather};
use super::shelf::Shelf;
use super::text::command_line;
use super::{json, key, open};
use crate::archive::entry::{Entry, archive_prefix};
use crate::archive::index::{Index, entries_that};
use crate::archive::open::content;
use crate::backup::store::Store;
use crate::gtid::{DialectMismatch, GtidSet};
use choose::{Fate, History, in_order, is_within, the_only};
use hits::{Found, Hits};
use scan::{Scanned, scan};
use show::{Answer, Back, Searched, Shown};
use wanted::{Pattern, Wanted};

/// Segments that are read at once.
const AT_ONCE: usize = 4;
/// One that takes no longer needs no word on the way.
const QUIET: Duration = Duration::from_secs(2);
/// Of the segments that cannot be read so many are named.
const NAMED_MAX: usize = 5;

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Search {
    /// Something was found.
    Found,
    /// Everything was looked through, and nothing was found.
    Nothing,
    /// Not everything could be looked through, whatever was found.
    Incomplete,
}

/// Looks through the archive, and prints what was found.
///
/// # Errors
/// The store, the key, or what is asked for, in words.
pub(super) async fn run(args: &FindArgs) -> Result<Search, String> {
    let wanted = Arc::new(wanted(args)?);
    let store = open(&args.store)?;
    let source = Source { store: store.clone(), keys: Arc::new(key(&args.key)?) };
    let failed = |why: String| format!("store {}: {why}", store.name());
    let cluster = cluster(&store, args.store.cluster.as_deref()).await.map_err(failed)?;
    let index = Index::look(&store, &cluster).await?;
    let mixed = |e: DialectMismatch| e.to_string();
    let history = History::of(&index.pieces().map_err(mixed)?).map_err(mixed)?;
    let history = history.ok_or_else(|| failed(format!("nothing of {cluster}'s binlog can be read")))?;
    let (first_ms, last_ms) = wanted.range_ms();
    let shelves = index.shelves_within(first_ms, last_ms);
    let promised = index.promised_within(first_ms, last_ms).map_err(mixed)?;
    let there = RefCell::new(promised.as_ref().map(|set| GtidSet::empty(set.dialect())));
    let mut looking = Looking::new(args, &history);
    looking.progress.stage("reading what the archive has");
    let entries = entries_that(&store, &cluster, &shelves, |entry| {
        let with = |all: &GtidSet| all.union(&entry.span.added.numbers()).ok();
        if let Some(all) = there.borrow_mut().as_mut() {
            *all = with(all).unwrap_or_else(|| all.clone());
        }
        is_within(entry, &wanted)
    });
    let (entries, unreadable) = entries.await.map_err(|e| e.to_string())?;
    looking.progress.end();
    if let (Some(promised), Some(there)) = (promised, there.into_inner()) {
        let gone = promised.subtract(&there).map_err(mixed)?;
        if !gone.is_empty() {
            let gone = gone.amount();
            looking
                .lacks
                .push(format!("{gone} are gone with their entries: what these did is not known here"));
        }
    }
    looking.lacks.extend(history.beyond(&wanted));
    if let Some(missing) = history.missing(&wanted) {
        looking.lacks.push(format!("the archive lacks {missing}: what these did is not known here"));
    }
    if let Some((key, why)) = unreadable.first_key_value() {
        let count = unreadable.len();
        looking.lacks.push(format!("{count} entries of the archive cannot be read, such as {key}: {why}"));
    }
    looking.through(&source, in_order(entries.into_values().collect()), &wanted).await;
    let mut answer = looking.answer(store.name(), &cluster);
    if let Some(last) = answer.last_of_accidents(&wanted) {
        answer.back = Some(back(args, &source, &cluster, last).await);
    }
    if args.json {
        json(&answer)?;
    } else {
        print!("{}", answer.render());
    }
    Ok(match (answer.lacks.is_empty(), answer.transactions.is_empty()) {
        (false, _) => Search::Incomplete,
        (true, true) => Search::Nothing,
        (true, false) => Search::Found,
    })
}

fn wanted(args: &FindArgs) -> Result<Wanted, String> {
    let us = |at: jiff::Timestamp| u64::try_from(at.as_microsecond()).unwrap_or_default();
    let (from_us, to_us) = (args.from.map(us), args.to.map(us));
    if let (Some(from), Some(to)) = (from_us, to_us)
        && from > to
    {
        return Err("--from is later than --to".into());
    }
    let table = args.table.as_deref().map(Pattern::of);
    Ok(Wanted { kinds: args.kind.clone(), table, from_us, to_us })
}

/// Whose archive is meant. A store may have an archive and no backup any more.
async fn cluster(store: &Store, wanted: Option<&str>) -> Result<String, String> {
    let all = match wanted {
        Some(cluster) => vec![cluster.to_owned()],
        None => store.folders("").await.map_err(|e| e.to_string())?,
    };
    let mut having = Vec::new();
    for cluster in all {
        if !store.folders(&archive_prefix(&cluster)).await.map_err(|e| e.to_string())?.is_empty() {
            having.push(cluster);
        }
    }
    the_only(having, wanted)
}

/// A search under way.
struct Looking<'a> {
    history: &'a History,
    hits: Hits,
    /// A transaction more than is shown.
    most: usize,
    searched: Searched,
    lacks: Vec<String>,
    broken: usize,
    unknown: BTreeMap<u8, u64>,
    progress: Progress,
}

impl<'a> Looking<'a> {
    fn new(args: &FindArgs, history: &'a History) -> Self {
        let limit = args.limit as usize;
        Self {
            history,
            hits: Hits::new(limit),
            most: limit + 1,
            searched: Searched::default(),
            lacks: Vec::new(),
            broken: 0,
            unknown: BTreeMap::new(),
            progress: Progress::new(!args.json),
        }
    }

    /// Looks through the segments, a few at a time, until nothing that follows would be shown.
    async fn through(&mut self, source: &Source, entries: Vec<Entry>, wanted: &Arc<Wanted>) {
        let (begun, all, most) = (Instant::now(), entries.len() as u64, self.most);
        let mut is_told = false;
        let reads = stream::iter(entries)
            .map(async |entry: Entry| {
                let scanned = look_through(source, &entry, wanted, most).await;
                (entry, scanned)
            })
            .buffered(AT_ONCE);
        let mut reads = std::pin::pin!(reads);
        while let Some((entry, scanned)) = reads.next().await {
            if self.hits.is_full(entry.span.first_ms) {
                break;
            }
            self.take(&entry, scanned);
            if begun.elapsed() >= QUIET {
                if !is_told {
                    self.progress.stage("looking through segments");
                    is_told = true;
                }
                self.progress.counted(self.searched.segments, all);
            }
        }
        if is_told {
            self.progress.end();
        }
    }

    fn take(&mut self, entry: &Entry, scanned: Scanned) {
        let Searched { segments, first_ms, last_ms } = &mut self.searched;
        *first_ms = if *segments == 0 { entry.span.first_ms } else { entry.span.first_ms.min(*first_ms) };
        *last_ms = entry.span.last_ms.max(*last_ms);
        *segments += 1;
        for hit in scanned.hits {
            let fate = self.history.fate(entry.timeline, &hit.gtid);
            self.hits.take(Found { hit, timeline: entry.timeline, fate });
        }
        for (kind, count) in scanned.unknown {
            *self.unknown.entry(kind).or_default() += count;
        }
        if let Some(why) = scanned.broken {
            self.broken += 1;
            if self.broken <= NAMED_MAX {
                let at = |ms: u64| Moment::time(ms.saturating_mul(1000));
                self.lacks.push(format!(
                    "segment {}, committed from {} to {}, cannot be read as a whole: {why}",
                    entry.segment_id(),
                    at(entry.span.first_ms),
                    at(entry.span.last_ms)
                ));
            }
        }
    }

    fn answer(self, store: &str, cluster: &str) -> Answer {
        let mut lacks = self.lacks;
        let more = self.broken.saturating_sub(NAMED_MAX);
        if more > 0 {
            lacks.push(format!("{more} more segments cannot be read as a whole"));
        }
        for (kind, count) in self.unknown {
            lacks.push(format!(
                "{count} events of type {kind} are not known here, or damaged: what they did is not known"
            ));
        }
        let (found, has_more) = self.hits.shown();
        Answer {
            store: store.to_owned(),
            cluster: cluster.to_owned(),
            searched: self.searched,
            transactions: found.into_iter().map(Shown::of).collect(),
            has_more,
            lacks,
            back: None,
        }
    }
}

/// Decrypts a segment and looks through it, on a thread that may block.
async fn look_through(source: &Source, entry: &Entry, wanted: &Arc<Wanted>, most: usize) -> Scanned {
    let broken = |why: String| Scanned { broken: Some(why), ..Scanned::default() };
    let keys = match source.identities() {
        Ok(keys) => keys,
        Err(why) => return broken(why),
    };
    let (store, entry, wanted) = (source.store.clone(), entry.clone(), Arc::clone(wanted));
    let runtime = Handle::current();
    let read = spawn_blocking(move || scan(content(&store, &entry, keys, runtime), &wanted, most));
    read.await.unwrap_or_else(|e| broken(format!("the thread that reads ended: {e}")))
}

/// The command that leads to right before a transaction, once it is known that one does.
async fn back(args: &FindArgs, source: &Source, cluster: &str, (gtid, fate): (String, Fate)) -> Back {
    let nowhere = |before: String, why: String| Back { before, command: None, why_not: Some(why) };
    match fate {
        Fate::Kept => {}
        Fate::Lost => return nowhere(gtid, "the cluster went on without it".into()),
        Fate::Earlier => {
            return nowhere(
                gtid,
                "GTIDs began anew after it; restore --to-time leads to times of then".into(),
            );
        }
    }
    let shelf = match Shelf::look(source.store.clone(), Some(cluster)).await {
        Ok(shelf) => shelf,
        Err(why) => return nowhere(gtid, why),
    };
    let until = Until::BeforeGtid(gtid.clone());
    let mut why_not = None;
    // A dump goes into a running server only.
    let targets = [
        (Target::Directory("/".into()), ["--into", "DIR"]),
        (Target::Server("/".into()), ["--socket", "SOCKET"]),
    ];
    for (target, into) in targets {
        match gather(&shelf, None, (&until, false), &target, source).await {
            Ok(_) => {
                let mut words = vec!["baton-node".into(), "restore".into()];
                // Others may have backups there, and no archive.
                let store = StoreArgs { cluster: Some(cluster.to_owned()), ..args.store.clone() };
                words.extend(store.words());
                words.extend(["--key".into(), args.key.clone().into_os_string()]);
                words.extend(["--before-gtid", &gtid].into_iter().chain(into).map(Into::into));
                return Back { before: gtid, command: Some(command_line(&words)), why_not: None };
            }
            Err(why) => why_not = why_not.or(Some(why)),
        }
    }
    Back { before: gtid, command: None, why_not }
}
