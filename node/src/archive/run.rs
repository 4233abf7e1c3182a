//! Archives one server's binlog until told to stop: what it sends goes to this node's disk, and from there to the store.

use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep, timeout};
use tracing::info;

use super::coverage::{Coverage, Piece, Stretch, begun_anew, coverage};
use super::entry::{Origin, Timeline};
use super::index::Index;
use super::plan::{Plan, Reading, plan};
use super::sending::Sender;
use super::spool::{Spool, left};
use super::tail::{Limits, Tail};
use super::watching::{LOOK, look_at_alarms, tell};
use crate::backup::pipeline::Recipients;
use crate::backup::run::{AccountSpec, StoreSpec};
use crate::gtid::{DialectMismatch, GtidSet};
use crate::sql::{Address, BinlogReader, BinlogStart, Connector};

/// Segments that wait in memory for the store; more wait on disk, and the server waits with the rest.
const QUEUE: usize = 256;
/// While it looks through the store it says so.
const SAYS: Duration = Duration::from_secs(10);
/// When the server is lost: what was read goes to the store within this, or later.
const EMPTIED_WITHIN: Duration = Duration::from_secs(30);

/// What is to be archived, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveSpec {
    /// The cluster.
    pub cluster: String,
    /// The epoch that the server follows.
    pub epoch: u64,
    /// Whether the server holds the write role.
    pub is_writer: bool,
    /// The node.
    pub node: String,
    /// How its server is reached.
    pub account: AccountSpec,
    /// Who can read the archive.
    pub recipients: Recipients,
    /// Where it lies.
    pub store: StoreSpec,
    /// The folder for what waits.
    pub spool: PathBuf,
    /// The most that waits there, in bytes; the server is not read further then.
    pub spool_bytes: u64,
    /// A segment ends soon after it has so many bytes.
    pub segment_bytes: u64,
    /// And at the latest so many milliseconds after it began.
    pub segment_ms: u64,
    /// What stays free on the disk of that folder, in bytes.
    pub keep_free_bytes: u64,
    /// Whether the server is read. Otherwise what an earlier process left goes to the store, and that is all.
    pub follows: bool,
    /// Whether to go on where the server cannot send what is missing. That leaves a hole.
    pub may_leap: bool,
}

/// How far it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Where it goes.
    pub timeline: Timeline,
    /// It looks what is there, and has read nothing yet. Of the rest only the lag is known then.
    #[serde(default)]
    pub begins: bool,
    /// Everything that the server had so many milliseconds ago is in the store.
    pub lag_ms: u64,
    /// How many transactions the server has that the store lacks.
    pub behind: u64,
    /// Segments that this process brought to the store.
    pub sent: u64,
    /// When the last transaction among them was committed, in milliseconds since 1970.
    pub archived_ms: u64,
    /// Uploads that failed, one after the other. 0 after one that did not.
    pub failed: u32,
    /// Why the last one did.
    pub error: String,
    /// Transactions that are missing in the middle of the archive. Empty if there are none.
    pub holes: String,
    /// Entries in the store that cannot be read.
    pub unreadable: u64,
    /// Segments that waited on this node's disk, cannot be read and were set aside there.
    #[serde(default)]
    pub aside: u64,
    /// Why the server is read no further for now; empty while it is.
    #[serde(default)]
    pub waits: String,
    /// What the archive covered when it was last looked through, the oldest first. What is sent since goes on with the last one.
    #[serde(default)]
    pub stretches: Vec<Stretch>,
    /// Since when there is this history, in milliseconds since 1970: a backup of an earlier one leads nowhere. 0: there is none.
    #[serde(default)]
    pub since_ms: u64,
}

/// Why it ended.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Ended {
    /// The server cannot send what the archive lacks. Another may.
    #[error("the server cannot send what the archive lacks: {0}")]
    Lacks(GtidSet),
    /// Anything else, which says nothing of what the server has.
    #[error("{0}")]
    Failed(String),
}

