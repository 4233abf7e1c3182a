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
use super::open::{self, Fault};
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
/// In words: nothing is known of the backup, as no store answered with a fault and one did not answer at all.
pub async fn verify_unless(
    spec: &VerifySpec,
    told: impl Fn(Progress),
    given_up: impl Future<Output = ()>,
) -> Result<Checked, String> {
    if spec.stores.is_empty() {
        return Err("no store is named that has it".into());
    }
    let mut given_up = pin!(given_up);
    let (mut checked, mut unanswered) = (Checked::default(), Vec::new());
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
        match found {
            Ok(()) => {}
            Err(Fault::Damaged(why)) => checked.faults.push(why),
            Err(Fault::Unanswered(why)) => unanswered.push(why),
        }
        checked.bytes += read.load(Ordering::Relaxed);
    }
    if checked.faults.is_empty() && !unanswered.is_empty() {
        return Err(unanswered.join("; "));
    }
    checked.faults.extend(unanswered);
    Ok(checked)
}

/// # Errors
/// The first fault.
async fn one(spec: &VerifySpec, place: &StoreSpec, read: Arc<AtomicU64>) -> Result<(), Fault> {
    let store = place.open().map_err(Fault::Unanswered)?;
    let manifest = as_written(spec, &store).await?;
    let runtime = Handle::current();
    let reading = spawn_blocking(move || {
        open::verify(&store, &manifest, runtime, |bytes| read.store(bytes, Ordering::Relaxed))
    });
    reading.await.map_err(|e| Fault::Unanswered(format!("the thread that reads ended: {e}")))?
}

/// The manifest decides what the objects should be, so it has to be the one that was written.
async fn as_written(spec: &VerifySpec, store: &Store) -> Result<Manifest, Fault> {
    let key = manifest_key(&spec.cluster, &spec.backup);
    let json = store.read(&key, MANIFEST_BYTES_MAX).await.map_err(|e| Fault::of_store(&e))?;
    let damaged = |why: String| Fault::Damaged(format!("store {}: {key} {why}", store.name()));
    if blake3::hash(&json).to_hex().as_str() != spec.manifest_blake3 {
        return Err(damaged("is not the manifest that was written".into()));
    }
    Manifest::read(&json).map_err(|e| damaged(format!("cannot be used: {e}")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::future::pending;
    use std::path::PathBuf;

    use super::*;
    use crate::backup::run::StorePlace;

    fn spec(folders: &[PathBuf]) -> VerifySpec {
        let place = |(number, path): (usize, &PathBuf)| StoreSpec {
            name: format!("s{number}"),
            required: true,
            place: StorePlace::Files { path: path.clone() },
        };
        VerifySpec {
            cluster: "shop".into(),
            backup: "b1".into(),
            manifest_blake3: String::new(),
            stores: folders.iter().enumerate().map(place).collect(),
        }
    }

    /// A folder that is not mounted says nothing of the backup; an empty one does.
    #[tokio::test]
    async fn a_store_that_does_not_answer_damages_nothing() {
        let nowhere = PathBuf::from("/nowhere/at/all");
        let empty = std::env::temp_dir().join(format!("baton-verify-{}", std::process::id()));
        std::fs::create_dir_all(&empty).unwrap();
        let why = verify_unless(&spec(std::slice::from_ref(&nowhere)), |_| (), pending()).await.unwrap_err();
        assert!(why.contains("make it, or mount it"), "{why}");
        let checked = verify_unless(&spec(&[nowhere, empty.clone()]), |_| (), pending()).await;
        let faults = checked.unwrap().faults;
        assert!(faults.len() == 2 && faults.concat().contains("there is no such object"), "{faults:?}");
        std::fs::remove_dir_all(&empty).unwrap();
    }
}
