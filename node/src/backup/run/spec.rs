//! What one backup is to be: everything that the process that makes it has to know. Secrets are named by their files.

use std::fs;
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::backup::account::LocalAccount;
use crate::backup::engine::{Engine, Extent};
use crate::backup::manifest::About;
use crate::backup::pipeline::{Limits, Recipients};
use crate::backup::store::{FileStore, S3Options, S3Store, Store};

/// One backup that is to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSpec {
    /// What is known of it.
    pub about: About,
    /// What reads the server.
    pub engine: Engine,
    /// How much.
    pub extent: Extent,
    /// How it reaches the server; `None` for programs that know that themselves.
    pub account: Option<AccountSpec>,
    /// Who can read it.
    pub recipients: Recipients,
    /// Where it goes; at least one.
    pub stores: Vec<StoreSpec>,
    /// A folder for what ends with it.
    pub run: PathBuf,
    /// zstd's level.
    pub level: i32,
    /// Threads that compress, beside the one that reads; 0 for none.
    pub threads: u32,
    /// Parts that are sent at once to each store; each takes 16 MiB of memory.
    pub parts_at_once: usize,
    /// The most that is read in a second.
    pub bytes_per_s: Option<u64>,
    /// A full backup of files that has less than this share of the server's data is none. In percent.
    pub share_min_percent: u8,
    /// The stores from which what came of a try that failed is removed.
    #[serde(default)]
    pub cleans: Vec<String>,
    /// Where objects are cut; `None` for what fits every store.
    pub object_bytes: Option<u64>,
}

/// A server's account, its password named by a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountSpec {
    /// Its name.
    pub user: String,
    /// Holds its password and nothing else.
    pub password_file: PathBuf,
    /// The server's socket.
    pub socket: PathBuf,
}

/// A store that gets a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreSpec {
    /// Its name.
    pub name: String,
    /// Whether the backup counts only if this store has it.
    pub required: bool,
    /// Where it is.
    #[serde(flatten)]
    pub place: StorePlace,
}

/// Where a store is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum StorePlace {
    /// A folder.
    Files {
        /// Which.
        path: PathBuf,
    },
    /// A bucket.
    S3 {
        /// `https://host`, without the bucket.
        endpoint: String,
        /// The bucket.
        bucket: String,
        /// As the store names it.
        region: String,
        /// Before every key.
        prefix: String,
        /// A file with `aws_access_key_id = …` and `aws_secret_access_key = …`, as AWS's tools have it.
        credentials_file: PathBuf,
        /// Authorities in place of those that the world trusts.
        ca: Option<PathBuf>,
    },
}

impl RunSpec {
    pub(super) fn limits(&self) -> Limits {
        let usual = Limits::default();
        Limits { object_bytes: self.object_bytes.unwrap_or(usual.object_bytes), ..usual }
    }

    /// What the stream will come to, about; 0 where nobody knows.
    pub(super) fn expected_bytes(&self) -> u64 {
        match (&self.engine, &self.extent) {
            (Engine::MariadbBackup { .. } | Engine::Clone { .. }, Extent::Full) => {
                self.about.server.data_bytes
            }
            _ => 0,
        }
    }

    /// With fewer bytes it is no backup.
    pub(super) fn bytes_min(&self) -> u64 {
        self.expected_bytes() / 100 * u64::from(self.share_min_percent)
    }

    pub(super) fn local_account(&self) -> Result<Option<LocalAccount>, String> {
        let Some(account) = &self.account else { return Ok(None) };
        let AccountSpec { user, password_file, socket } = account.clone();
        let password = read_secret(&password_file)?.trim_end_matches(['\n', '\r']).to_owned();
        Ok(Some(LocalAccount { user, password: password.into(), socket }))
    }
}

impl StoreSpec {
    /// Opens it. Nothing is asked of it yet.
    ///
    /// # Errors
    /// Its options or its credentials, in words.
    pub fn open(&self) -> Result<Store, String> {
        let name = &self.name;
        match &self.place {
            StorePlace::Files { path } => Ok(Store::Files(FileStore::new(name, path))),
            StorePlace::S3 { endpoint, bucket, region, prefix, credentials_file, ca } => {
                let (access_key, secret_key) = credentials(credentials_file)?;
                let (endpoint, bucket) = (endpoint.clone(), bucket.clone());
                let (region, prefix, ca) = (region.clone(), prefix.clone(), ca.clone());
                let options = S3Options { endpoint, bucket, region, prefix, access_key, secret_key, ca };
                S3Store::new(name, options).map(Store::S3).map_err(|why| format!("store {name}: {why}"))
            }
        }
    }
}

fn read_secret(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|e| format!("{} cannot be read: {e}", path.display()))
}

fn credentials(path: &Path) -> Result<(String, SecretString), String> {
    let text = read_secret(path)?;
    let value = |name: &str| {
        let mut pairs = text.lines().filter_map(|line| line.split_once('='));
        let found = pairs.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned());
        found.ok_or_else(|| format!("{} has no line {name} = …", path.display()))
    };
    Ok((value("aws_access_key_id")?, value("aws_secret_access_key")?.into()))
}
