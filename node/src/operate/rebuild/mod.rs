//! Rebuilds the server beside this node from another one's data. The leader chooses the source ([`crate::decide::rebuild`]);
//! everything else is done here, by the node whose server it is, from the step that the group has committed. So neither a
//! change of leader nor a restart of this node ends a rebuild.
//!
//! What discards the old data is allowed by a commit of its own ([`RebuildStep::Copy`]), in which the group checks again
//! that this is not the writer, that it is out, and that what only it has is archived.

mod backup;
mod clone;
mod copies;
mod donor;
mod journal;
mod unit;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use super::attend::{Remote, SourceAt};
use super::propose::Proposer;
use crate::backup::account::LocalAccount;
use crate::decide::copying::{Copying, Samples};
use crate::decide::seen::Process;
use crate::gtid::Dialect;
use crate::sql::{CloseOptions, ManagedServer, Permit};
use crate::state::{Change, ClusterState, NodeName, OperationId, Rebuild, RebuildStep, UnixMillis};

pub use backup::Tools;
pub use copies::Copies;
pub use donor::{Donor, Pieces};
pub use unit::Unit;

/// Without news the state is looked at this often.
const TICK: Duration = Duration::from_secs(1);
/// Between two looks at the server, its progress or its source.
const LOOK: Duration = Duration::from_millis(500);
/// How long a server may take to answer before a copy begins.
const ANSWERS_WITHIN: Duration = Duration::from_secs(60);
/// How long a step waits for a failover to end.
const GATE_WITHIN: Duration = Duration::from_secs(600);
/// A source that has not answered for so long ends the attempt.
const SOURCE_SILENT: Duration = Duration::from_secs(10);
/// A copy that has not grown for so long ends the attempt.
const STALLED: Duration = Duration::from_secs(120);
/// How long a server may take to be up with its new data, its recovery included; also when a person has to start it.
const STARTS_WITHIN: Duration = Duration::from_secs(1800);

/// What a rebuild needs beside the group.
#[derive(Clone)]
pub struct RebuildParts {
    /// Another server with Baton's own account, which may copy from it.
    pub donor_at: SourceAt,
    /// Starts and stops the server beside this node.
    pub unit: Unit,
    /// Whether the server may be ended and started for a rehearsal.
    pub rehearsal: bool,
    /// mariadb-backup.
    pub tools: Tools,
    /// The account with which that reads the server beside this node.
    pub account: LocalAccount,
    /// The run directory: for what ends with a program.
    pub run: PathBuf,
    /// The data directory of this node: for what its next process has to know.
    pub data: PathBuf,
}

/// Rebuilds the server beside this node whenever the group wants it.
pub struct Rebuilder {
    /// This node.
    pub me: NodeName,
    /// Its server.
    pub server: Arc<dyn ManagedServer>,
    /// Its server's process.
    pub process: watch::Receiver<Process>,
    /// Other servers.
    pub remote: Remote,
    /// What only the caller knows.
    pub parts: RebuildParts,
    /// Copies of other nodes' servers.
    pub copies: Copies,
    /// The replicated state, as applied here.
    pub states: watch::Receiver<Arc<ClusterState>>,
    /// Proposals in this node's name.
    pub proposer: Proposer,
    /// Told how far it is.
    pub progress: watch::Sender<Option<Copying>>,
}

/// How far a copy is.
struct Far {
    stage: String,
    bytes: u64,
    total: u64,
}

/// One attempt of one rebuild.
#[derive(Clone, Debug, PartialEq)]
struct Work {
    id: OperationId,
    attempt: u32,
    source: NodeName,
    step: RebuildStep,
    step_ms: UnixMillis,
    discarded: bool,
}

impl Work {
    fn of(state: &ClusterState, me: &NodeName) -> Option<Self> {
        let Rebuild { operation, source, attempt, step, step_ms, discarded, .. } = state.rebuild_of(me)?;
        let source = source.clone().filter(|_| *step < RebuildStep::Follow)?;
        let (step, step_ms, discarded) = (*step, *step_ms, *discarded);
        Some(Self { id: operation.id.clone(), attempt: *attempt, source, step, step_ms, discarded })
    }

    fn is_same_attempt(&self, other: Option<&Self>) -> bool {
        other.is_some_and(|o| o.id == self.id && o.attempt == self.attempt)
    }
}

impl Rebuilder {
    /// Looks after rebuilds for ever.
    pub async fn run(mut self) {
        let mut is_tidy = false;
        loop {
            let work = Work::of(&self.states.borrow_and_update(), &self.me);
            if let Some(work) = work {
                self.work(&work).await;
                is_tidy = false;
            } else if !is_tidy {
                is_tidy = self.tidy().await;
            }
            if let Ok(Err(_)) = timeout(TICK, self.states.changed()).await {
                return;
            }
        }
    }

    /// One attempt, until it has ended or the group wants another one or none.
    async fn work(&self, work: &Work) {
        info!(operation = %work.id, attempt = work.attempt, source = %work.source, step = %work.step, "rebuild");
        let mut states = self.states.clone();
        let over = async {
            let is_over =
                |state: &Arc<ClusterState>| !work.is_same_attempt(Work::of(state, &self.me).as_ref());
            let _ended = states.wait_for(is_over).await;
        };
        let ended = tokio::select! {
            ended = self.attempt(work) => Some(ended),
            () = over => None,
        };
        self.progress.send_replace(None);
        let Some(Err(why)) = ended else {
            let done =
                self.states.borrow().rebuild_of(&self.me).is_some_and(|r| r.step >= RebuildStep::Follow);
            if ended.is_none() && !done {
                self.close().await;
            }
            return;
        };
        warn!(operation = %work.id, attempt = work.attempt, why, "the rebuild's attempt has failed");
        self.close().await;
        let failed = Change::RebuildFailed { operation: work.id.clone(), attempt: work.attempt, why };
        if let Err(why) = self.proposer.must(failed).await {
            // Still the same in the state: the attempt goes on from its step.
            warn!(why, "the group was not told");
        }
    }

