//! Stores and manifests for tests.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::chain::{Chain, choose};
use super::replay::Fit;
use super::shelf::Shelf;
use crate::backup::engine::{Extent, FileEntry, Findings, LsnRange, Position};
use crate::backup::lineage::Lineage;
use crate::backup::manifest::{About, Manifest, Server, manifest_key};
use crate::backup::pipeline::{Identity, ObjectSummary, Recipients, StreamSummary};
use crate::backup::store::{FileStore, Store};
use crate::gtid::Dialect;

/// Of two objects of 7 bytes: full, or on top of `base`.
pub(super) fn manifest(backup: &str, base: Option<&str>) -> Manifest {
    let recipients = Recipients::new([Identity::generate().unwrap().recipient()], []).unwrap();
    let object = ObjectSummary { bytes: 7, blake3: "ab".into() };
    let stream = StreamSummary { bytes: 9 << 20, blake3: "cd".into(), objects: vec![object.clone(), object] };
    let lineage = Lineage { id: "l".into(), parent: None };
    let (dialect, version) = (Dialect::Mariadb, "10.11.14-MariaDB".to_owned());
    let server = Server { node: "db2".into(), dialect, version, uuid: None, lineage, data_bytes: 100 };
    let (extent, lsn) = match base {
        None => (Extent::Full, LsnRange { from: 0, to: 5 }),
        Some(base) => (Extent::Incremental { base: base.into(), from_lsn: 5 }, LsnRange { from: 5, to: 5 }),
    };
    let about = About {
        backup: backup.into(),
        cluster: "shop".into(),
        epoch: 3,
        job: None,
        server,
        began_ms: 1_767_225_600_000,
    };
    let found = Findings {
        position: Some(Position {
            gtids: "0-1-4711".into(),
            binlog_file: "b.000001".into(),
            binlog_position: 4,
        }),
        lsn: Some(lsn),
        tool_version: "10.11.14".into(),
        inventory: vec![FileEntry { name: "ibdata1".into(), bytes: 9 << 20 }],
        ..Findings::default()
    };
    Manifest::new(about, "mariadb-backup", extent, recipients, found, stream, 1_767_225_660_000)
}

/// A store in a folder that goes with it.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("baton-restore-{name}-{}", std::process::id()));
        drop(fs::remove_dir_all(&path));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn store(&self) -> Store {
        Store::Files(FileStore::new("disk", &self.0))
    }

    /// Puts manifest and objects there.
    pub(super) fn put(&self, manifest: &Manifest) {
        let path = self.0.join(manifest_key(&manifest.cluster, &manifest.backup));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, manifest.to_json().unwrap()).unwrap();
        for key in manifest.object_keys() {
            fs::write(self.0.join(key), [0; 7]).unwrap();
        }
    }

    pub(super) fn object(&self, backup: &str, number: u32) -> PathBuf {
        self.0.join(format!("shop/backups/{backup}/data.{number:05}"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// A full backup and an increment.
pub(super) async fn chain() -> Chain {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let folder = Folder::new(&format!("chain-{}", NUMBER.fetch_add(1, Ordering::Relaxed)));
    folder.put(&manifest("2026a", None));
    folder.put(&manifest("2026b", Some("2026a")));
    let shelf = Shelf::look(folder.store(), None).await.unwrap();
    choose(&shelf, None, |_| Ok(Fit::Yes)).await.unwrap()
}