impl From<String> for Ended {
    fn from(why: String) -> Self {
        Self::Failed(why)
    }
}

/// Shared by those who read, send and tell.
pub(super) struct Shared {
    pub(super) progress: Mutex<Progress>,
    /// What is in the store, or need not be.
    pub(super) safe: Mutex<GtidSet>,
    /// What is missing in the middle.
    pub(super) holes: Mutex<GtidSet>,
    /// Something was sent: there is room again.
    pub(super) sent: Notify,
}

impl Shared {
    /// What is missing in the middle now.
    pub(super) fn lacks(&self, holes: GtidSet) {
        locked(&self.progress).holes = shown(&holes);
        *locked(&self.holes) = holes;
    }
}

fn shown(holes: &GtidSet) -> String {
    if holes.is_empty() { String::new() } else { holes.to_string() }
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Archives until `given_up` comes. `told` hears how far it is, every second.
///
/// # Errors
/// In words. What was read stays on disk, and is sent when it is begun again.
pub async fn run_unless(
    spec: &ArchiveSpec,
    told: impl Fn(Progress),
    given_up: impl Future<Output = ()>,
) -> Result<(), Ended> {
    let archive = async {
        let store = spec.store.open()?;
        let spool = Spool::open(&spec.spool, spec.keep_free_bytes).await?;
        let mut sender = Sender::new(spec, &store, &spool);
        saying(&told, sender.rest()).await?;
        if !spec.follows {
            return Ok(());
        }
        let looked = async {
            let index = Index::look(&store, &spec.cluster).await?;
            sender.tidy(&index).await;
            Ok::<_, String>(index)
        };
        let index = saying(&told, looked).await?;
        let pieces = index.pieces().map_err(|e| format!("the archive: {e}"))?;
        let reader = BinlogReader::new(connector(&spec.account)?);
        let start = reader.start().await.map_err(|e| e.to_string())?;
        let plan = planned(spec, &pieces, &start)?;
        let Found { holes, stretches, since_ms } = found(&pieces, &plan)?;
        let shared = Shared {
            progress: Mutex::new(Progress {
                timeline: plan.timeline,
                holes: shown(&holes),
                stretches,
                since_ms,
                unreadable: index.unreadable() as u64,
                aside: left(&spec.spool)?.aside,
                ..Progress::default()
            }),
            safe: Mutex::new(plan.start.clone()),
            holes: Mutex::new(holes),
            sent: Notify::new(),
        };
        info!(timeline = %plan.timeline, start = %plan.start, "the binlog is archived");
        Ok(Box::pin(follow(spec, sender, &spool, &reader, &start, plan, &shared, &told)).await?)
    };
    let (mut archive, mut given_up) = (pin!(archive), pin!(given_up));
    tokio::select! {
        ended = &mut archive => ended,
        () = &mut given_up => Ok(()),
    }
}

/// Where to go on, unless nobody said that a hole may be left.
fn planned(spec: &ArchiveSpec, pieces: &[Piece], start: &BinlogStart) -> Result<Plan, Ended> {
    let reading = Reading {
        epoch: spec.epoch,
        writer: Some(spec.node.clone()).filter(|_| spec.is_writer),
        own_id: start.own_id,
        executed: start.executed.clone(),
        purged: start.purged.clone(),
    };
    let plan = plan(pieces, &reading).map_err(|e| format!("the archive: {e}"))?;
    if plan.gap.is_empty() || spec.may_leap {
        return Ok(plan);
    }
    Err(Ended::Lacks(plan.gap))
}

/// What a look at the archive comes to.
pub(super) struct Found {
    /// Everything that is missing, and what is about to be.
    pub(super) holes: GtidSet,
    pub(super) stretches: Vec<Stretch>,
    /// See [`Progress`].
    pub(super) since_ms: u64,
}

pub(super) fn found(pieces: &[Piece], plan: &Plan) -> Result<Found, String> {
    let mixed = |e: DialectMismatch| format!("the archive: {e}");
    let found = coverage(pieces).map_err(mixed)?;
    let now_ms = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default();
    let goes_on = pieces.iter().any(|piece| piece.timeline.goes_on_as(plan.timeline));
    let mut stretches = found.as_ref().filter(|_| goes_on).map(Coverage::stretches).unwrap_or_default();
    // What an earlier writer had and the server lacks, which is read in a new epoch, is on the line no more. What a replica has
    // not received yet it sends once it has.
    let begins_epoch = !pieces.iter().any(|piece| piece.timeline == plan.timeline);
    if let Some((_, to)) =
        stretches.last_mut().and_then(|newest| newest.sets.as_mut()).filter(|_| begins_epoch)
    {
        *to = to.intersect(&plan.start).map_err(mixed)?;
    }
    if stretches.is_empty() || !plan.gap.is_empty() {
        // What is about to be read goes on with nothing that is there.
        let before =
            found.as_ref().filter(|_| goes_on && !begins_epoch).and_then(|found| found.windows.last());
        let from = before.map_or_else(|| Ok(plan.start.clone()), |last| last.to.union(&plan.start));
        stretches.push(Stretch::begins(&from.map_err(mixed)?, now_ms));
    }
    let holes = match found {
        Some(found) => found.holes.union(&plan.gap).map_err(mixed)?,
        None => plan.gap.clone(),
    };
    let since_ms = begun_anew(pieces, plan.timeline, now_ms).unwrap_or_default();
    Ok(Found { holes, stretches, since_ms })
}

/// Does what comes before reading, and says every now and then that it goes on, and since when.
async fn saying<T>(told: &impl Fn(Progress), done: impl Future<Output = T>) -> T {
    let (mut done, began) = (pin!(done), Instant::now());
    loop {
        tokio::select! {
            done = &mut done => return done,
            () = sleep(SAYS) => {
                let lag_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
                told(Progress { begins: true, lag_ms, ..Progress::default() });
            }
        }
    }
}

fn connector(account: &AccountSpec) -> Result<Connector, String> {
    let path = &account.password_file;
    let password =
        std::fs::read_to_string(path).map_err(|e| format!("{} cannot be read: {e}", path.display()))?;
    let password = SecretString::from(password.trim_end_matches(['\n', '\r']).to_owned());
    Ok(Connector::new(Address::Socket(account.socket.clone()), account.user.clone(), password))
}

#[expect(clippy::too_many_arguments, reason = "what one run has, each of it once")]
async fn follow(
    spec: &ArchiveSpec,
    mut sender: Sender<'_>,
    spool: &Spool,
    reader: &BinlogReader,
    start: &BinlogStart,
    plan: Plan,
    shared: &Shared,
    told: &impl Fn(Progress),
) -> Result<(), String> {
    let (queue, waiting) = mpsc::channel(QUEUE);
    let server =
        Origin { node: spec.node.clone(), version: start.version.clone(), is_writer: spec.is_writer };
    let of = (spec.cluster.clone(), plan.timeline, server);
    let limits = Limits { segment_bytes: spec.segment_bytes, segment_ms: spec.segment_ms };
    let tail = Tail::new(spool.clone(), of, plan.start, limits);
    let store = sender.store();
    let mut sending = pin!(sender.all(shared, waiting));
    let room = async || {
        loop {
            let lacking = spool.room().lacking()?;
            let is_room = lacking.is_none() && spool.bytes()? < spec.spool_bytes;
            locked(&shared.progress).waits = lacking.unwrap_or_default();
            if is_room {
                return Ok(());
            }
            drop(timeout(LOOK, shared.sent.notified()).await);
        }
    };
    let lost = tokio::select! {
        why = tail.read(reader, queue, room) => why,
        why = tell(reader, shared, told) => why,
        why = &mut sending => return why,
        () = look_at_alarms(store, spec, shared) => return Ok(()),
    };
    // The queue's other end is gone: it ends when everything is sent.
    drop(timeout(EMPTIED_WITHIN, sending).await);
    told(locked(&shared.progress).clone());
    Err(lost)
}
