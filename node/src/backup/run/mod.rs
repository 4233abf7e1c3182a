//! One backup, from the server to the stores. The order of its last steps is what makes a false success impossible: the
//! program has ended with status 0 and has said so; the stream was read to its end and is one; its size is likely; only then
//! the last object gets its end, and only when a store has all of them, each with the size it should have, it gets the manifest.

mod feed;
mod program;
mod scratch;
mod spec;
mod stage;
mod target;
#[cfg(test)]
mod tests;

use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::engine::Engine;
use super::manifest::{Manifest, backup_prefix, manifest_key};
use super::store::{Store, StoreError};
use feed::Feed;
use program::Program;
use scratch::Scratch;
use stage::Stage;
use target::{Settled, Tee, open, settle};

pub use spec::{AccountSpec, RunSpec, StorePlace, StoreSpec};

/// Between two looks at how far it is.
const LOOK: Duration = Duration::from_millis(500);
/// A stream that has not grown for so long ends the backup. A store may be tried for most of an hour over one part.
const STALLED: Duration = Duration::from_secs(2 * 3600);

/// A statement that was dropped is killed over another connection, by a task of this runtime, within this.
const KILLED_WITHIN: Duration = Duration::from_secs(10);

const GIVEN_UP: &str = "it was given up";

/// How far a backup is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Bytes that the program has written.
    pub read_bytes: u64,
    /// Bytes that they became, compressed.
    pub stored_bytes: u64,
    /// What `read_bytes` will come to, about; 0 where nobody knows.
    pub expected_bytes: u64,
}

/// What a backup came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// The backup.
    pub manifest: Manifest,
    /// BLAKE3 of the manifest as it was written.
    pub manifest_blake3: String,
    /// The stores that have all of it.
    pub stores: Vec<String>,
    /// Those that do not, with the reason. None of them was required.
    pub failed: Vec<(String, String)>,
}

/// Counted by the thread that reads, read by the one that tells.
#[derive(Debug, Default)]
struct Counters {
    read: AtomicU64,
    stored: AtomicU64,
}

/// Makes one backup. `told` hears how far it is, twice a second.
///
/// # Errors
/// As [`run_unless`].
pub async fn run(spec: &RunSpec, told: impl Fn(Progress)) -> Result<Made, String> {
    run_unless(spec, told, pending()).await
}

/// Makes one backup, unless `given_up` comes before everything was read: then the program ends and uploads are taken back.
/// Objects that were complete stay, without a manifest, and are no backup.
///
/// # Errors
/// In words: nothing was made that counts as a backup in every store that is required.
pub async fn run_unless(
    spec: &RunSpec,
    told: impl Fn(Progress),
    given_up: impl Future<Output = ()>,
) -> Result<Made, String> {
    let (tee, targets) = open(spec).await?;
    let scratch = Scratch::make(&spec.run, &spec.about.backup)?;
    let read = read(spec, tee, &scratch, told, given_up).await;
    // Nobody may be left behind that still writes.
    let settled = settle(targets).await;
    let stores: Vec<Store> = settled.iter().map(|settled| settled.store.clone()).collect();
    let made = match read {
        Ok(manifest) => commit(manifest, settled).await,
        Err(why) => Err(fault_of_stores(&settled).unwrap_or(why)),
    };
    if made.is_err() {
        clean(spec, &stores).await;
    }
    made
}

/// Nobody will look for what a try that failed has left.
async fn clean(spec: &RunSpec, stores: &[Store]) {
    let prefix = backup_prefix(&spec.about.cluster, &spec.about.backup);
    for store in stores.iter().filter(|store| spec.cleans.iter().any(|name| name == store.name())) {
        if let Err(error) = cleaned(store, &prefix).await {
            warn!(store = store.name(), prefix, %error, "what was left of the try stays in the store");
        }
    }
}

/// The manifest goes first: a store may have got it before another one failed.
async fn cleaned(store: &Store, prefix: &str) -> Result<(), StoreError> {
    let mut items = store.list(prefix).await?;
    items.sort_by_key(|item| item.key.starts_with(&format!("{prefix}data.")));
    for item in items {
        store.delete(&item.key).await?;
    }
    Ok(())
}

/// Why the stores let the stream end, if they did.
fn fault_of_stores(settled: &[Settled]) -> Option<String> {
    let are_all_gone = settled.iter().all(|s| s.sent.is_err());
    let counts = |s: &&Settled| s.is_required || are_all_gone;
    settled.iter().filter(counts).find_map(|s| s.sent.clone().err())
}

