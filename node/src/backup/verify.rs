//! Reads a backup again, in every store that has it, and compares checksums. It needs no key, and restores nothing.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::manifest::{MANIFEST_BYTES_MAX, Manifest, manifest_key};
use super::open;
use super::run::{Progress, StoreSpec};
use super::store::Store;

/// Between two looks at how far it is.
const LOOK: Duration = Duration::from_millis(500);

/// What is to be read again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifySpec {
    /// Of which cluster.
    pub cluster: String,
    /// Which backup.
    pub backup: String,
    /// BLAKE3 of its manifest, as it was written.
    pub manifest_blake3: String,
    /// Where it is; at least one.
    pub stores: Vec<StoreSpec>,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// Bytes that were read of all stores.
    pub bytes: u64,
    /// What is not as it was written, of each store the first fault; empty when all is.
    pub faults: Vec<String>,
}

/// Looks at a backup, unless `given_up` comes before. `told` hears how far it is, twice a second.
///
/// # Errors
/// In words: nothing is known of the backup. A store that does not answer counts as a fault of it.
pub async fn verify_unless(
    spec: &VerifySpec,
    told: impl Fn(Progress),
    given_up: impl Future<Output = ()>,
) -> Result<Checked, String> {
    if spec.stores.is_empty() {
        return Err("no store is named that has it".into());
    }
    let mut given_up = pin!(given_up);
    let mut checked = Checked::default();
    for store in &spec.stores {
        let read = Arc::new(AtomicU64::new(0));
        let mut reading = pin!(one(spec, store, Arc::clone(&read)));
        let found = loop {
            tokio::select! {
                found = &mut reading => break found,
                () = &mut given_up => return Err("it was given up".into()),
                () = sleep(LOOK) => {
                    let read_bytes = checked.bytes + read.load(Ordering::Relaxed);
                    told(Progress { read_bytes, ..Progress::default() });
                }
            }
        };
        checked.faults.extend(found.err());
        checked.bytes += read.load(Ordering::Relaxed);
    }
    Ok(checked)
}

/// # Errors
/// The first fault.
async fn one(spec: &VerifySpec, place: &StoreSpec, read: Arc<AtomicU64>) -> Result<(), String> {
    let store = place.open()?;
    let manifest = as_written(spec, &store).await?;
    let runtime = Handle::current();
    let reading = spawn_blocking(move || {
        open::verify(&store, &manifest, runtime, |bytes| read.store(bytes, Ordering::Relaxed))
    });
    reading.await.map_err(|e| format!("the thread that reads ended: {e}"))?
}

/// The manifest decides what the objects should be, so it has to be the one that was written.
async fn as_written(spec: &VerifySpec, store: &Store) -> Result<Manifest, String> {
    let key = manifest_key(&spec.cluster, &spec.backup);
    let json = store.read(&key, MANIFEST_BYTES_MAX).await.map_err(|e| e.to_string())?;
    if blake3::hash(&json).to_hex().as_str() != spec.manifest_blake3 {
        return Err(format!("store {}: {key} is not the manifest that was written", store.name()));
    }
    Manifest::read(&json).map_err(|e| format!("store {}: {key}: {e}", store.name()))
}
