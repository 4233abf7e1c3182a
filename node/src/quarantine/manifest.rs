//! What an archive says about itself.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::gtid::GtidSet;
use crate::state::{Epoch, NodeName, UnixMillis};

/// Characters of the hash in an archive's name.
const ID_HASH: usize = 10;

/// `manifest.json` of an archive, written last: a folder without one is not an archive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The folder's name.
    pub id: String,
    /// Whose transactions these are.
    pub node: NodeName,
    /// The epoch whose writer lacked them.
    pub epoch: Epoch,
    /// Which.
    pub gtids: GtidSet,
    /// How many were found; MariaDB's sets may count more.
    pub transactions: u64,
    /// Why they were archived.
    pub why: String,
    /// Since when the server is quarantined, Unix milliseconds.
    pub quarantined_ms: UnixMillis,
    /// When the archive was complete, Unix milliseconds.
    pub archived_ms: UnixMillis,
    /// The server's version, as its binlog gives it.
    pub server_version: String,
    /// Every other file of the folder.
    pub files: Vec<Kept>,
}

/// One file of an archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Its name in the folder.
    pub name: String,
    /// Bytes.
    pub bytes: u64,
    /// SHA-256, in hex.
    pub sha256: String,
    /// The binlog file of the server that it was cut from; `None` for other files.
    pub from: Option<String>,
}

/// The name of the archive of these transactions: `db1-e2-5f3a90c1d2`. The epoch is in it because MariaDB numbers the
/// transactions of a server that lost its tail again from where the tail began.
pub fn archive_id(node: &NodeName, epoch: Epoch, gtids: &GtidSet) -> String {
    let hash = hex(&Sha256::digest(gtids.to_string()));
    format!("{node}-e{epoch}-{}", &hash[..ID_HASH])
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
