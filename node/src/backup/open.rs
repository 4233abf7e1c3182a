//! Backups in a store, for those who read them: which there are, whether their objects are as they were written, and their
//! streams.

use std::collections::BTreeMap;

use thiserror::Error;
use tokio::runtime::Handle;

use super::manifest::{MANIFEST_BYTES_MAX, Manifest, backup_of_manifest, cluster_prefix, manifest_key};
use super::pipeline::{Identity, ObjectSource, ReadError, StreamReader, check_object};
use super::store::{Store, StoreError, StoredObjects};

/// Of the objects that a backup lacks, so many are named.
const NAMED_MAX: usize = 3;

/// What a look through a store found.
#[derive(Debug, Default)]
pub struct Scan {
    /// Every backup that is whole by its manifest, by name.
    pub backups: Vec<Manifest>,
    /// Manifests that cannot be read, with the reason.
    pub unreadable: Vec<(String, String)>,
}

/// Reads the manifest of one backup.
///
/// # Errors
/// In words.
pub async fn manifest(store: &Store, cluster: &str, backup: &str) -> Result<Manifest, String> {
    let key = manifest_key(cluster, backup);
    let json = store.read(&key, MANIFEST_BYTES_MAX).await.map_err(|e| e.to_string())?;
    let manifest = Manifest::read(&json).map_err(|e| format!("store {}: {key}: {e}", store.name()))?;
    if manifest.backup == backup && manifest.cluster == cluster {
        return Ok(manifest);
    }
    Err(format!(
        "store {}: {key} is the manifest of {} of {}",
        store.name(),
        manifest.backup,
        manifest.cluster
    ))
}

/// Every backup of a cluster that a store has.
///
/// # Errors
/// The store's last word.
pub async fn scan(store: &Store, cluster: &str) -> Result<Scan, StoreError> {
    let mut found = Scan::default();
    for item in store.list(&cluster_prefix(cluster)).await? {
        let Some(backup) = backup_of_manifest(cluster, &item.key) else { continue };
        match manifest(store, cluster, backup).await {
            Ok(manifest) => found.backups.push(manifest),
            Err(why) => found.unreadable.push((backup.to_owned(), why)),
        }
    }
    Ok(found)
}

/// The stream of a backup, decrypted and unpacked. To be read on a thread that may block.
#[must_use]
pub fn stream(
    store: &Store,
    manifest: &Manifest,
    keys: Vec<Identity>,
    runtime: Handle,
) -> StreamReader<StoredObjects> {
    let objects = StoredObjects::new(store.clone(), manifest.object_keys(), runtime);
    StreamReader::new(objects, &manifest.backup, manifest.stream.clone(), keys, &manifest.made_for())
}

/// Why a backup could not be read to its end.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Something of it is not as it was written.
    #[error("{0}")]
    Damaged(String),
    /// The store does not answer, or takes no credentials: nothing is known of the backup.
    #[error("{0}")]
    Unanswered(String),
}

impl Fault {
    /// Of what a store said about an object.
    #[must_use]
    pub fn of_store(error: &StoreError) -> Self {
        match error.is_missing() {
            true => Self::Damaged(error.to_string()),
            false => Self::Unanswered(error.to_string()),
        }
    }

    fn of_object(store: &Store, manifest: &Manifest, error: &ReadError) -> Self {
        let said = format!("store {}: {}: {error}", store.name(), manifest.backup);
        let by_store = match error {
            ReadError::Io { source, .. } => {
                source.get_ref().and_then(|source| source.downcast_ref::<StoreError>())
            }
            _ => None,
        };
        match by_store {
            Some(error) if !error.is_missing() => Self::Unanswered(said),
            _ => Self::Damaged(said),
        }
    }
}

/// Reads every object of a backup again and compares checksums. `told` hears the bytes that were read so far. It needs no
/// key. It has to be called on a thread that may block.
///
/// # Errors
/// The first object that is not as it was written, or that the store did not hand out.
pub fn verify(store: &Store, manifest: &Manifest, runtime: Handle, told: impl Fn(u64)) -> Result<(), Fault> {
    let mut objects = StoredObjects::new(store.clone(), manifest.object_keys(), runtime);
    let mut bytes = 0;
    for (number, written) in (0..).zip(&manifest.stream.objects) {
        let of_open = |source| Fault::of_object(store, manifest, &ReadError::Io { object: number, source });
        let input = objects.open(number).map_err(of_open)?;
        check_object(input, number, written).map_err(|e| Fault::of_object(store, manifest, &e))?;
        bytes += written.bytes;
        told(bytes);
    }
    Ok(())
}

/// What a store with these sizes lacks of a backup, in words.
#[must_use]
pub fn lacking(manifest: &Manifest, sizes: &BTreeMap<String, u64>) -> Vec<String> {
    let objects = manifest.object_keys().into_iter().zip(&manifest.stream.objects);
    let mut faults: Vec<_> = objects
        .filter_map(|(key, object)| match sizes.get(&key) {
            None => Some(format!("{key} is missing")),
            Some(bytes) if *bytes != object.bytes => {
                Some(format!("{key} has {bytes} bytes and should have {}", object.bytes))
            }
            Some(_) => None,
        })
        .collect();
    let more = faults.len().saturating_sub(NAMED_MAX);
    if more > 0 {
        faults.truncate(NAMED_MAX);
        faults.push(format!("and {more} more"));
    }
    faults
}
