//! The steps of a rebuild on MySQL, by CLONE.

use std::time::Duration;

use futures::FutureExt;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::{Far, LOOK, Rebuilder, STARTS_WITHIN, Work};
use crate::decide::seen::Process;
use crate::sql::SqlError;
use crate::sql::clone::CloneSeen;

/// How long a supervisor may take to start a server that has ended, before this node does.
const SUPERVISED: Duration = Duration::from_secs(3);
/// After a start that did not help.
const START_AGAIN: Duration = Duration::from_secs(60);
/// How long a copy that is being ended may take to be gone.
const ENDS_WITHIN: Duration = Duration::from_secs(60);

impl Rebuilder {
    /// Both servers have the plugin.
    pub(super) async fn ready_to_clone(&self, source: &str) -> Result<(), String> {
        self.server.clone_seen().await.map_err(|e| format!("its server: {e}"))?;
        (self.remote)(source).clone_seen().await.map_err(|e| format!("the source: {e}"))?;
        Ok(())
    }

    /// Replaces the data. Called again for the same step it finds out how far it was: a copy that is complete is not made
    /// twice, and one that is under way belongs to a process that has ended.
    pub(super) async fn copy(&self, work: &Work) -> Result<String, String> {
        let begun = Instant::now();
        if !self.is_copied(work).await? {
            self.end_leftover(work).await?;
            let source = self.source(work)?;
            let donor = (self.parts.donor_at)(&source)?;
            let permit = self.permit(work);
            tokio::select! {
                cloned = self.server.copy_from(&donor, &permit) => cloned.map_err(|e| e.to_string())?,
                why = self.watch(work, &source, || self.far().boxed()) => return Err(why),
            }
            info!("the copy is there; the server restarts with it");
        }
        self.stage(work, "waiting for the server to start with its new data");
        let bytes = self.started(work).await?;
        Ok(format!("{bytes} bytes from {} in {} s", work.source, begun.elapsed().as_secs()))
    }

    async fn far(&self) -> Option<Far> {
        let seen = self.server.clone_seen().await.ok().filter(CloneSeen::in_progress)?;
        Some(Far { stage: seen.stage.to_lowercase(), bytes: seen.bytes, total: seen.total })
    }

    /// Whether the copy of this very step is complete. A server that does not answer may be about to start with it.
    async fn is_copied(&self, work: &Work) -> Result<bool, String> {
        match self.server.clone_seen().await {
            Ok(seen) => Ok(seen.completed_since(work.step_ms)),
            Err(error @ SqlError::NoSuchThing { .. }) => Err(error.to_string()),
            Err(_) => Ok(true),
        }
    }

    async fn end_leftover(&self, work: &Work) -> Result<(), String> {
        let begun = Instant::now();
        while self.server.clone_seen().await.map_err(|e| e.to_string())?.in_progress() {
            self.server.end_clone(&self.permit(work)).await.map_err(|e| e.to_string())?;
            if begun.elapsed() >= ENDS_WITHIN {
                return Err("an earlier copy goes on and cannot be ended; restart the server".into());
            }
            sleep(LOOK).await;
        }
        Ok(())
    }

    /// Waits until the server runs with the copy, and starts it where nobody else does. How many bytes were copied.
    async fn started(&self, work: &Work) -> Result<u64, String> {
        let begun = Instant::now();
        let mut down_since: Option<Instant> = None;
        let mut start_at = SUPERVISED;
        loop {
            match self.server.clone_seen().await {
                Ok(seen) if seen.completed_since(work.step_ms) => return Ok(seen.bytes),
                Ok(seen) if !seen.in_progress() => {
                    return Err(format!("the server runs without the copy: {} {}", seen.state, seen.error));
                }
                Ok(_) => down_since = None,
                Err(_) if matches!(*self.process.borrow(), Process::Gone { .. } | Process::Absent) => {
                    let down = *down_since.get_or_insert_with(Instant::now);
                    if down.elapsed() >= start_at {
                        self.start(work).await;
                        start_at = down.elapsed() + START_AGAIN;
                    }
                }
                Err(_) => {}
            }
            if begun.elapsed() >= STARTS_WITHIN {
                return Err(format!("the server has not started within {} s", STARTS_WITHIN.as_secs()));
            }
            sleep(LOOK).await;
        }
    }

    async fn start(&self, work: &Work) {
        match self.parts.unit.start().await {
            Ok(()) => info!("the server's start was asked for"),
            Err(why) => {
                warn!(why, "the server does not start");
                self.stage(work, &format!("start the server by hand: {why}"));
            }
        }
    }

    /// The server runs with its new data: what came along and is not its own goes.
    pub(super) async fn finish(&self, work: &Work) -> Result<String, String> {
        let permit = self.permit(work);
        let forget = self.server.forget_copied_source(&permit);
        forget.await.map_err(|e| format!("the source's own replication cannot be forgotten: {e}"))?;
        let executed = self.server.executed().await.map_err(|e| e.to_string())?;
        Ok(format!("has {executed}"))
    }
}
