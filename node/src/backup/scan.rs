//! Looks through stores for backups that a group does not list: after it was lost with all its nodes, or formed anew. Manifests
//! alone are read, and the listing compared with them.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::manifest::{MANIFEST_BYTES_MAX, Manifest, backup_of_manifest, cluster_prefix, manifest_key};
use super::open::lacking;
use super::run::{Progress, StoreSpec};
use super::store::Store;

/// Between two words on how far it is.
const LOOK: Duration = Duration::from_millis(500);

/// What is to be looked through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanSpec {
    /// Whose backups are looked for.
    pub cluster: String,
    /// Where; at least one.
    pub stores: Vec<StoreSpec>,
    /// What is listed already, by its name: BLAKE3 of the manifest, and the stores that are known to have it.
    pub known: BTreeMap<String, (String, Vec<String>)>,
    /// So many are found at most, the newest.
    pub most: usize,
}

/// A backup that is not listed, or not as one of that store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Without what is in it.
    pub manifest: Manifest,
    /// BLAKE3 of the manifest as it lies there.
    pub manifest_blake3: String,
    /// The stores that have all of it, and are not known to.
    pub stores: Vec<String>,
}

/// What a look through stores came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scanned {
    /// The oldest first.
    pub found: Vec<Found>,
    /// What is no backup, or a damaged one, and why; bases that are missing as well.
    pub faults: Vec<String>,
    /// Older ones that there was no more room for.
    pub passed_over: usize,
}

/// Looks, unless `given_up` comes before. `told` hears twice a second that it goes on.
///
/// # Errors
/// No store answered. One that does not is a fault beside what others have.
pub async fn scan_unless(
    spec: &ScanSpec,
    told: impl Fn(Progress),
    given_up: impl Future<Output = ()>,
) -> Result<Scanned, String> {
    if spec.stores.is_empty() {
        return Err("no store is named".into());
    }
    let (mut looking, mut given_up) = (pin!(look(spec)), pin!(given_up));
    loop {
        tokio::select! {
            scanned = &mut looking => return scanned,
            () = &mut given_up => return Err("it was given up".into()),
            () = sleep(LOOK) => told(Progress::default()),
        }
    }
}

async fn look(spec: &ScanSpec) -> Result<Scanned, String> {
    let (mut found, mut scanned, mut unread) = (BTreeMap::new(), Scanned::default(), BTreeSet::new());
    let mut silent = 0;
    for place in &spec.stores {
        // One that is away is no reason not to look at the others.
        let looked = match place.open() {
            Ok(store) => one(spec, &store, &mut found, &mut scanned.faults).await,
            Err(why) => Err(why),
        };
        match looked {
            Ok(more) => unread.extend(more),
            Err(why) => {
                silent += 1;
                scanned.faults.push(why);
            }
        }
    }
    if silent == spec.stores.len() {
        return Err(scanned.faults.join("; "));
    }
    without_lost_chains(spec, &mut found, &mut unread, &mut scanned.faults);
    scanned.passed_over = unread.len();
    while found.len() > spec.most {
        // From the end of the oldest chain.
        let is_needed =
            |id: &String| found.values().any(|f: &Found| f.manifest.extent.base() == Some(id.as_str()));
        let Some(first) = found.keys().find(|id| !is_needed(id)).cloned() else { break };
        found.remove(&first);
        scanned.passed_over += 1;
    }
    scanned.found = found.into_values().collect();
    Ok(scanned)
}

/// What there was no room for.
async fn one(
    spec: &ScanSpec,
    store: &Store,
    found: &mut BTreeMap<String, Found>,
    faults: &mut Vec<String>,
) -> Result<Vec<String>, String> {
    let (name, cluster) = (store.name(), &spec.cluster);
    let items = store.list(&cluster_prefix(cluster)).await.map_err(|e| e.to_string())?;
    let sizes: BTreeMap<String, u64> = items.into_iter().map(|item| (item.key, item.bytes)).collect();
    let mut unknown: Vec<&str> = sizes.keys().filter_map(|key| backup_of_manifest(cluster, key)).collect();
    unknown
        .retain(|id| spec.known.get(*id).is_none_or(|(_, stores)| !stores.iter().any(|known| known == name)));
    // Manifests may be large: none is read that there is no room for.
    let (unread, newest) = unknown.split_at(unknown.len().saturating_sub(spec.most));
    for id in newest {
        match read(store, cluster, id, &sizes).await {
            Ok((manifest, blake3)) => {
                let listed = spec.known.get(*id).map(|(blake3, _)| blake3);
                let other = found.get(*id).map(|found| &found.manifest_blake3);
                if listed.or(other).is_some_and(|known| *known != blake3) {
                    faults.push(format!("store {name}: {id} is another backup than the one of that name"));
                    continue;
                }
                let new = || Found { manifest, manifest_blake3: blake3, stores: Vec::new() };
                found.entry((*id).to_owned()).or_insert_with(new).stores.push(name.to_owned());
            }
            Err(why) => faults.push(format!("store {name}: {id}: {why}")),
        }
    }
    Ok(unread.iter().map(|id| (*id).to_owned()).collect())
}

