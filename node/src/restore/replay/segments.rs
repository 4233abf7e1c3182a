//! The segments of a store that are asked for, read on threads that may block.

use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

use super::preview::{Near, wanted};
use super::stop::Read;
use crate::archive::entry::Entry;
use crate::archive::open::content;
use crate::archive::part::{Seen, transactions};
use crate::archive::tell::{Told, told};
use crate::backup::pipeline::StreamReader;
use crate::backup::store::StoredObjects;
use crate::gtid::GtidSet;
use crate::restore::flow::Source;

/// Those that the pieces of a course are numbered by.
pub(super) struct Segments<'s> {
    pub(super) source: &'s Source,
    pub(super) entries: &'s [Entry],
}

impl Segments<'_> {
    /// What the transactions of a list did, each of them with its piece and whether it is replayed.
    pub(super) async fn near(&self, list: &[(usize, Seen, bool)]) -> Result<Vec<Near>, String> {
        let mut all = Vec::new();
        for run in list.chunk_by(|one, next| one.0 == next.0) {
            let Some((piece, _, _)) = run.first() else { continue };
            let Some(numbers) = wanted(run, *piece).map_err(|e| e.to_string())? else { continue };
            let told = self.read(*piece, move |content, after| told(content, after, &numbers)).await?;
            let is_replayed = |told: &Told| run.iter().any(|(_, seen, is_in)| *is_in && *seen == told.seen);
            all.extend(told.into_iter().map(|told| {
                let is_in = is_replayed(&told);
                Near::of(told, is_in)
            }));
        }
        Ok(all)
    }

    /// Reads a segment on a thread of its own.
    async fn read<T: Send + 'static>(
        &self,
        piece: usize,
        what: impl FnOnce(StreamReader<StoredObjects>, &GtidSet) -> Result<T, String> + Send + 'static,
    ) -> Result<T, String> {
        let entry = self.entries.get(piece).ok_or("there is no such segment")?.clone();
        let (store, keys, runtime) =
            (self.source.store.clone(), self.source.identities()?, Handle::current());
        let id = entry.segment_id();
        let read = spawn_blocking(move || what(content(&store, &entry, keys, runtime), &entry.span.after));
        let read = read.await.map_err(|e| format!("the thread that reads ended: {e}"))?;
        read.map_err(|why| format!("segment {id}: {why}"))
    }
}

impl Read for Segments<'_> {
    async fn transactions(&self, piece: usize) -> Result<Vec<Seen>, String> {
        self.read(piece, transactions).await
    }
}
