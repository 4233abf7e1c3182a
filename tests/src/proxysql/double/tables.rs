//! The three copies of the tables, in SQLite as in a real one.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use rusqlite::fallible_iterator::FallibleIterator as _;
use rusqlite::types::ValueRef;
use rusqlite::{Batch, Connection, Error, Row, params_from_iter};

use super::answer::Answer;
use crate::proxysql::placed::{Placed, Runtime, Status};
use crate::proxysql::{READER_GROUP, WRITER_GROUP};
use crate::sandbox::Account;

/// Statements that are kept for whoever asks what was sent.
const KEPT: usize = 10_000;
/// The columns after the status, as text.
const REST: &str =
    "gtid_port, weight, compression, max_connections, max_replication_lag, use_ssl, max_latency_ms, comment";

/// `mysql_servers` as a real one has it.
const SERVERS: &str = "(
    hostgroup_id INT CHECK (hostgroup_id>=0) NOT NULL DEFAULT 0,
    hostname VARCHAR NOT NULL,
    port INT CHECK (port >= 0 AND port <= 65535) NOT NULL DEFAULT 3306,
    gtid_port INT CHECK ((gtid_port <> port OR gtid_port=0) AND gtid_port >= 0 AND gtid_port <= 65535) NOT NULL DEFAULT 0,
    status VARCHAR CHECK (UPPER(status) IN ('ONLINE','SHUNNED','OFFLINE_SOFT', 'OFFLINE_HARD')) NOT NULL DEFAULT 'ONLINE',
    weight INT CHECK (weight >= 0 AND weight <=10000000) NOT NULL DEFAULT 1,
    compression INT CHECK (compression IN(0,1)) NOT NULL DEFAULT 0,
    max_connections INT CHECK (max_connections >=0) NOT NULL DEFAULT 1000,
    max_replication_lag INT CHECK (max_replication_lag >= 0 AND max_replication_lag <= 126144000) NOT NULL DEFAULT 0,
    use_ssl INT CHECK (use_ssl IN(0,1)) NOT NULL DEFAULT 0,
    max_latency_ms INT UNSIGNED CHECK (max_latency_ms>=0) NOT NULL DEFAULT 0,
    comment VARCHAR NOT NULL DEFAULT '',
    PRIMARY KEY (hostgroup_id, hostname, port) )";
const PAIRS: &str = "(
    writer_hostgroup INT CHECK (writer_hostgroup>=0) NOT NULL PRIMARY KEY,
    reader_hostgroup INT NOT NULL CHECK (reader_hostgroup<>writer_hostgroup AND reader_hostgroup>=0),
    check_type VARCHAR CHECK (LOWER(check_type) IN ('read_only','innodb_read_only','super_read_only',
        'read_only|innodb_read_only','read_only&innodb_read_only')) NOT NULL DEFAULT 'read_only',
    comment VARCHAR NOT NULL DEFAULT '', UNIQUE (reader_hostgroup))";
const USERS: &str = "(
    username VARCHAR NOT NULL, password VARCHAR, active INT CHECK (active IN (0,1)) NOT NULL DEFAULT 1,
    default_hostgroup INT NOT NULL DEFAULT 0, comment VARCHAR NOT NULL DEFAULT '', PRIMARY KEY (username))";
/// What of memory is also on disk and at run time.
const TABLES: [(&str, &str); 3] =
    [("mysql_servers", SERVERS), ("mysql_replication_hostgroups", PAIRS), ("mysql_users", USERS)];

/// The tables.
pub(super) struct Tables {
    monitored: bool,
    sql: Mutex<Connection>,
    sent: Mutex<Vec<String>>,
    /// How often the servers were loaded.
    loads: Mutex<u64>,
}

impl fmt::Debug for Tables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tables")
    }
}

