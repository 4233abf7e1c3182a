//! Has the restored server, which runs for that and which nobody else reaches, replay what the plan says. Segments are
//! decrypted and cut into a folder beside the data, a batch while the one before it is applied, and no more.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

use super::gather::{Part, Ready};
use crate::archive::open::content;
use crate::archive::part::cut_out;
use crate::gtid::{DialectMismatch, GtidSet};
use crate::restore::flow::Source;
use crate::restore::owner::Owner;
use crate::restore::progress::Progress;
use crate::sql::Connector;
use crate::sql::replaying::Replayer;

/// Of one batch. Two of them are on the disk at most.
const BATCH_BYTES: u64 = 256 << 20;
/// So much of what is replayed lies beside the data at a time.
pub(in crate::restore) const STAGED_BYTES_MAX: u64 = 2 * BATCH_BYTES;
const BATCH_PARTS: usize = 512;
/// What relay logs are called; the sandbox tells the server.
pub(in crate::restore) const RELAY: &str = "relay";
const LOOK: Duration = Duration::from_millis(50);
/// One that has applied nothing for so long ends the restore: not even the largest transaction takes that long.
const STALLED: Duration = Duration::from_secs(6 * 3600);

/// What the server is given, and where.
pub(in crate::restore) struct Applying<'a> {
    pub(in crate::restore) ready: &'a Ready,
    pub(in crate::restore) source: &'a Source,
    /// Where its relay logs are. Nobody else uses it.
    pub(in crate::restore) folder: &'a Path,
    pub(in crate::restore) owner: Option<&'a Owner>,
    /// Where the backup stands by its manifest.
    pub(in crate::restore) noted: &'a str,
}

/// Files of one channel.
struct Batch {
    channel: String,
    first: PathBuf,
    /// What there is when all of it is applied, as numbers.
    reaches: GtidSet,
}

impl Applying<'_> {
    /// Replays all of it. What there is in the end, as numbers.
    ///
    /// # Errors
    /// In words; what the server has then is nothing.
    pub(in crate::restore) async fn run(
        &self,
        connector: &Connector,
        progress: &Progress,
    ) -> Result<GtidSet, String> {
        let mut server = Replayer::begin(connector).await.map_err(|e| e.to_string())?;
        let base = server.stands_at(self.noted).await.map_err(|e| e.to_string())?;
        let parts = left(self.ready, &base)?;
        let goal = ends_at(self.ready, &base)?;
        let all = counted(&goal, &base.numbers())?;
        progress.stage("replaying");
        let (mut rest, mut number, mut known) = (parts.as_slice(), 0, base.numbers());
        let mut batch = self.batch(&mut rest, &mut number, known.clone()).await?;
        while let Some(now) = batch {
            known = now.reaches.clone();
            let told = |executed: &GtidSet| {
                let lacks = counted(&goal, &executed.numbers()).unwrap_or(all);
                progress.replayed(all - lacks.min(all), all);
            };
            let (applied, next) = tokio::join!(
                apply(&mut server, &now, told),
                self.batch(&mut rest, &mut number, known.clone())
            );
            applied?;
            batch = next?;
        }
        let ends = server.stands_at(self.noted).await.map_err(|e| e.to_string())?;
        is_at(&ends, &goal)?;
        Ok(goal)
    }

    /// Writes the next batch; none when nothing is left.
    async fn batch(
        &self,
        rest: &mut &[Part],
        number: &mut u32,
        mut known: GtidSet,
    ) -> Result<Option<Batch>, String> {
        let (mut bytes, mut files, mut index) = (0, Vec::new(), String::new());
        *number += 1;
        let channel = format!("baton{number}");
        while let Some((part, after)) = rest.split_first() {
            if bytes >= BATCH_BYTES || files.len() >= BATCH_PARTS {
                break;
            }
            let path = self.folder.join(format!("{RELAY}-{channel}.{:06}", files.len() + 1));
            bytes += cut(self.source, part, &path).await?;
            if let Some(owner) = self.owner {
                owner.give(&path)?;
            }
            known = known.union(&part.take).map_err(|e| e.to_string())?;
            index += &format!("{}\n", path.display());
            files.push(path);
            *rest = after;
        }
        let Some(first) = files.into_iter().next() else { return Ok(None) };
        let path = self.folder.join(format!("{RELAY}-{channel}.index"));
        fs::write(&path, index).map_err(|e| format!("{} cannot be written: {e}", path.display()))?;
        if let Some(owner) = self.owner {
            owner.give(&path)?;
        }
        Ok(Some(Batch { channel, first, reaches: known }))
    }
}

