//! Brings a copy of the source's data beside the own data directory: a stream from the source's node into `mbstream`, then
//! `mariadb-backup --prepare`. The server beside this node runs on meanwhile, and nothing of it is touched.

use std::fs::{self, File};
use std::process::ExitStatus;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::FutureExt;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout};
use tracing::info;

use super::place::{Mark, Note, Stage};
use super::tools::Found;
use super::{clear, exchange, on_disk};
use crate::backup::program::{command, said};
use crate::gtid::{GtidSet, MariadbSet};
use crate::operate::rebuild::{Far, Rebuilder, Work};
use crate::peers::reason;

/// What the programs say here.
const LOG: &str = "rebuild-take.log";
/// After the last piece nothing is left to unpack but what is in a pipe.
const UNPACKED_WITHIN: Duration = Duration::from_secs(300);
/// Applying the redo log of a copy: as long as a server's recovery takes, on one processor at low priority.
const PREPARED_WITHIN: Duration = Duration::from_secs(6 * 3600);

impl Rebuilder {
    /// Whether a copy can be taken here at all; asked before anything is done.
    pub(in crate::operate::rebuild) async fn ready_to_receive(&self, work: &Work) -> Result<(), String> {
        self.parts.tools.find().map_err(|why| format!("this node {why}"))?;
        self.place(work).await.map(drop)
    }

    async fn place(&self, work: &Work) -> Result<Note, String> {
        let places = self.server.data_places().await.map_err(|e| format!("its server: {e}"))?;
        let (id, attempt) = (work.id.clone(), work.attempt);
        on_disk(move || Note::of(&id, attempt, &places)).await
    }

    /// Has a complete copy beside the data. One that an earlier process of this node completed is taken as it is; anything
    /// less is removed and begun anew.
    pub(in crate::operate::rebuild) async fn receive(&self, work: &Work) -> Result<(), String> {
        let begun = Instant::now();
        let note = self.place(work).await?;
        if let Stage::Beside(_) = note.stage() {
            info!("the copy is there already");
            return Ok(());
        }
        self.stage(work, "removing what an earlier copy left");
        clear(note.copy()).await?;
        let (fresh, path) = (note.clone(), self.note_path());
        on_disk(move || {
            fresh.write(&path)?;
            let copy = fresh.copy();
            fs::create_dir(&copy).map_err(|e| format!("{} cannot be made: {e}", copy.display()))
        })
        .await?;
        let tools = self.parts.tools.find()?;
        let before = self.source_has(work).await?;
        let bytes = self.take_in(work, &note, &tools).await?;
        info!(bytes, "the copy has come in; its redo log is applied");
        self.stage(work, "applying the copy's redo log");
        self.run_to_end(&tools.prepare(&note.copy()), "mariadb-backup --prepare", PREPARED_WITHIN).await?;
        // A source that has died since is missed by nobody.
        let after = self.source_has(work).await.unwrap_or_else(|_| before.clone());
        let (id, attempt) = (work.id.clone(), work.attempt);
        let position = on_disk(move || {
            let position = exchange::position(&note.copy())?;
            let had = before.up_to(&position).union(&after);
            let mark = Mark { operation: id, attempt, position: position.clone(), had, bytes };
            exchange::complete(&note, &mark)?;
            Ok(position)
        })
        .await?;
        info!(bytes, %position, seconds = begun.elapsed().as_secs(), "the copy is complete");
        Ok(())
    }

    async fn source_has(&self, work: &Work) -> Result<MariadbSet, String> {
        let server = (self.remote)(&self.source(work)?);
        match server.executed().await.map_err(|e| format!("the source: {e}"))? {
            GtidSet::Mariadb(set) => Ok(set),
            GtidSet::Mysql(_) => Err("the source is no MariaDB server".into()),
        }
    }

    /// Unpacks the source's stream, watched. How many bytes came.
    async fn take_in(&self, work: &Work, note: &Note, tools: &Found) -> Result<u64, String> {
        let (bytes, total) = (AtomicU64::new(0), AtomicU64::new(0));
        let far = || {
            let (bytes, total) = (bytes.load(Ordering::Relaxed), total.load(Ordering::Relaxed));
            futures::future::ready(Some(Far { stage: "receiving".into(), bytes, total })).boxed()
        };
        self.stage(work, "asking for the copy");
        let source = self.source(work)?;
        tokio::select! {
            taken = self.unpack(work, note, tools, &bytes, &total) => taken?,
            why = self.watch(work, &source, far) => return Err(why),
        }
        Ok(bytes.into_inner())
    }

    async fn unpack(
        &self,
        work: &Work,
        note: &Note,
        tools: &Found,
        bytes: &AtomicU64,
        total: &AtomicU64,
    ) -> Result<(), String> {
        let epoch = self.states.borrow().epoch();
        let mut pieces = self.copies.open(&work.source, &work.id, work.attempt, epoch).await?;
        let mut words = self.program(&tools.unpack(&note.copy()))?;
        let mut child = words
            .stdin(std::process::Stdio::piped())
            .spawn()
            .map_err(|e| format!("mbstream cannot be started: {e}"))?;
        let mut input = child.stdin.take().ok_or("mbstream has no input")?;
        loop {
            let piece = pieces.message().await.map_err(|e| format!("{}: {}", work.source, reason(&e)))?;
            let piece = piece.ok_or_else(|| format!("{}: the stream broke off", work.source))?;
            if total.swap(piece.total, Ordering::Relaxed) != piece.total {
                has_room(note, piece.total)?;
            }
            if let Err(error) = input.write_all(&piece.data).await {
                return Err(format!("mbstream takes no more ({error}): {}", said(&self.parts.run.join(LOG))));
            }
            bytes.fetch_add(piece.data.len() as u64, Ordering::Relaxed);
            if piece.last {
                break;
            }
        }
        drop(input);
        self.ends(child, "mbstream", UNPACKED_WITHIN).await
    }

    fn program(&self, words: &[std::ffi::OsString]) -> Result<Command, String> {
        let log = self.parts.run.join(LOG);
        let file = File::create(&log).map_err(|e| format!("{} cannot be written: {e}", log.display()))?;
        Ok(command(words, file))
    }

    async fn run_to_end(
        &self,
        words: &[std::ffi::OsString],
        name: &str,
        within: Duration,
    ) -> Result<(), String> {
        let child = self.program(words)?.spawn().map_err(|e| format!("{name} cannot be started: {e}"))?;
        self.ends(child, name, within).await
    }

    /// Only status 0 is a success.
    async fn ends(&self, mut child: Child, name: &str, within: Duration) -> Result<(), String> {
        match timeout(within, child.wait()).await {
            Ok(Ok(status)) if ExitStatus::success(&status) => Ok(()),
            Ok(Ok(status)) => Err(format!("{name} ended with {status}: {}", said(&self.parts.run.join(LOG)))),
            Ok(Err(error)) => Err(format!("{name}: {error}")),
            Err(_) => Err(format!("{name} was not done within {} s and was killed", within.as_secs())),
        }
    }
}

fn has_room(note: &Note, total: u64) -> Result<(), String> {
    let copy = note.copy();
    let free = exchange::free(&copy)?;
    if free >= total {
        return Ok(());
    }
    Err(format!("{} has {free} bytes free and the copy needs {total}; make room there", copy.display()))
}