impl Tables {
    pub(super) fn new(monitored: bool) -> Result<Self> {
        let sql = Connection::open_in_memory()?;
        let tables =
            Self { monitored, sql: Mutex::new(sql), sent: Mutex::default(), loads: Mutex::default() };
        tables.sql().execute_batch("ATTACH ':memory:' AS disk; ATTACH ':memory:' AS stats")?;
        for (name, columns) in TABLES {
            tables.sql().execute_batch(&format!(
                "CREATE TABLE disk.{name} {columns}; CREATE TABLE main.{name} {columns};
                 CREATE TABLE main.runtime_{name} {columns}"
            ))?;
        }
        tables.sql().execute_batch(
            "CREATE TABLE stats.stats_mysql_connection_pool (hostgroup INT, srv_host VARCHAR, srv_port INT, status VARCHAR,
                ConnUsed INT, ConnFree INT, ConnOK INT, ConnERR INT);
             CREATE TABLE main.runtime_checksums_values (name VARCHAR NOT NULL, version INT NOT NULL, epoch INT NOT NULL,
                checksum VARCHAR NOT NULL, PRIMARY KEY (name))",
        )?;
        tables.wipe()?;
        Ok(tables)
    }

    /// A disk as whoever set the instance up left it: the user, and the groups if it is monitored.
    pub(super) fn wipe(&self) -> Result<()> {
        let (app, writer, reader) = (Account::APP, WRITER_GROUP, READER_GROUP);
        self.sql().execute_batch(&format!(
            "DELETE FROM disk.mysql_servers; DELETE FROM disk.mysql_replication_hostgroups; DELETE FROM disk.mysql_users;
             INSERT INTO disk.mysql_users (username, password, default_hostgroup)
                VALUES ('{}', '{}', {writer});",
            app.user, app.password
        ))?;
        if self.monitored {
            self.sql().execute(
                "INSERT INTO disk.mysql_replication_hostgroups (writer_hostgroup, reader_hostgroup) VALUES (?1, ?2)",
                [writer, reader],
            )?;
        }
        Ok(())
    }

    /// As at a start: memory is what is on disk.
    pub(super) fn restart(&self) -> Result<()> {
        self.sql().execute_batch("PRAGMA query_only=OFF")?;
        *lock(&self.loads) = 0;
        self.copy("disk", "main")
    }

    /// Makes every table of one copy the other's.
    pub(super) fn copy(&self, from: &str, to: &str) -> Result<()> {
        for (name, _) in TABLES {
            self.sql().execute_batch(&format!(
                "DELETE FROM {to}.{name}; INSERT INTO {to}.{name} SELECT * FROM {from}.{name}"
            ))?;
        }
        Ok(())
    }

    /// What memory has, for run time.
    pub(super) fn load(&self) -> Result<Runtime> {
        *lock(&self.loads) += 1;
        let sql = self.sql();
        let mut select = sql.prepare(&format!(
            "SELECT hostgroup_id, hostname, port, status, {REST} FROM mysql_servers ORDER BY hostgroup_id, hostname, port"
        ))?;
        let servers: Vec<Option<Placed>> = select.query_map([], placed)?.collect::<Result<_, Error>>()?;
        let mut select =
            sql.prepare("SELECT writer_hostgroup, reader_hostgroup FROM mysql_replication_hostgroups")?;
        let pairs = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
        Ok(Runtime { servers: servers.into_iter().flatten().collect(), pairs, most_writers: 0 })
    }

    /// Writes down what is at run time, as a real one does whenever somebody reads it. `pool`: group, host, port, used and
    /// free connections.
    pub(super) fn show(&self, runtime: &Runtime, used: impl Fn(&Placed) -> usize) -> Result<()> {
        let sql = self.sql();
        let read_only: bool = sql.query_row("PRAGMA query_only", [], |row| row.get(0))?;
        sql.execute_batch(
            "PRAGMA query_only=OFF; DELETE FROM runtime_mysql_servers; DELETE FROM runtime_mysql_replication_hostgroups;
            DELETE FROM stats.stats_mysql_connection_pool; DELETE FROM runtime_checksums_values")?;
        for server in &runtime.servers {
            let head = [
                server.group.to_string(),
                server.host.clone(),
                server.port.to_string(),
                server.status.to_string(),
            ];
            sql.execute(
                &format!(
                    "INSERT INTO runtime_mysql_servers (hostgroup_id, hostname, port, status, {REST})
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)"
                ),
                params_from_iter(head.iter().chain(&server.rest)),
            )?;
            sql.execute(
                "INSERT INTO stats.stats_mysql_connection_pool VALUES (?1, ?2, ?3, ?4, ?5, 0, 0, 0)",
                params_from_iter(head.iter().cloned().chain([used(server).to_string()])),
            )?;
        }
        for (writer, reader) in &runtime.pairs {
            let insert = "INSERT INTO runtime_mysql_replication_hostgroups (writer_hostgroup, reader_hostgroup) VALUES (?1, ?2)";
            sql.execute(insert, [writer, reader])?;
        }
        let version = *lock(&self.loads);
        sql.execute(
            "INSERT INTO runtime_checksums_values VALUES ('mysql_servers', ?1, 0, '0x0')",
            [i64::try_from(version)?],
        )?;
        sql.execute_batch(&format!("PRAGMA query_only={read_only}"))?;
        Ok(())
    }

    /// Makes memory what is at run time.
    pub(super) fn save_runtime(&self) -> Result<()> {
        Ok(self.sql().execute_batch(
            "DELETE FROM mysql_servers; INSERT INTO mysql_servers SELECT * FROM runtime_mysql_servers",
        )?)
    }

    pub(super) fn read_only(&self, on: bool) -> Result<()> {
        Ok(self.sql().execute_batch(&format!("PRAGMA query_only={}", if on { "ON" } else { "OFF" }))?)
    }

    /// A client's user: password and default hostgroup.
    pub(super) fn user(&self, name: &str) -> Option<(String, u32)> {
        let select = "SELECT password, default_hostgroup FROM mysql_users WHERE username=?1 AND active=1";
        self.sql().query_row(select, [name], |row| Ok((row.get(0)?, row.get(1)?))).ok()
    }

    /// The first statement of a packet; whatever follows is dropped without a word.
    pub(super) fn first(&self, statement: &str) -> Answer {
        let answer = first(&self.sql(), statement);
        answer.unwrap_or_else(|error| match error {
            Error::SqliteFailure(_, Some(message)) | Error::SqlInputError { msg: message, .. } => {
                Answer::admin_error(&message)
            }
            other => Answer::admin_error(&other.to_string()),
        })
    }

    pub(super) fn note(&self, statement: &str) {
        let mut sent = lock(&self.sent);
        if sent.len() < KEPT {
            sent.push(statement.to_owned());
        }
    }

    pub(super) fn statements(&self) -> Vec<String> {
        lock(&self.sent).clone()
    }

    fn sql(&self) -> MutexGuard<'_, Connection> {
        lock(&self.sql)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn first(sql: &Connection, statement: &str) -> Result<Answer, Error> {
    let Some(mut first) = Batch::new(sql, statement).next()? else {
        return Ok(Answer::admin_error("not an error"));
    };
    if first.column_count() == 0 {
        return first.execute([]).map(|affected| Answer::done(affected as u64));
    }
    let columns: Vec<String> = first.column_names().map(ToOwned::to_owned).collect();
    let width = columns.len();
    let mut rows = Vec::new();
    let mut found = first.query([])?;
    while let Some(row) = found.next()? {
        rows.push((0..width).map(|index| text(row, index)).collect::<Result<_, _>>()?);
    }
    Ok(Answer::Rows { columns, rows })
}

/// Every value is text, and NULL is NULL.
fn text(row: &Row<'_>, index: usize) -> Result<Option<Vec<u8>>, Error> {
    Ok(match row.get_ref(index)? {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string().into_bytes()),
        ValueRef::Real(number) => Some(number.to_string().into_bytes()),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(bytes.to_vec()),
    })
}

/// A server as it is at run time; none for OFFLINE_HARD.
fn placed(row: &Row<'_>) -> Result<Option<Placed>, Error> {
    let status: String = row.get(3)?;
    let Ok(status) = status.parse::<Status>() else { return Ok(None) };
    let rest =
        (4..12).map(|index| Ok(String::from_utf8_lossy(&text(row, index)?.unwrap_or_default()).into_owned()));
    Ok(Some(Placed {
        group: row.get(0)?,
        host: row.get(1)?,
        port: row.get(2)?,
        status,
        rest: rest.collect::<Result<_, Error>>()?,
    }))
}
