//! Brings what waits on this node's disk to the store, segment after segment.

use std::time::Duration;

use jiff::Timestamp;
use rand::Rng;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tracing::warn;

use super::coverage::Piece;
use super::index::Index;
use super::run::{ArchiveSpec, Shared, locked};
use super::send::send;
use super::shelving::Shelving;
use super::spool::{Spool, Waiting};
use crate::backup::store::Store;

/// After an upload that failed: at first, and at most.
const PAUSE: Duration = Duration::from_secs(2);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Sends from one spool to one store.
pub(super) struct Sender<'s> {
    spec: &'s ArchiveSpec,
    store: &'s Store,
    spool: &'s Spool,
    shelving: Shelving,
}

impl<'s> Sender<'s> {
    pub(super) fn new(spec: &'s ArchiveSpec, store: &'s Store, spool: &'s Spool) -> Self {
        Self { spec, store, spool, shelving: Shelving::new(&spec.cluster, &spec.node) }
    }

    pub(super) fn store(&self) -> &'s Store {
        self.store
    }

    /// Sends what an earlier process left: it may be all that there is of it.
    pub(super) async fn rest(&mut self) -> Result<(), String> {
        for waiting in self.spool.waiting()? {
            self.send(&waiting).await?;
        }
        Ok(())
    }

    /// Has the roll-ups written that are due.
    pub(super) async fn tidy(&mut self, index: &Index) {
        self.shelving.tidy(self.store, index).await;
    }

    /// Sends segment after segment, each until the store has it.
    pub(super) async fn all(
        &mut self,
        shared: &Shared,
        mut waiting: mpsc::Receiver<Waiting>,
    ) -> Result<(), String> {
        while let Some(next) = waiting.recv().await {
            let mut pause = PAUSE;
            while let Err(why) = self.send(&next).await {
                warn!(why, "a segment of the binlog is not in the store");
                {
                    let mut progress = locked(&shared.progress);
                    progress.failed = progress.failed.saturating_add(1);
                    progress.error = why;
                }
                sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
            {
                let mut safe = locked(&shared.safe);
                *safe = safe.union(&next.span.added).map_err(|e| e.to_string())?;
            }
            let holes = locked(&shared.holes).subtract(&next.span.added).map_err(|e| e.to_string())?;
            shared.lacks(holes);
            let mut progress = locked(&shared.progress);
            progress.sent += 1;
            (progress.failed, progress.error) = (0, String::new());
            progress.archived_ms = progress.archived_ms.max(next.span.last_ms);
            if let Some(newest) = progress.stretches.last_mut() {
                newest.goes_on(&next.span).map_err(|e| e.to_string())?;
            }
            drop(progress);
            shared.sent.notify_waiters();
        }
        Ok(())
    }

    async fn send(&mut self, waiting: &Waiting) -> Result<(), String> {
        let Waiting { timeline, span, server, .. } = waiting;
        let now_ms = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default();
        let shelf = self.shelving.shelf(*timeline, now_ms, rand::rng().random());
        send(self.store, &self.spec.recipients, &shelf, waiting, self.spool.content(waiting)).await?;
        self.spool.remove(waiting)?;
        let writer = Some(server.node.clone()).filter(|_| server.is_writer);
        self.shelving.stands(self.store, Piece { timeline: *timeline, writer, span: span.clone() }).await;
        Ok(())
    }
}
