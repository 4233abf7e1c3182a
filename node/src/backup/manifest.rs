//! What is known of a backup, as it lies beside its objects. It is written last: without it there is no backup. Everything
//! that a restore needs but a private key is in it, so that a catalogue can be made from the store alone.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::engine::{Extent, FileEntry, Findings, LsnRange, Position};
use super::lineage::Lineage;
use super::pipeline::{FORMAT, Recipients, StreamSummary};
use super::store::Uploader;
use crate::gtid::Dialect;

/// In the folder of its backup.
const NAME: &str = "manifest.json";
/// The objects of the stream, in the same folder, but for their numbers.
const STREAM: &str = "data.";
/// Where a cluster's backups are.
const FOLDER: &str = "backups";
/// More than any: a few million files.
pub const MANIFEST_BYTES_MAX: usize = 512 << 20;

/// The server that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// Its node.
    pub node: String,
    /// Its family.
    pub dialect: Dialect,
    /// Its version, in its own words.
    pub version: String,
    /// `server_uuid`, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// Of its data directory.
    pub lineage: Lineage,
    /// Bytes of its data directory when the backup began, as far as they are copied.
    pub data_bytes: u64,
}

/// A backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the format, of this and of the objects.
    pub format: u32,
    /// The program that wrote it.
    pub written_by: String,
    /// Unique in the cluster; its beginning is the time at which it began.
    pub backup: String,
    /// The cluster.
    pub cluster: String,
    /// The epoch in which it began.
    pub epoch: u64,
    /// The job it was made for; `None` of one that somebody asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// What read the server.
    pub engine: String,
    /// Full, or what it adds to.
    #[serde(flatten)]
    pub extent: Extent,
    /// What was read.
    pub server: Server,
    /// The version of the program that read it.
    pub tool_version: String,
    /// When it began, in milliseconds since 1970.
    pub began_ms: u64,
    /// When everything was read and checked, in milliseconds since 1970.
    pub ended_ms: u64,
    /// Where it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// Of InnoDB's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lsn: Option<LsnRange>,
    /// The stream and its objects.
    pub stream: StreamSummary,
    /// Whose private keys read it.
    pub recipients: Recipients,
    /// What it holds.
    pub inventory: Vec<FileEntry>,
}

/// Why a manifest is none.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ManifestError {
    /// Not JSON, or not ours.
    #[error("the manifest cannot be read: {0}")]
    Unreadable(String),
    /// Of a later version.
    #[error("the manifest has format {0} and this program reads {FORMAT}; use a newer one")]
    Newer(u32),
    /// A part contradicts another.
    #[error("the manifest contradicts itself: {0}")]
    Contradiction(&'static str),
}

/// What is known before a backup begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Its id.
    pub backup: String,
    /// Its cluster.
    pub cluster: String,
    /// The epoch.
    pub epoch: u64,
    /// The job it is for.
    pub job: Option<String>,
    /// The server.
    pub server: Server,
    /// When it begins, in milliseconds since 1970.
    pub began_ms: u64,
}

impl Manifest {
    /// Of a stream that was read to its end.
    #[must_use]
    pub fn new(
        about: About,
        engine: &str,
        extent: Extent,
        recipients: Recipients,
        found: Findings,
        stream: StreamSummary,
        ended_ms: u64,
    ) -> Self {
        let About { backup, cluster, epoch, job, mut server, began_ms } = about;
        if !found.server_version.is_empty() {
            server.version = found.server_version;
        }
        Self {
            format: FORMAT,
            written_by: format!("baton-node {}", env!("CARGO_PKG_VERSION")),
            backup,
            cluster,
            epoch,
            job,
            engine: engine.to_owned(),
            extent,
            server,
            tool_version: found.tool_version,
            began_ms,
            ended_ms,
            position: found.position,
            lsn: found.lsn,
            stream,
            recipients,
            inventory: found.inventory,
        }
    }

    /// As it is written.
    ///
    /// # Errors
    /// It does not go into JSON.
    pub fn to_json(&self) -> Result<Vec<u8>, ManifestError> {
        serde_json::to_vec_pretty(self).map_err(|e| ManifestError::Unreadable(e.to_string()))
    }

    /// Reads one, and checks what can be checked without its objects.
    ///
    /// # Errors
    /// It is none, or of a later version of this program.
    pub fn read(json: &[u8]) -> Result<Self, ManifestError> {
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        let unreadable = |e: serde_json::Error| ManifestError::Unreadable(e.to_string());
        let Version { format } = serde_json::from_slice(json).map_err(unreadable)?;
        if format > FORMAT {
            return Err(ManifestError::Newer(format));
        }
        let manifest: Self = serde_json::from_slice(json).map_err(unreadable)?;
        let fault = |what| Err(ManifestError::Contradiction(what));
        match &manifest.extent {
            _ if manifest.stream.objects.is_empty() => fault("it has no objects"),
            Extent::Incremental { base, .. } if *base == manifest.backup => fault("it adds to itself"),
            Extent::Incremental { from_lsn, .. } if manifest.lsn.is_some_and(|lsn| lsn.from != *from_lsn) => {
                fault("it does not begin where its base ends")
            }
            _ => Ok(manifest),
        }
    }