/// Has the server read. The stream has its end when this returns well.
async fn read(
    spec: &RunSpec,
    tee: Tee,
    scratch: &Scratch,
    told: impl Fn(Progress),
    given_up: impl Future<Output = ()>,
) -> Result<Manifest, String> {
    let mut given_up = pin!(given_up);
    let mut staging = Box::pin(Stage::prepare(spec));
    let staged = tokio::select! {
        staged = &mut staging => Some(staged?),
        () = &mut given_up => None,
    };
    drop(staging);
    let Some(staged) = staged else {
        if matches!(spec.engine, Engine::Clone { .. }) {
            sleep(KILLED_WITHIN).await;
            // The server may have gone on writing until then.
            stage::remove_copies(spec)?;
        }
        return Err(GIVEN_UP.into());
    };
    let mut program = Program::start(spec, scratch, staged.as_ref().map(Stage::folder))?;
    let counters = Arc::new(Counters::default());
    let feed = Feed::new(spec, tee, program.output()?, counters.clone())?;
    let mut reading = spawn_blocking(move || feed.read_to_end());
    let progress = || Progress {
        read_bytes: counters.read.load(Ordering::Relaxed),
        stored_bytes: counters.stored.load(Ordering::Relaxed),
        expected_bytes: spec.expected_bytes(),
    };
    let (mut last, mut grew) = (0, Instant::now());
    let feed = loop {
        tokio::select! {
            ended = &mut reading => break ended,
            () = &mut given_up => return Err(GIVEN_UP.into()),
            () = sleep(LOOK) => {
                let now = progress();
                told(now);
                if now.read_bytes > last {
                    (last, grew) = (now.read_bytes, Instant::now());
                } else if grew.elapsed() >= STALLED {
                    return Err(format!("{} has written nothing for {} s", spec.engine.name(), STALLED.as_secs()));
                }
            }
        }
    };
    let feed = feed.map_err(|e| format!("the thread that reads ended: {e}"))?;
    let feed = feed.map_err(|why| program.explained(why))?;
    let log = tokio::select! {
        log = program.ends_well() => log?,
        () = &mut given_up => return Err(GIVEN_UP.into()),
    };
    let ended = spawn_blocking(move || feed.end(&log)).await;
    let (findings, stream) = ended.map_err(|e| format!("the thread that reads ended: {e}"))??;
    let findings = match &staged {
        Some(staged) => staged.adds_to(findings),
        None => findings,
    };
    told(progress());
    let ended_ms = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default();
    let (engine, extent) = (spec.engine.name(), spec.extent.clone());
    Ok(Manifest::new(spec.about.clone(), engine, extent, spec.recipients.clone(), findings, stream, ended_ms))
}

/// Manifests, last of all.
async fn commit(manifest: Manifest, settled: Vec<Settled>) -> Result<Made, String> {
    let json = Bytes::from(manifest.to_json().map_err(|e| e.to_string())?);
    let manifest_blake3 = blake3::hash(&json).to_hex().to_string();
    let key = manifest_key(&manifest.cluster, &manifest.backup);
    let objects = manifest.stream.objects.len();
    // Not one manifest while a required store lacks something.
    if let Some(why) = fault_of_stores(&settled) {
        return Err(why);
    }
    let (mut stores, mut failed) = (Vec::new(), Vec::new());
    for Settled { store, is_required, sent } in settled {
        let name = store.name().to_owned();
        let written = match sent {
            Ok(sent) if sent == objects => store.put(&key, json.clone()).await.map_err(|e| e.to_string()),
            Ok(sent) => Err(format!("store {name}: it has {sent} objects and should have {objects}")),
            Err(why) => Err(why),
        };
        match written {
            Ok(()) => stores.push(name),
            Err(why) if is_required => return Err(why),
            Err(why) => {
                warn!(backup = manifest.backup, store = name, why, "the backup is not in this store");
                failed.push((name, why));
            }
        }
    }
    if stores.is_empty() {
        return Err(failed.into_iter().next().map_or("no store was named".into(), |(_, why)| why));
    }
    let (read_bytes, stored_bytes) = (manifest.stream.bytes, manifest.stream.stored_bytes());
    info!(backup = manifest.backup, read_bytes, stored_bytes, ?stores, "the backup is made");
    Ok(Made { manifest, manifest_blake3, stores, failed })
}