/// Applies one batch. `told` hears where the server stands.
async fn apply(server: &mut Replayer, batch: &Batch, told: impl Fn(&GtidSet)) -> Result<(), String> {
    let Batch { channel, first, reaches } = batch;
    server.apply(channel, first).await.map_err(|e| e.to_string())?;
    let (mut last, mut moved) = (None, Instant::now());
    loop {
        let now = server.applied(channel).await.map_err(|e| e.to_string())?;
        told(&now.executed);
        if now.executed.numbers().contains(reaches).map_err(|e| e.to_string())? {
            break;
        }
        if let Some(why) = now.stopped {
            return Err(format!("the restored server cannot replay what is archived: {why}"));
        }
        if last.as_ref() != Some(&now.executed) {
            (last, moved) = (Some(now.executed), Instant::now());
        } else if moved.elapsed() >= STALLED {
            return Err(format!("nothing has been replayed for {} s", STALLED.as_secs()));
        }
        sleep(LOOK).await;
    }
    server.end(channel).await.map_err(|e| e.to_string())
}

/// The parts that a server lacks which stands at `base`: it may have more than its backup's manifest says.
pub(super) fn left(ready: &Ready, base: &GtidSet) -> Result<Vec<Part>, String> {
    let mixed = |e: DialectMismatch| e.to_string();
    let (named, base) = (base, base.numbers());
    let more = base.subtract(&ready.goal).map_err(mixed)?;
    if !more.is_empty() && !ready.is_open {
        let more = more.named_by(named).map_err(mixed)?;
        return Err(format!(
            "the backup has {more}, which comes after the moment that is wanted: name one that was made before it with --backup"
        ));
    }
    let mut parts = Vec::new();
    for part in &ready.parts {
        let take = part.take.subtract(&base).map_err(mixed)?;
        if !take.is_empty() {
            parts.push(Part { take, ..part.clone() });
        }
    }
    Ok(parts)
}

/// What there is in the end, as numbers: where everything is wanted, also what the backup has and nobody has archived yet.
fn ends_at(ready: &Ready, base: &GtidSet) -> Result<GtidSet, String> {
    if ready.is_open {
        ready.goal.union(&base.numbers()).map_err(|e| e.to_string())
    } else {
        Ok(ready.goal.clone())
    }
}

/// Decrypts a segment, and writes what is taken of it. Bytes of the segment.
pub(super) async fn cut(source: &Source, part: &Part, path: &Path) -> Result<u64, String> {
    let (entry, take, path) = (part.entry.clone(), part.take.clone(), path.to_owned());
    let (store, keys, runtime) = (source.store.clone(), source.identities()?, Handle::current());
    let (id, bytes) = (entry.segment_id(), entry.stream.bytes);
    let cut = spawn_blocking(move || {
        cut_out(content(&store, &entry, keys, runtime), &entry.span.after, &take, &path)
    });
    let cut = cut.await.map_err(|e| format!("the thread that reads ended: {e}"))?;
    cut.map(|_| bytes).map_err(|why| format!("segment {id}: {why}"))
}

/// That a server has everything that it is to have, and nothing else.
pub(in crate::restore) fn is_at(ends: &GtidSet, goal: &GtidSet) -> Result<(), String> {
    let ends = ends.numbers();
    if ends == *goal {
        return Ok(());
    }
    let mixed = |e: DialectMismatch| e.to_string();
    let (lacks, more) = (goal.subtract(&ends).map_err(mixed)?, ends.subtract(goal).map_err(mixed)?);
    Err(format!("the restored server lacks {lacks}, and has {more} beside what it is to have"))
}

fn counted(goal: &GtidSet, known: &GtidSet) -> Result<u64, String> {
    Ok(goal.subtract(known).map_err(|e| e.to_string())?.count())
}
