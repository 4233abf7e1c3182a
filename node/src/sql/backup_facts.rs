//! What a backup has to know of the server that it reads.

use std::path::PathBuf;
use std::time::Duration;

use super::connector::Connector;
use super::error::SqlError;
use super::fields::{Fields, text_at};
use super::wire::Wire;
use crate::gtid::Dialect;

/// What it says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupFacts {
    /// Its family.
    pub dialect: Dialect,
    /// Its version, in its own words.
    pub version: String,
    /// `server_uuid`, where it has one.
    pub uuid: Option<String>,
    /// Its data directory.
    pub data: PathBuf,
    /// Bytes of InnoDB's files, without temporary ones.
    pub bytes: u64,
    /// Where InnoDB's log is, on MariaDB; 0 elsewhere.
    pub lsn: u64,
    /// What the account lacks to see every row, view, trigger and event. A dump leaves out what it may not see, and says that
    /// it is complete.
    pub lacks_for_dump: Vec<&'static str>,
}

const FOR_DUMP: [&str; 4] = ["SELECT", "SHOW VIEW", "TRIGGER", "EVENT"];

/// Of the account that asks: privileges on everything.
const RIGHTS: &str = "SELECT PRIVILEGE_TYPE FROM information_schema.USER_PRIVILEGES \
    WHERE REPLACE(GRANTEE, '''', '') = CURRENT_USER()";

const MYSQL: &str = "SELECT @@version AS version, @@datadir AS data, @@server_uuid AS uuid, \
    (SELECT CAST(COALESCE(SUM(FILE_SIZE), 0) AS UNSIGNED) FROM information_schema.INNODB_TABLESPACES \
     WHERE NAME <> 'innodb_temporary') AS bytes";

const MARIADB: &str = "SELECT @@version AS version, @@datadir AS data, \
    (SELECT CAST(COALESCE(SUM(FILE_SIZE), 0) AS UNSIGNED) FROM information_schema.INNODB_SYS_TABLESPACES \
     WHERE NAME <> 'innodb_temporary') AS bytes, \
    (SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'INNODB_LSN_CURRENT') AS lsn";

/// Asks the server, within `bound`.
///
/// # Errors
/// The server's, or that an answer is missing.
pub async fn backup_facts(connector: &Connector, bound: Duration) -> Result<BackupFacts, SqlError> {
    let mut wire = Wire::open(connector, None, "facts for a backup", bound).await?;
    let dialect = wire.caps().dialect;
    let question = match dialect {
        Dialect::Mysql => MYSQL,
        Dialect::Mariadb => MARIADB,
    };
    let row = wire.row(question).await?;
    let fields = row.as_ref().map(Fields::of_row).unwrap_or_default();
    let rights: Vec<String> = wire.rows(RIGHTS).await?.iter().filter_map(|row| text_at(row, 0)).collect();
    let lacks_for_dump =
        FOR_DUMP.into_iter().filter(|right| !rights.iter().any(|has| has == right)).collect();
    Ok(BackupFacts {
        dialect,
        version: fields.must("version")?.to_owned(),
        uuid: fields.filled(&["uuid"]).map(ToOwned::to_owned),
        data: PathBuf::from(fields.must("data")?),
        bytes: fields.number(&["bytes"]).unwrap_or_default(),
        lsn: fields.number(&["lsn"]).unwrap_or_default(),
        lacks_for_dump,
    })
}
