//! Archives this node's binlog while it is its turn, in a process of its own that is begun again when it ends.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use crate::archive::process::{Archiving as Working, Done, Event};
use crate::archive::run::{ArchiveSpec, Progress};
use crate::archive::spool::{Left, left};
use crate::backup::pipeline::Recipients;
use crate::backup::run::{AccountSpec, StoreSpec};
use crate::decide::archive::Archiving;
use crate::state::{ClusterState, NodeName};

/// Without news, the state is looked at again this often.
const TICK: Duration = Duration::from_secs(1);
/// Before a process that came to nothing is begun again; twice as long each time, up to the most.
const PAUSE: Duration = Duration::from_secs(3);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// What waits on this node's disk is sent, whosever turn it is, but not more often than this.
const REST_AGAIN: Duration = Duration::from_secs(30);
/// A process that says nothing for so long is stuck. It speaks every second, but for a server that does not answer.
const SILENT: Duration = Duration::from_secs(120);

/// What only the caller knows.
#[derive(Clone)]
pub struct ArchiveParts {
    /// This program.
    pub program: PathBuf,
    /// How it is done; `None` where the configuration has no archive.
    pub settings: Option<Arc<ArchiveSettings>>,
}

/// How this node archives, as its configuration has it.
#[derive(Debug, Clone)]
pub struct ArchiveSettings {
    /// How the server is reached.
    pub account: AccountSpec,
    /// Who can read the archive.
    pub recipients: Recipients,
    /// Where it lies.
    pub store: StoreSpec,
    /// The folder for what waits.
    pub spool: PathBuf,
    /// The most that waits there, in bytes.
    pub spool_bytes: u64,
    /// What stays free on its disk, in bytes.
    pub keep_free_bytes: u64,
    /// A segment ends soon after it has so many bytes.
    pub segment_bytes: u64,
    /// And at the latest after this.
    pub segment_every: Duration,
}

/// What an earlier process left in a spool. Nothing, if that cannot be known: whoever is to read next says why.
async fn left_in(spool: &Path) -> Left {
    let spool = spool.to_owned();
    spawn_blocking(move || left(&spool)).await.ok().and_then(Result::ok).unwrap_or_default()
}

/// How a process came to nothing.
struct Ended {
    why: String,
    /// Its server cannot send what the archive lacks.
    lacks: bool,
}

impl From<String> for Ended {
    fn from(why: String) -> Self {
        Self { why, lacks: false }
    }
}

/// Archives for one node.
pub struct ArchiveRunner {
    /// This node.
    pub me: NodeName,
    /// The cluster's name.
    pub cluster: String,
    /// What only the caller knows.
    pub parts: ArchiveParts,
    /// The replicated state, as applied here.
    pub states: watch::Receiver<Arc<ClusterState>>,
    /// Told how it goes.
    pub progress: watch::Sender<Option<Archiving>>,
}

impl ArchiveRunner {
    /// Archives whenever it is this node's turn, for ever.
    pub async fn run(mut self) {
        let Some(settings) = self.parts.settings.clone() else { return };
        self.progress.send_replace(Some(Archiving::default()));
        let mut rests_from = Instant::now();
        loop {
            let state = Arc::clone(&self.states.borrow_and_update());
            let wanted = self.wanted(&settings, &state);
            if let Some(spec) = wanted {
                let ended = self.archive(&settings, &spec).await;
                self.note(ended);
                let times = self.progress.borrow().as_ref().map_or(0, |now| now.ended);
                if times > 0 {
                    sleep(PAUSE.saturating_mul(1 << (times - 1).min(10)).min(PAUSE_MAX)).await;
                }
                continue;
            }
            let left = left_in(&settings.spool).await;
            self.progress.send_replace(Some(Archiving { aside: left.aside, ..Archiving::default() }));
            if left.waiting > 0 && rests_from <= Instant::now() {
                let spec = ArchiveSpec { follows: false, ..self.spec(&settings, &state, false) };
                if let Err(Ended { why, .. }) = self.archive(&settings, &spec).await {
                    warn!(why, "what waits on this node's disk is not in the store");
                }
                rests_from = Instant::now() + REST_AGAIN;
                continue;
            }
            if let Ok(Err(_)) = timeout(TICK, self.states.changed()).await {
                return;
            }
        }
    }

