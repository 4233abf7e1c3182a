//! A running server that takes a backup's SQL: what it has before, and a mark on it for as long as it has a part only. The mark
//! is a schema, which everybody sees who looks; none of it comes into a binlog.

use std::time::Duration;

use super::connector::Connector;
use super::error::SqlError;
use super::fields::{Fields, text_at};
use super::wire::Wire;
use crate::gtid::Dialect;

/// The mark.
pub const PART: &str = "baton_restore_partial";
/// In it: the table that names the backup.
const OF: &str = "of_backup";
const ID_MAX: usize = 128;
/// The server's own.
const SYSTEM: [&str; 4] = ["information_schema", "performance_schema", "mysql", "sys"];
/// An empty server is quick; one with a hundred thousand schemas is not what is wanted.
const LOOKED_WITHIN: Duration = Duration::from_secs(30);

/// A server that is to take a backup's SQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receiver {
    /// Its family.
    pub dialect: Dialect,
    /// Its version.
    pub version: String,
    /// What it has beside its own.
    pub schemas: Vec<String>,
    /// MySQL: what it has executed.
    pub gtids: String,
    /// Nothing can be written.
    pub is_read_only: bool,
    /// It has the mark of a restore that did not end.
    pub has_part: bool,
    /// Of which backup that was, if that is known.
    pub part_of: Option<String>,
}

/// Looks at it.
///
/// # Errors
/// The server's.
pub async fn receiver(connector: &Connector) -> Result<Receiver, SqlError> {
    let mut wire = Wire::open(connector, None, "restore", LOOKED_WITHIN).await?;
    let caps = wire.caps();
    let variables = wire
        .rows(
            "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('gtid_executed', 'read_only', 'super_read_only')",
        )
        .await?;
    let variables = Fields::of_pairs(&variables);
    let rows = wire.rows("SHOW DATABASES").await?;
    let mut schemas: Vec<_> = rows.iter().filter_map(|row| text_at(row, 0)).collect();
    let has_part = schemas.iter().any(|schema| schema == PART);
    schemas.retain(|schema| schema != PART && !SYSTEM.contains(&schema.as_str()));
    let part_of = match has_part {
        // A mark without a name was set by hand, or in the moment before it got one.
        true => wire.rows(&format!("SELECT id FROM {PART}.{OF}")).await.unwrap_or_default(),
        false => Vec::new(),
    };
    Ok(Receiver {
        part_of: part_of.first().and_then(|row| text_at(row, 0)),
        dialect: caps.dialect,
        version: caps.version.text.clone(),
        schemas,
        gtids: variables.text(&["gtid_executed"]).unwrap_or_default().to_owned(),
        is_read_only: variables.is_on(&["super_read_only", "read_only"]),
        has_part,
    })
}

/// Marks it. A restore that did not end before has left transactions of the backup on MySQL, which are told once only: they
/// are forgotten.
///
/// # Errors
/// The server's.
pub async fn mark(connector: &Connector, seen: &Receiver, backup: &str) -> Result<(), SqlError> {
    let is_plain = backup.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if !is_plain || backup.len() > ID_MAX {
        return Err(SqlError::Unexpected(format!("`{backup}` is no backup's id")));
    }
    let mut wire = Wire::open(connector, None, "restore", LOOKED_WITHIN).await?;
    wire.run("SET SESSION sql_log_bin=0").await?;
    if seen.has_part && seen.dialect == Dialect::Mysql && !seen.gtids.is_empty() {
        // The second is its name before 8.2.
        if wire.run("RESET BINARY LOGS AND GTIDS").await.is_err() {
            wire.run("RESET MASTER").await?;
        }
    }
    wire.run(&format!("CREATE DATABASE IF NOT EXISTS {PART}")).await?;
    wire.run(&format!("CREATE TABLE IF NOT EXISTS {PART}.{OF} (id VARCHAR({ID_MAX}) PRIMARY KEY)")).await?;
    wire.run(&format!("REPLACE INTO {PART}.{OF} VALUES ('{backup}')")).await
}

/// Takes the mark away, and has the server go by the accounts that came with the backup.
///
/// # Errors
/// The server's.
pub async fn unmark(connector: &Connector) -> Result<(), SqlError> {
    let mut wire = Wire::open(connector, None, "restore", LOOKED_WITHIN).await?;
    wire.run("SET SESSION sql_log_bin=0").await?;
    wire.run(&format!("DROP DATABASE IF EXISTS {PART}")).await?;
    wire.run("FLUSH NO_WRITE_TO_BINLOG PRIVILEGES").await
}
