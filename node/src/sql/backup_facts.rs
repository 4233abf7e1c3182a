//! What a backup has to know of the server that it reads.

use std::path::PathBuf;
use std::time::Duration;

use super::accounts;
use super::connector::Connector;
use super::error::SqlError;
use super::fields::Fields;
use super::grants::Place;
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
    let grants = accounts::grants(&mut wire).await?;
    let lacks_for_dump =
        FOR_DUMP.into_iter().filter(|right| !grants.holds(right, Place::Everywhere)).collect();
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::grants::Grants;
    use super::*;

    #[test]
    fn the_document_grants_what_a_dump_needs() {
        let document = include_str!("../../../docs/backup.md");
        let (_, rest) = document.split_once("for Baton's account `").unwrap();
        let (statement, _) = rest.split_once('`').unwrap();
        let granted = Grants::parse([format!("{statement} TO x")]);
        let lacks: Vec<_> =
            FOR_DUMP.iter().filter(|right| !granted.holds(right, Place::Everywhere)).collect();
        assert!(lacks.is_empty(), "{statement} lacks {lacks:?}");
    }
}
