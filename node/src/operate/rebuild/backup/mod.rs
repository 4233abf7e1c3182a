//! The steps of a rebuild on MariaDB: a copy of the source's data is made beside the own data directory, and takes its
//! place in one step while the server is stopped. Until then nothing is lost, so on MariaDB all the copying belongs to
//! [`RebuildStep::Prepare`](crate::state::RebuildStep::Prepare), and the commit that discards comes right before the stop.

mod exchange;
mod place;
mod receive;
mod tools;

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::{LOOK, Rebuilder, STARTS_WITHIN, Work};
use crate::decide::seen::Process;
use crate::sql::backup::CopyPosition;
use place::{Note, Stage, mark_of, remove};

pub use tools::Tools;

/// In the node's data directory.
const NOTE: &str = "rebuild.json";
/// After a start that did not help.
const START_AGAIN: Duration = Duration::from_secs(60);
/// How long a server that was stopped may hold its data.
const LETS_GO_WITHIN: Duration = Duration::from_secs(60);

/// A server that answers for so long after a stop was given up is not about to end.
const STAYS_UP: Duration = Duration::from_secs(15);
/// How often a folder's removal is tried.
const CLEARS: u32 = 10;

/// Work that waits for a disk, on a thread of its own.
async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.map_err(|e| format!("the work on the disk ended: {e}"))?
}

/// Removes a folder. A program of an earlier process of this node may be writing there still, for a moment.
async fn clear(folder: PathBuf) -> Result<(), String> {
    let mut tries = CLEARS;
    loop {
        let path = folder.clone();
        tries -= 1;
        match on_disk(move || remove(&path)).await {
            Err(why) if tries > 0 => info!(why, "once more"),
            done => return done,
        }
        sleep(LOOK).await;
    }
}

impl Rebuilder {
    fn note_path(&self) -> PathBuf {
        self.parts.data.join(NOTE)
    }

    fn note_of(&self, work: &Work) -> Option<Note> {
        Note::read(&self.note_path()).filter(|n| n.operation == work.id && n.attempt == work.attempt)
    }

    /// Whether a copy of this attempt was begun here.
    pub(super) fn has_begun_a_copy(&self, work: &Work) -> bool {
        self.note_of(work).is_some()
    }

    /// Stops the server, puts the copy in the place of its data, and starts it. Called again for the same step it goes on
    /// where it was.
    pub(super) async fn replace(&self, work: &Work) -> Result<String, String> {
        let begun = Instant::now();
        let mut note = self.note_of(work).ok_or("nothing is known here of a copy")?;
        let mark = match note.stage() {
            Stage::Missing => return Err("the copy is gone".into()),
            Stage::InPlace(mark) => mark,
            Stage::Beside(mark) => {
                self.stage(work, "exchanging the data");
                self.exchange(work, &mut note).await?;
                mark
            }
        };
        self.stage(work, "waiting for the server to start with its new data");
        self.runs(work).await?;
        self.put_down(&mut note, false)?;
        Ok(format!(
            "{} bytes from {}; the server was away for {} s",
            mark.bytes,
            work.source,
            begun.elapsed().as_secs()
        ))
    }

    async fn exchange(&self, work: &Work, note: &mut Note) -> Result<(), String> {
        let permit = self.permit(work);
        permit.check("stop of the server").map_err(|e| e.to_string())?;
        if let Ok(pulse) = self.server.pulse().await
            && !pulse.switch.is_closed()
        {
            return Err("its server is open".into());
        }
        self.put_down(note, true)?;
        permit.check("stop of the server").map_err(|e| e.to_string())?;
        self.parts.unit.for_mariadb().stop().await?;
        let stopped = Instant::now();
        let held = loop {
            if let Some(held) = exchange::lock(note)? {
                break held;
            }
            if stopped.elapsed() >= LETS_GO_WITHIN {
                return Err("a server still runs with the data; does [rebuild] stop stop it?".into());
            }
            sleep(LOOK).await;
        };
        let ready = note.clone();
        on_disk(move || exchange::exchange(&ready, held, &permit)).await?;
        info!(data = %note.data.display(), "the copy is the data directory now");
        Ok(())
    }

    /// Notes whether this node has stopped the server, so that it is started again whatever happens.
    fn put_down(&self, note: &mut Note, stopped: bool) -> Result<(), String> {
        note.stopped = stopped;
        note.write(&self.note_path())
    }

    /// Starts the server and waits until it answers.
    async fn runs(&self, work: &Work) -> Result<(), String> {
        let begun = Instant::now();
        let mut start_at = Duration::ZERO;
        while self.server.pulse().await.is_err() {
            if self.is_down() && begun.elapsed() >= start_at {
                if let Err(why) = self.parts.unit.for_mariadb().start().await {
                    warn!(why, "the server does not start");
                    self.stage(work, &format!("start the server by hand: {why}"));
                }
                start_at = begun.elapsed() + START_AGAIN;
            }
            if begun.elapsed() >= STARTS_WITHIN {
                return Err(format!("the server has not started within {} s", STARTS_WITHIN.as_secs()));
            }
            sleep(LOOK).await;
        }
        Ok(())
    }

    async fn stays_up(&self) -> bool {
        let since = Instant::now();
        while since.elapsed() < STAYS_UP {
            sleep(LOOK).await;
            if self.server.pulse().await.is_err() {
                return false;
            }
        }
        true
    }

    fn is_down(&self) -> bool {
        matches!(*self.process.borrow(), Process::Gone { .. } | Process::Absent)
    }

    /// The server runs with the copy: it gets the copy's positions.
    pub(super) async fn settle(&self, work: &Work) -> Result<String, String> {
        let places = self.server.data_places().await.map_err(|e| format!("its server: {e}"))?;
        let mark = mark_of(&places.data).filter(|m| m.operation == work.id && m.attempt == work.attempt);
        let mark = mark.ok_or("its data is not the copy")?;
        let copy = CopyPosition { position: mark.position, had: mark.had };
        let taken = self.server.take_position(&copy, &self.permit(work)).await;
        taken.map_err(|e| format!("the copy's position cannot be set: {e}"))?;
        let executed = self.server.executed().await.map_err(|e| e.to_string())?;
        Ok(format!("has {executed}"))
    }

    /// Between rebuilds: starts a server that this node has stopped, and removes what is not needed any more. True when
    /// nothing is left to do.
    pub(super) async fn tidy(&self) -> bool {
        let Some(mut note) = Note::read(&self.note_path()) else { return true };
        let answers = self.server.pulse().await.is_ok();
        if note.stopped {
            if !answers && self.is_down() {
                let started = self.parts.unit.for_mariadb().start().await;
                info!(?started, "the server that was stopped for a rebuild is started");
            }
            // Its stop may be under way still, whoever asked for it has ended.
            if !answers || !self.stays_up().await || self.put_down(&mut note, false).is_err() {
                return false;
            }
        }
        // What lies beside is an unfinished copy, or the old data: that is kept until the new has been seen to run.
        let in_place = matches!(note.stage(), Stage::InPlace(_));
        if in_place && !answers {
            return false;
        }
        let path = self.note_path();
        let gone = async {
            clear(note.copy()).await?;
            on_disk(move || remove(&path)).await
        };
        // The next rebuild would try it again.
        if let Err(why) = gone.await {
            warn!(why, "what a rebuild left stays");
        }
        true
    }
}
