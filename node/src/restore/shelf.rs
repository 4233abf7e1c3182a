//! What a store holds, by its listing and its manifests alone: no node and no catalogue is asked.

use std::collections::{BTreeMap, BTreeSet};

use crate::backup::manifest::{Manifest, backup_of_manifest, cluster_prefix, manifest_key};
use crate::backup::open::{self, lacking};
use crate::backup::store::Store;

/// Between the cluster's name and the rest of a key.
const FOLDER: &str = "/backups/";

/// A cluster's part of a store.
pub(super) struct Shelf {
    pub(super) store: Store,
    pub(super) cluster: String,
    /// Everything below the cluster's folder, with its size.
    sizes: BTreeMap<String, u64>,
}

/// A backup as it lies there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) manifest: Manifest,
    /// What is not there as the manifest has it; empty when all is.
    pub(super) lacks: Vec<String>,
}

impl Shelf {
    /// Looks through a store, for `cluster` or the only one that is there.
    pub(super) async fn look(store: Store, cluster: Option<&str>) -> Result<Self, String> {
        // The folder of backups alone: beside it may be years of binlog.
        let clusters = match cluster {
            Some(cluster) => vec![cluster.to_owned()],
            None => store.folders("").await.map_err(|e| e.to_string())?,
        };
        let mut sizes = BTreeMap::new();
        for cluster in clusters {
            let items = store.list(&cluster_prefix(&cluster)).await.map_err(|e| e.to_string())?;
            sizes.extend(items.into_iter().map(|item| (item.key, item.bytes)));
        }
        let cluster = the_cluster(&sizes, cluster).map_err(|why| format!("store {}: {why}", store.name()))?;
        let own = cluster_prefix(&cluster);
        let sizes = sizes.into_iter().filter(|(key, _)| key.starts_with(&own)).collect();
        Ok(Self { store, cluster, sizes })
    }

    /// Every backup that has a manifest, the oldest first.
    pub(super) fn ids(&self) -> Vec<String> {
        self.sizes
            .keys()
            .filter_map(|key| backup_of_manifest(&self.cluster, key))
            .map(ToOwned::to_owned)
            .collect()
    }

    /// What was begun and never got a manifest: no backups.
    pub(super) fn cut_off(&self) -> Vec<String> {
        let own = cluster_prefix(&self.cluster);
        let folders: BTreeSet<_> =
            self.sizes.keys().filter_map(|key| Some(key.strip_prefix(&own)?.split_once('/')?.0)).collect();
        let has_none = |id: &&str| !self.sizes.contains_key(&manifest_key(&self.cluster, id));
        folders.into_iter().filter(has_none).map(ToOwned::to_owned).collect()
    }

    /// Reads one manifest and compares it with the listing.
    pub(super) async fn read(&self, backup: &str) -> Result<Held, String> {
        if !self.sizes.contains_key(&manifest_key(&self.cluster, backup)) {
            return Err(format!("store {} has no backup {backup} of {}", self.store.name(), self.cluster));
        }
        let manifest = open::manifest(&self.store, &self.cluster, backup).await?;
        let lacks = lacking(&manifest, &self.sizes);
        Ok(Held { manifest, lacks })
    }
}

/// Which cluster's backups are meant.
fn the_cluster(sizes: &BTreeMap<String, u64>, wanted: Option<&str>) -> Result<String, String> {
    let clusters: BTreeSet<_> =
        sizes.keys().filter_map(|key| key.split_once(FOLDER)).map(|(cluster, _)| cluster).collect();
    match (wanted, clusters.first(), clusters.len()) {
        (Some(wanted), Some(_), _) => Ok(wanted.to_owned()),
        (Some(wanted), None, _) => Err(format!("it has no backup of {wanted}")),
        (None, Some(only), 1) => Ok((*only).to_owned()),
        (None, Some(_), _) => {
            let all: Vec<_> = clusters.into_iter().collect();
            Err(format!("it has backups of {}; say which cluster with --cluster", all.join(", ")))
        }
        (None, None, _) => Err("it has no backup".into()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::testing::manifest;
    use super::*;

    fn sizes(keys: &[(&str, u64)]) -> BTreeMap<String, u64> {
        keys.iter().map(|(key, bytes)| ((*key).to_owned(), *bytes)).collect()
    }

    #[test]
    fn the_only_cluster_needs_no_name() {
        let one = sizes(&[("shop/backups/a/data.00000", 1), ("shop/backups/b/manifest.json", 1)]);
        assert_eq!(the_cluster(&one, None), Ok("shop".into()));
        assert_eq!(the_cluster(&sizes(&[]), None), Err("it has no backup".into()));
        assert_eq!(the_cluster(&sizes(&[]), Some("shop")), Err("it has no backup of shop".into()));
        let two = sizes(&[("shop/backups/a/data.00000", 1), ("test/backups/b/manifest.json", 1)]);
        assert!(the_cluster(&two, None).unwrap_err().contains("of shop, test; say which"));
        assert_eq!(the_cluster(&two, Some("test")), Ok("test".into()));
    }

    #[test]
    fn what_is_missing_or_cut_is_named() {
        let manifest = manifest("a", None);
        let keys = manifest.object_keys();
        let whole: Vec<_> = keys.iter().map(|key| (key.as_str(), 7)).collect();
        assert!(lacking(&manifest, &sizes(&whole)).is_empty());
        assert_eq!(lacking(&manifest, &sizes(&whole[1..])), [format!("{} is missing", keys[0])]);
        let cut = [(keys[0].as_str(), 7), (keys[1].as_str(), 6)];
        assert_eq!(lacking(&manifest, &sizes(&cut)), [format!("{} has 6 bytes and should have 7", keys[1])]);
    }
}
