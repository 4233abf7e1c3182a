//! Removes a backup from a store: its manifest first, so that what is left of it at any moment is no backup, then everything that
//! lies beside it.

use std::pin::pin;

use serde::{Deserialize, Serialize};

use super::manifest::{MANIFEST_BYTES_MAX, backup_prefix, manifest_key};
use super::run::{StorePlace, StoreSpec};

/// What is to be removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoveSpec {
    /// Of which cluster.
    pub cluster: String,
    /// Which backup.
    pub backup: String,
    /// BLAKE3 of its manifest, as it was written: two clusters may have one name, and one store.
    pub manifest_blake3: String,
    /// From where.
    pub store: StoreSpec,
    /// Whether this node made it. A folder in which another node finds nothing of it may be another folder.
    pub is_makers: bool,
}

/// Removes it, unless `given_up` comes before. How many objects there were.
///
/// # Errors
/// In words; what was removed by then is gone, and the rest can be removed later.
pub async fn remove_unless(spec: &RemoveSpec, given_up: impl Future<Output = ()>) -> Result<u32, String> {
    let (mut removing, mut given_up) = (pin!(remove(spec)), pin!(given_up));
    tokio::select! {
        removed = &mut removing => removed,
        () = &mut given_up => Err("it was given up".into()),
    }
}

async fn remove(spec: &RemoveSpec) -> Result<u32, String> {
    let RemoveSpec { cluster, backup, manifest_blake3, store: place, is_makers } = spec;
    let store = place.open()?;
    let prefix = backup_prefix(cluster, backup);
    let items = store.list(&prefix).await.map_err(|e| e.to_string())?;
    if items.is_empty() && !is_makers && matches!(place.place, StorePlace::Files { .. }) {
        let name = &place.name;
        return Err(format!(
            "store {name} is a folder, and nothing of {backup} is in it on this node's host"
        ));
    }
    let key = manifest_key(cluster, backup);
    // Without a manifest an earlier removal was cut off.
    if items.iter().any(|item| item.key == key) {
        let json = store.read(&key, MANIFEST_BYTES_MAX).await.map_err(|e| e.to_string())?;
        if blake3::hash(&json).to_hex().as_str() != manifest_blake3 {
            return Err(format!(
                "store {}: {key} is not the manifest that was written; it stays",
                place.name
            ));
        }
    }
    store.delete(&key).await.map_err(|e| e.to_string())?;
    for item in &items {
        store.delete(&item.key).await.map_err(|e| e.to_string())?;
    }
    store.abort_all(&prefix).await.map_err(|e| e.to_string())?;
    // A store may say that it removed what it keeps.
    let left = store.list(&prefix).await.map_err(|e| e.to_string())?;
    match left.first() {
        Some(item) => Err(format!("store {}: {} is still there after it was removed", place.name, item.key)),
        None => Ok(u32::try_from(items.len()).unwrap_or(u32::MAX)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("baton-remove-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn has(&self, backup: &str) -> PathBuf {
            let folder = self.0.join("shop/backups").join(backup);
            fs::create_dir_all(&folder).unwrap();
            for object in ["manifest.json", "data.00000", "data.00001"] {
                fs::write(folder.join(object), "x").unwrap();
            }
            folder
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn spec(folder: &Path, is_makers: bool) -> RemoveSpec {
        let place = StorePlace::Files { path: folder.to_owned() };
        let store = StoreSpec { name: "disk".into(), required: true, place };
        let manifest_blake3 = blake3::hash(b"x").to_hex().to_string();
        RemoveSpec { cluster: "shop".into(), backup: "b1".into(), manifest_blake3, store, is_makers }
    }

    fn files(folder: &Path) -> usize {
        fs::read_dir(folder).map_or(0, |found| found.count())
    }

    #[tokio::test]
    async fn all_of_one_and_nothing_of_others() {
        let folder = Folder::new("one");
        // The name of one begins as that of another.
        let (b1, b10) = (folder.has("b1"), folder.has("b10"));
        let spec = spec(&folder.0, true);
        assert_eq!(remove_unless(&spec, std::future::pending()).await, Ok(3));
        assert_eq!((files(&b1), files(&b10)), (0, 3));
        assert_eq!(remove_unless(&spec, std::future::pending()).await, Ok(0), "again");
    }

    #[tokio::test]
    async fn another_cluster_of_that_name_keeps_its_own() {
        let folder = Folder::new("theirs");
        let b1 = folder.has("b1");
        fs::write(b1.join("manifest.json"), "theirs").unwrap();
        let said = remove_unless(&spec(&folder.0, true), std::future::pending()).await.unwrap_err();
        assert!(said.contains("is not the manifest that was written; it stays"), "{said}");
        assert_eq!(files(&b1), 3);
        fs::remove_file(b1.join("manifest.json")).unwrap();
        assert_eq!(
            remove_unless(&spec(&folder.0, true), std::future::pending()).await,
            Ok(2),
            "cut off before"
        );
    }

    #[tokio::test]
    async fn a_folder_without_it_on_another_host_is_another_folder() {
        let folder = Folder::new("other");
        let said = remove_unless(&spec(&folder.0, false), std::future::pending()).await.unwrap_err();
        assert_eq!(said, "store disk is a folder, and nothing of b1 is in it on this node's host");
        let unmounted = spec(&folder.0.join("unmounted"), true);
        assert!(remove_unless(&unmounted, std::future::pending()).await.is_err(), "it is not there at all");
    }
}