/// A manifest that all its objects lie beside, without its inventory.
async fn read(
    store: &Store,
    cluster: &str,
    id: &str,
    sizes: &BTreeMap<String, u64>,
) -> Result<(Manifest, String), String> {
    let json = store.read(&manifest_key(cluster, id), MANIFEST_BYTES_MAX).await.map_err(|e| e.to_string())?;
    let mut manifest = Manifest::read(&json).map_err(|e| e.to_string())?;
    if manifest.backup != id || manifest.cluster != cluster {
        return Err(format!("its manifest is that of {} of {}", manifest.backup, manifest.cluster));
    }
    let lacks = lacking(&manifest, sizes);
    if !lacks.is_empty() {
        return Err(lacks.join(", "));
    }
    manifest.inventory = Vec::new();
    Ok((manifest, blake3::hash(&json).to_hex().to_string()))
}

/// An increment is worth nothing without what it adds to, in the same store.
fn without_lost_chains(
    spec: &ScanSpec,
    found: &mut BTreeMap<String, Found>,
    unread: &mut BTreeSet<String>,
    faults: &mut Vec<String>,
) {
    loop {
        let mut lost = Vec::new();
        for (id, one) in found.iter() {
            let Some(base) = one.manifest.extent.base() else { continue };
            for store in &one.stores {
                let is_found = found.get(base).is_some_and(|base| base.stores.contains(store));
                let is_known = spec.known.get(base).is_some_and(|(_, stores)| stores.contains(store));
                if !is_found && !is_known {
                    lost.push((id.clone(), base.to_owned(), store.clone()));
                }
            }
        }
        if lost.is_empty() {
            return;
        }
        for (id, base, store) in lost {
            if unread.contains(&base) {
                unread.insert(id.clone());
            } else {
                faults.push(format!("store {store}: {id} adds to {base}, which is not there"));
            }
            if let Some(one) = found.get_mut(&id) {
                one.stores.retain(|name| *name != store);
            }
        }
        found.retain(|_, one| !one.stores.is_empty());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;
    use std::future::pending;
    use std::path::PathBuf;

    use super::super::engine::{Extent, FileEntry, Findings, LsnRange};
    use super::super::lineage::Lineage;
    use super::super::manifest::{About, Server};
    use super::super::pipeline::{Identity, ObjectSummary, Recipients, StreamSummary};
    use super::super::run::StorePlace;
    use super::*;
    use crate::gtid::Dialect;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("baton-scan-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        /// A backup of `cluster` in the folder of `name`.
        fn put(&self, name: &str, cluster: &str, base: Option<&str>) -> PathBuf {
            let extent =
                base.map_or(Extent::Full, |base| Extent::Incremental { base: base.into(), from_lsn: 5 });
            let from = if base.is_some() { 5 } else { 0 };
            let lineage = Lineage { id: "l".into(), parent: None };
            let (dialect, node) = (Dialect::Mariadb, "db2".to_owned());
            let server =
                Server { node, dialect, version: "10.11".into(), uuid: None, lineage, data_bytes: 1 };
            let (backup, cluster) = (name.to_owned(), cluster.to_owned());
            let about = About { backup, cluster, epoch: 1, job: None, server, began_ms: 1 };
            let inventory = vec![FileEntry { name: "ibdata1".into(), bytes: 1 }];
            let found = Findings { lsn: Some(LsnRange { from, to: 5 }), inventory, ..Findings::default() };
            let objects = vec![ObjectSummary { bytes: 7, blake3: "ab".into() }];
            let stream = StreamSummary { bytes: 9, blake3: "cd".into(), objects };
            let recipients = Recipients::new([Identity::generate().unwrap().recipient()], []).unwrap();
            let manifest = Manifest::new(about, "mariadb-backup", extent, recipients, found, stream, 2);
            let folder = self.0.join("shop/backups").join(name);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("data.00000"), "7 bytes").unwrap();
            fs::write(folder.join("manifest.json"), manifest.to_json().unwrap()).unwrap();
            folder
        }

        fn place(&self, name: &str) -> StoreSpec {
            StoreSpec { name: name.into(), required: true, place: StorePlace::Files { path: self.0.clone() } }
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn spec(stores: Vec<StoreSpec>) -> ScanSpec {
        ScanSpec { cluster: "shop".into(), stores, known: BTreeMap::new(), most: 500 }
    }

    async fn scanned(spec: &ScanSpec) -> Scanned {
        scan_unless(spec, |_| (), pending()).await.unwrap()
    }

    fn ids(scanned: &Scanned) -> Vec<&str> {
        scanned.found.iter().map(|found| found.manifest.backup.as_str()).collect()
    }

    #[tokio::test]
    async fn what_is_there_and_what_is_none() {
        let folder = Folder::new("found");
        folder.put("2026a", "shop", None);
        folder.put("2026b", "shop", Some("2026a"));
        folder.put("2026c", "shop", Some("2025z"));
        folder.put("2026d", "shop", Some("2026c"));
        fs::remove_file(folder.put("2026e", "shop", None).join("data.00000")).unwrap();
        fs::write(folder.put("2026f", "shop", None).join("manifest.json"), "{").unwrap();
        folder.put("2026g", "other", None);
        fs::remove_file(folder.put("2026h", "shop", None).join("manifest.json")).unwrap();
        let all = scanned(&spec(vec![folder.place("disk")])).await;
        assert_eq!(ids(&all), ["2026a", "2026b"]);
        assert!(
            all.found.iter().all(|found| found.stores == ["disk"] && found.manifest.inventory.is_empty())
        );
        let said = all.faults.join("\n");
        for why in [
            "2026c adds to 2025z, which is not there",
            "2026d adds to 2026c, which is not there",
            "2026e: shop/backups/2026e/data.00000 is missing",
            "2026f: the manifest cannot be read",
            "2026g: its manifest is that of 2026g of other",
        ] {
            assert!(said.contains(why), "{why}: {said}");
        }
        assert_eq!(all.faults.len(), 5, "one that was cut off is no backup, and nobody asks: {said}");
    }

    #[tokio::test]
    async fn what_is_known_is_not_read_again() {
        let (one, other) = (Folder::new("one"), Folder::new("other"));
        one.put("2026a", "shop", None);
        let json = fs::read(one.put("2026b", "shop", Some("2026a")).join("manifest.json")).unwrap();
        let copied = other.put("2026b", "shop", None).join("manifest.json");
        let mut spec = spec(vec![one.place("disk"), other.place("bucket")]);
        let faults = scanned(&spec).await.faults.join("");
        assert_eq!(faults, "store bucket: 2026b is another backup than the one of that name");
        fs::write(copied, &json).unwrap();
        let faults = scanned(&spec).await.faults.join("");
        assert_eq!(faults, "store bucket: 2026b adds to 2026a, which is not there", "in the same store");
        let (mine, blake3) = (vec!["disk".to_owned()], blake3::hash(&json).to_hex().to_string());
        spec.known.insert("2026b".into(), (blake3, mine.clone()));
        spec.known.insert("2026a".into(), (String::new(), vec!["disk".into(), "bucket".into()]));
        let found = scanned(&spec).await;
        assert_eq!((ids(&found), found.found[0].stores.concat()), (vec!["2026b"], "bucket".into()));
        spec.known.insert("2026b".into(), ("another".into(), mine));
        assert!(scanned(&spec).await.found.is_empty(), "the listed one is another backup");
    }

    #[tokio::test]
    async fn a_store_that_is_away_hides_no_other() {
        let folder = Folder::new("away");
        folder.put("2026a", "shop", None);
        let place = StorePlace::Files { path: "/nowhere/at/all".into() };
        let away = StoreSpec { name: "old".into(), required: true, place };
        let found = scanned(&spec(vec![away.clone(), folder.place("disk")])).await;
        assert!(
            ids(&found) == ["2026a"] && found.faults.concat().contains("make it, or mount it"),
            "{found:?}"
        );
        assert!(scan_unless(&spec(vec![away]), |_| (), pending()).await.is_err(), "nothing is known then");
    }

    #[tokio::test]
    async fn more_than_can_be_listed() {
        let folder = Folder::new("many");
        for number in 0..620 {
            let base = (number % 2 == 1).then(|| format!("{:04}", number - 1));
            folder.put(&format!("{number:04}"), "shop", base.as_deref());
        }
        let found = scanned(&spec(vec![folder.place("disk")])).await;
        assert_eq!((found.found.len(), found.passed_over, ids(&found)[0]), (500, 120, "0120"));
        let odd = scanned(&ScanSpec { most: 499, ..spec(vec![folder.place("disk")]) }).await;
        assert_eq!((odd.found.len(), odd.passed_over, ids(&odd)[0]), (498, 122, "0122"), "with its base");
        assert!(odd.faults.is_empty(), "{odd:?}");
    }
}
