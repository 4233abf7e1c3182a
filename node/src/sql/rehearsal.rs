//! What a rehearsal writes and reads: one table in Baton's own schema, on a connection of its own, so that a commit which
//! waits for its acker holds up nothing else.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::connector::Connector;
use super::error::SqlError;
use super::fields::{Fields, text_at};
use super::managed::Permit;
use super::wire::Wire;
use crate::gtid::Dialect;

/// The table. The schema stays: it is Baton's anyway, and `batonctl grants` makes it.
const TABLE: &str = "baton.rehearsal";
/// More rows than a rehearsal writes.
const ROWS_MAX: u32 = 1000;
/// A connection through a router, and one question over it.
const ANSWERS_WITHIN: Duration = Duration::from_secs(3);
/// Unknown database.
const NO_SCHEMA: u16 = 1049;

/// What was read of one server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RehearsalSeen {
    /// The server's own id.
    pub server_id: u32,
    /// `read_only`, and `super_read_only` where there is one, each as the server spells its value.
    pub flags: Vec<(String, String)>,
    /// The numbers of the rows that are there.
    pub rows: Vec<u32>,
}

pub(super) async fn begin(wire: &mut Wire, permit: &Permit) -> Result<(), SqlError> {
    let create = format!("CREATE TABLE {TABLE} (number INT UNSIGNED NOT NULL PRIMARY KEY) ENGINE=InnoDB");
    let again = format!("DROP TABLE IF EXISTS {TABLE}");
    only_open(wire).await?;
    for statement in ["CREATE DATABASE IF NOT EXISTS baton", &again, &create] {
        permit.check(statement)?;
        wire.run(statement).await?;
    }
    Ok(())
}

pub(super) async fn write(wire: &mut Wire, number: u32, permit: &Permit) -> Result<(), SqlError> {
    only_open(wire).await?;
    let statement = format!("INSERT INTO {TABLE} VALUES ({number})");
    permit.check(&statement)?;
    wire.run(&statement).await
}

pub(super) async fn end(wire: &mut Wire, permit: &Permit) -> Result<(), SqlError> {
    only_open(wire).await?;
    let statement = format!("DROP TABLE IF EXISTS {TABLE}");
    permit.check(&statement)?;
    wire.run(&statement).await
}

pub(super) async fn seen(wire: &mut Wire) -> Result<RehearsalSeen, SqlError> {
    let names: &[&str] = match wire.caps().dialect {
        Dialect::Mysql => &["read_only", "super_read_only"],
        Dialect::Mariadb => &["read_only"],
    };
    let columns: Vec<String> = names.iter().map(|name| format!("@@global.{name} AS {name}")).collect();
    let sql = format!("SELECT @@global.server_id AS server_id, {}", columns.join(", "));
    let fields = wire.row(&sql).await?.as_ref().map(Fields::of_row).unwrap_or_default();
    let flag = |name: &&str| Ok(((*name).to_owned(), fields.must(name)?.to_owned()));
    let flags = names.iter().map(flag).collect::<Result<_, SqlError>>()?;
    let rows = match wire.rows(&format!("SELECT number FROM {TABLE} ORDER BY number LIMIT {ROWS_MAX}")).await
    {
        Ok(rows) => rows.iter().filter_map(|row| text_at(row, 0)?.parse().ok()).collect(),
        Err(SqlError::NoSuchThing { .. } | SqlError::Other { errno: NO_SCHEMA, .. }) => Vec::new(),
        Err(error) => return Err(error),
    };
    Ok(RehearsalSeen { server_id: server_id(&fields)?, flags, rows })
}

/// The id of the server that answers where `connector` leads.
///
/// # Errors
/// None answers, or not within 3 s.
pub async fn answers_there(connector: &Connector) -> Result<u32, SqlError> {
    let mut wire = Wire::open(connector, None, "a connection through the router", ANSWERS_WITHIN).await?;
    let row = wire.row("SELECT @@global.server_id AS server_id").await?;
    server_id(&row.as_ref().map(Fields::of_row).unwrap_or_default())
}

fn server_id(fields: &Fields) -> Result<u32, SqlError> {
    let id = fields.must("server_id")?;
    id.parse().map_err(|_| SqlError::Unexpected(format!("server_id is `{id}`")))
}

/// `read_only` does not stop Baton's account on MariaDB, and what it wrote to a replica would be extra there.
async fn only_open(wire: &mut Wire) -> Result<(), SqlError> {
    let row = wire.row("SELECT @@global.read_only AS read_only").await?;
    let fields = row.as_ref().map(Fields::of_row).unwrap_or_default();
    match fields.must("read_only")? {
        "0" | "OFF" => Ok(()),
        closed => Err(SqlError::ReadOnly { message: format!("it is closed: read_only={closed}") }),
    }
}