    /// A copy needs `super_read_only` off while it runs; whatever ended it, it is on again.
    async fn close(&self) {
        if let Err(error) = self.server.close(&CloseOptions::default()).await {
            info!(%error, "the server was not closed again; it comes up closed");
        }
    }

    async fn attempt(&self, work: &Work) -> Result<(), String> {
        let mut at = work.clone();
        let dialect = self.dialect(&at).await?;
        if at.step == RebuildStep::Prepare {
            self.prepare(&at, dialect).await?;
            if dialect == Dialect::Mariadb {
                self.receive(&at).await?;
            }
            at.step_ms = self.discard(&at).await?;
            at.step = RebuildStep::Copy;
        }
        if at.step == RebuildStep::Copy {
            let detail = match dialect {
                Dialect::Mysql => self.copy(&at).await?,
                Dialect::Mariadb => self.replace(&at).await?,
            };
            self.commit(&at, RebuildStep::Start, None, detail).await?;
        }
        self.stage(&at, "starting with the new data");
        let detail = match dialect {
            Dialect::Mysql => self.finish(&at).await?,
            Dialect::Mariadb => self.settle(&at).await?,
        };
        self.commit(&at, RebuildStep::Follow, None, detail).await
    }

    /// Which way this rebuild goes. A server that does not run cannot say what it is: on MariaDB a note on the disk tells
    /// then that a copy was begun here.
    async fn dialect(&self, work: &Work) -> Result<Dialect, String> {
        if self.has_begun_a_copy(work) {
            return Ok(Dialect::Mariadb);
        }
        let begun = Instant::now();
        loop {
            match self.server.executed().await {
                Ok(set) => return Ok(set.dialect()),
                Err(_) if work.step > RebuildStep::Prepare => return Ok(Dialect::Mysql),
                Err(error) if begun.elapsed() >= ANSWERS_WITHIN => {
                    return Err(format!("its server: {error}"));
                }
                Err(_) => sleep(TICK).await,
            }
        }
    }

    /// Sees to it that nothing stands in the way while nothing is lost yet.
    async fn prepare(&self, work: &Work, dialect: Dialect) -> Result<(), String> {
        self.stage(work, "preparing");
        let begun = Instant::now();
        loop {
            let Err(why) = self.ready(work, dialect).await else { return Ok(()) };
            if begun.elapsed() >= ANSWERS_WITHIN {
                return Err(why);
            }
            sleep(TICK).await;
        }
    }

    async fn ready(&self, work: &Work, dialect: Dialect) -> Result<(), String> {
        let pulse = self.server.pulse().await.map_err(|e| format!("its server: {e}"))?;
        if !pulse.switch.is_closed() {
            return Err("its server is open".into());
        }
        let source = self.source(work)?;
        match dialect {
            Dialect::Mysql => self.ready_to_clone(&source).await,
            Dialect::Mariadb => self.ready_to_receive(work).await,
        }
    }

    /// Withdrawn when the group wants another attempt or none, or this is the writer.
    fn permit(&self, work: &Work) -> Permit {
        let (states, me, work) = (self.states.clone(), self.me.clone(), work.clone());
        Permit::new(move || {
            let state = states.borrow();
            let now = Work::of(&state, &me);
            let is_writer = state.grant.as_ref().is_some_and(|g| g.node == me);
            work.is_same_attempt(now.as_ref()) && state.out.contains_key(&me) && !is_writer
        })
    }

    /// The address of the source's server.
    fn source(&self, work: &Work) -> Result<String, String> {
        let state = self.states.borrow();
        let address = state.members.get(&work.source).and_then(|m| m.server.clone());
        address.ok_or_else(|| format!("{} has no server any more", work.source))
    }

    fn stage(&self, work: &Work, stage: &str) {
        let operation = work.id.to_string();
        self.progress.send_replace(Some(Copying { operation, stage: stage.into(), ..Copying::default() }));
    }

    /// Resolves when the copy has not grown for long, or its source has not answered.
    async fn watch<'s>(
        &'s self,
        work: &Work,
        source: &str,
        seen: impl Fn() -> BoxFuture<'s, Option<Far>> + Send,
    ) -> String {
        let (begun, mut samples) = (Instant::now(), Samples::default());
        let (mut grew, mut answered, mut last) = (begun, begun, 0);
        let server = (self.remote)(source);
        loop {
            if let Some(Far { stage, bytes, total }) = seen().await {
                if bytes > last {
                    grew = Instant::now();
                }
                last = bytes;
                let rate = samples.rate(begun.elapsed(), bytes);
                let operation = work.id.to_string();
                self.progress.send_replace(Some(Copying { operation, stage, bytes, total, rate }));
            }
            if server.ping().await.is_ok() {
                answered = Instant::now();
            }
            if answered.elapsed() >= SOURCE_SILENT {
                return format!("{} has not answered for {} s", work.source, SOURCE_SILENT.as_secs());
            }
            if grew.elapsed() >= STALLED {
                return format!("nothing has come from {} for {} s", work.source, STALLED.as_secs());
            }
            sleep(LOOK).await;
        }
    }
}