    /// The names of its objects in a store, in their order.
    #[must_use]
    pub fn object_keys(&self) -> Vec<String> {
        let prefix = stream_prefix(&self.cluster, &self.backup);
        (0..).zip(&self.stream.objects).map(|(number, _)| Uploader::key(&prefix, number)).collect()
    }

    /// Whose private keys read it, in words.
    #[must_use]
    pub fn made_for(&self) -> String {
        let keys: Vec<_> = self.recipients.iter().map(|(_, key)| key.to_string()).collect();
        keys.join(", ")
    }
}

/// Where the backups of a cluster are.
#[must_use]
pub fn cluster_prefix(cluster: &str) -> String {
    format!("{cluster}/{FOLDER}/")
}

/// Where a backup is.
#[must_use]
pub fn backup_prefix(cluster: &str, backup: &str) -> String {
    format!("{}{backup}/", cluster_prefix(cluster))
}

/// The name of a backup's objects, but for their numbers.
#[must_use]
pub fn stream_prefix(cluster: &str, backup: &str) -> String {
    format!("{}{STREAM}", backup_prefix(cluster, backup))
}

/// The name of a backup's manifest.
#[must_use]
pub fn manifest_key(cluster: &str, backup: &str) -> String {
    format!("{}{NAME}", backup_prefix(cluster, backup))
}

/// The backup that `key` is the manifest of, if it is one.
#[must_use]
pub fn backup_of_manifest<'k>(cluster: &str, key: &'k str) -> Option<&'k str> {
    let rest = key.strip_prefix(&cluster_prefix(cluster))?;
    let backup = rest.strip_suffix(NAME)?.strip_suffix('/')?;
    (!backup.contains('/')).then_some(backup)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::backup::pipeline::{Identity, ObjectSummary};

    fn sample(extent: Extent, lsn: LsnRange) -> Manifest {
        let recipients = Recipients::new([Identity::generate().unwrap().recipient()], []).unwrap();
        let object = ObjectSummary { bytes: 7, blake3: "ab".into() };
        let stream = StreamSummary { bytes: 9, blake3: "cd".into(), objects: vec![object.clone(), object] };
        let server = Server {
            node: "db2".into(),
            dialect: Dialect::Mariadb,
            version: "10.11".into(),
            uuid: None,
            lineage: Lineage { id: "l".into(), parent: None },
            data_bytes: 100,
        };
        let about = About {
            backup: "20260101T000000Z-db2".into(),
            cluster: "shop".into(),
            epoch: 3,
            job: None,
            server,
            began_ms: 1,
        };
        let found =
            Findings { lsn: Some(lsn), server_version: "10.11.14-MariaDB".into(), ..Findings::default() };
        Manifest::new(about, "mariadb-backup", extent, recipients, found, stream, 2)
    }

    #[test]
    fn it_comes_back_as_it_was() {
        let manifest = sample(Extent::Full, LsnRange { from: 0, to: 5 });
        assert_eq!(Manifest::read(&manifest.to_json().unwrap()).unwrap(), manifest);
        assert_eq!(manifest.server.version, "10.11.14-MariaDB");
        let folder = "shop/backups/20260101T000000Z-db2";
        assert_eq!(manifest.object_keys(), [format!("{folder}/data.00000"), format!("{folder}/data.00001")]);
        let key = manifest_key("shop", &manifest.backup);
        assert_eq!(key, format!("{folder}/manifest.json"));
        assert_eq!(backup_of_manifest("shop", &key), Some("20260101T000000Z-db2"));
        assert_eq!(backup_of_manifest("shop", "shop/backups/a/b/manifest.json"), None);
        assert_eq!(backup_of_manifest("other", &key), None);
    }

    #[test]
    fn what_is_none_is_told() {
        let extent = Extent::Incremental { base: "full".into(), from_lsn: 5 };
        let good = sample(extent.clone(), LsnRange { from: 5, to: 6 });
        assert!(Manifest::read(&good.to_json().unwrap()).is_ok());
        let json = String::from_utf8(good.to_json().unwrap()).unwrap();
        let newer = json.replacen("\"format\": 1", "\"format\": 2", 1);
        assert_eq!(Manifest::read(newer.as_bytes()), Err(ManifestError::Newer(2)));
        let shifted = sample(extent, LsnRange { from: 4, to: 6 });
        let error = Manifest::read(&shifted.to_json().unwrap()).unwrap_err().to_string();
        assert_eq!(error, "the manifest contradicts itself: it does not begin where its base ends");
        assert!(Manifest::read(b"{}").is_err());
    }
}
