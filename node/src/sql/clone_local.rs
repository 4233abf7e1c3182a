//! MySQL's CLONE into a folder of the same host. Tried on 9.7.4: it runs while the server is closed and replicates, and takes
//! no GTID. Where the copy stands is said nowhere (`clone_status` leaves it empty for a copy of this kind); the server that
//! starts with it knows.

use std::path::Path;
use std::time::Duration;

use super::connector::Connector;
use super::error::SqlError;
use super::fields::{Fields, quote};
use super::wire::Wire;
use crate::gtid::Dialect;

/// What is known of a copy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LocalClone {
    /// What the server had executed before it began: all of that is in it, and maybe more.
    pub gtids: String,
    /// The server's version.
    pub version: String,
}

const BEFORE: &str = "SELECT @@GLOBAL.gtid_executed AS gtids, @@version AS version";
const SEEN: &str = "SELECT STATE AS state, ERROR_MESSAGE AS error FROM performance_schema.clone_status";

/// Has the server write a copy of its data into `folder`, which it makes, within `bound`.
///
/// # Errors
/// The server's, and that what it says of the copy is not that it is complete.
pub async fn clone_local(
    connector: &Connector,
    folder: &Path,
    bound: Duration,
) -> Result<LocalClone, SqlError> {
    let mut wire = Wire::open(connector, None, "CLONE LOCAL", bound).await?;
    if wire.caps().dialect != Dialect::Mysql {
        return Err(SqlError::Unsupported("MariaDB has no CLONE".into()));
    }
    let before = wire.row(BEFORE).await?;
    let before = before.as_ref().map(Fields::of_row).unwrap_or_default();
    wire.run(&format!("CLONE LOCAL DATA DIRECTORY = {}", quote(&folder.to_string_lossy()))).await?;
    let row = wire.row(SEEN).await?;
    let fields = row.as_ref().map(Fields::of_row).unwrap_or_default();
    let text = |name: &'static str| fields.text(&[name]).unwrap_or_default().to_owned();
    if text("state") != "Completed" {
        let seen = format!("{} {}", text("state"), text("error"));
        return Err(SqlError::NotInEffect { what: "CLONE LOCAL", seen });
    }
    Ok(LocalClone {
        gtids: before.must("gtids")?.split_whitespace().collect(),
        version: before.must("version")?.to_owned(),
    })
}