    /// What is to be done now; nothing when it is another one's turn. Another spec is another process.
    fn wanted(&self, settings: &ArchiveSettings, state: &ClusterState) -> Option<ArchiveSpec> {
        let collector = state.collector.as_ref().filter(|collector| collector.node == self.me)?;
        Some(self.spec(settings, state, collector.may_leap))
    }

    fn spec(&self, settings: &ArchiveSettings, state: &ClusterState, may_leap: bool) -> ArchiveSpec {
        ArchiveSpec {
            cluster: self.cluster.clone(),
            epoch: state.epoch().0,
            is_writer: state.grant.as_ref().is_some_and(|grant| grant.node == self.me),
            node: self.me.to_string(),
            account: settings.account.clone(),
            recipients: settings.recipients.clone(),
            store: settings.store.clone(),
            spool: settings.spool.clone(),
            spool_bytes: settings.spool_bytes,
            segment_bytes: settings.segment_bytes,
            segment_ms: u64::try_from(settings.segment_every.as_millis()).unwrap_or(u64::MAX),
            keep_free_bytes: settings.keep_free_bytes,
            follows: true,
            may_leap,
        }
    }

    /// Until it is not wanted any more, which is well, or it came to nothing.
    async fn archive(&self, settings: &ArchiveSettings, spec: &ArchiveSpec) -> Result<(), Ended> {
        info!(epoch = spec.epoch, is_writer = spec.is_writer, "the binlog is archived here");
        let mut working = Working::start(&self.parts.program, spec).await?;
        let mut states = self.states.clone();
        loop {
            // What only sends what waits gives way to what reads the server.
            let is_unwanted = |state: &Arc<ClusterState>| {
                let wanted = self.wanted(settings, state);
                if spec.follows { wanted.as_ref() != Some(spec) } else { wanted.is_some() }
            };
            let unwanted = async {
                // Without a state to come the daemon ends.
                drop(states.wait_for(is_unwanted).await);
            };
            let event = tokio::select! {
                event = timeout(SILENT, working.next()) => event,
                () = unwanted => {
                    working.give_up().await;
                    return Ok(());
                }
            };
            match event {
                Ok(Event::Progress(_)) if !spec.follows => {}
                // Nothing else is known yet than how long it takes; what was said before stays.
                Ok(Event::Progress(now)) if now.begins => self.progress.send_modify(|known| {
                    let known = known.get_or_insert_default();
                    known.lag_ms = known.lag_ms.max(now.lag_ms);
                }),
                Ok(Event::Progress(now)) => self.tell(&settings.store.name, now),
                Ok(Event::Done(Done::Stopped)) => return Ok(()),
                Ok(Event::Done(Done::Lacks(why))) => return Err(Ended { why, lacks: true }),
                Ok(Event::Failed(why)) => return Err(why.into()),
                Err(_) => return Err(format!("it has said nothing for {} s", SILENT.as_secs()).into()),
            }
        }
    }

    /// Only one that got on has come to something: a process speaks before it fails, too.
    fn tell(&self, store: &str, now: Progress) {
        let before = self.progress.borrow().as_ref().map_or(0, |before| before.ended);
        // Nothing is known of what it lacks before its first look.
        let gets_on = now.sent > 0 || now.behind == 0 && now.archived_ms > 0;
        self.progress.send_replace(Some(Archiving {
            works: true,
            lag_ms: now.lag_ms,
            behind: now.behind,
            archived_ms: now.archived_ms,
            sent: now.sent,
            failed: now.failed,
            ended: if gets_on { 0 } else { before },
            error: now.error,
            lacks: false,
            holes: now.holes,
            unreadable: now.unreadable,
            aside: now.aside,
            waits: now.waits,
            stretches: now.stretches.iter().map(|stretch| (stretch.first_ms, stretch.last_ms)).collect(),
            sets: now.stretches.into_iter().map(|stretch| stretch.sets).collect(),
            since_ms: now.since_ms,
            store: store.to_owned(),
        }));
    }

    /// How it ended. What was said before stays, so that nobody takes silence for health.
    fn note(&self, ended: Result<(), Ended>) {
        self.progress.send_modify(|now| {
            let now = now.get_or_insert_default();
            now.works = false;
            match ended {
                Ok(()) => now.ended = 0,
                Err(Ended { why, lacks }) => {
                    warn!(why, "the archive of the binlog does not get on");
                    now.ended = now.ended.saturating_add(1);
                    (now.error, now.lacks) = (why, lacks);
                }
            }
        });
    }
}
