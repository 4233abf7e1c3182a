//! An admin interface. It looks like MySQL and is none: SQLite behind a part of the protocol.
//!
//! - Text protocol only, one statement a packet: of several only the first is run, and nobody says so.
//! - Never an empty statement: a lone `;` ends the process of ProxySQL 2.7.1.
//! - No comments, no session settings, no reset: the first make LOAD unknown, the second are answered with OK and an error
//!   in the text, the third breaks the connection.
//! - Every error is 1045, a refused password among them: only the text tells them apart.

use std::fmt;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder, Row as Answer, Value};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::timeout;

use super::fault::{AdminError, fault, refusal, timed_out};
use super::rows::{Actual, COLUMNS, Groups, Row, Table, Tuning, quoted};
use crate::config::HostPort;

/// Bytes of the largest packet, and seconds until the driver takes a connection for dead: named, so that the driver does
/// not ask for both in one SELECT, which ProxySQL does not understand.
const MAX_PACKET: usize = 16 << 20;
const IDLE_S: usize = 28_800;
/// Bound of the polite end of a connection.
const GOODBYE: Duration = Duration::from_millis(200);
/// Rows of one hostgroup that are looked at: far more than any cluster has.
const ROWS_MAX: usize = 10_000;

/// Bytes of a status; the longest there is has twelve.
const STATUS_MAX: usize = 32;
/// Characters of an odd row that are shown.
const SHOWN: usize = 300;

/// How long an admin interface may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For a connection, its log-in included.
    pub connect: Duration,
    /// For one statement. LOAD of 2000 servers takes 50 ms, SAVE 30 ms.
    pub statement: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connect: Duration::from_millis(500), statement: Duration::from_secs(1) }
    }
}

/// A connection to an admin interface.
pub struct Admin {
    conn: Option<Conn>,
    limits: Limits,
}

/// A connection's own would show the password.
impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Admin {
    /// Connects and logs in. Nothing else is sent.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn connect(
        at: &HostPort,
        user: &str,
        password: &SecretString,
        limits: Limits,
    ) -> Result<Self, AdminError> {
        let connecting = Conn::new(options(at, user, password));
        let conn = match timeout(limits.connect, connecting).await {
            Ok(connected) => connected.map_err(|error| refusal(error, at, user))?,
            Err(_) => return Err(timed_out("a connection", limits.connect)),
        };
        Ok(Self { conn: Some(conn), limits })
    }

    /// One statement whose rows, if any, do not matter.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn run(&mut self, statement: &str) -> Result<(), AdminError> {
        self.answers(statement).await.map(drop)
    }

    /// One statement's rows, each value as text.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn rows(&mut self, statement: &str) -> Result<Vec<Vec<Option<String>>>, AdminError> {
        let rows = self.answers(statement).await?;
        rows.into_iter().map(|row| row.unwrap().into_iter().map(text).collect()).collect()
    }

    /// What the instance has in the two groups.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn actual(&mut self, groups: Groups) -> Result<Actual, AdminError> {
        Ok(Actual {
            memory: self.table(Table::Memory, groups).await?,
            runtime: self.table(Table::Runtime, groups).await?,
            monitored: self.monitored(groups).await?,
        })
    }

    /// One of the three copies of `mysql_servers`.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn table(&mut self, table: Table, groups: Groups) -> Result<Vec<Row>, AdminError> {
        let name = match table {
            Table::Memory => "mysql_servers",
            Table::Runtime => "runtime_mysql_servers",
            Table::Disk => "disk.mysql_servers",
        };
        let Groups { writer, reader } = groups;
        let rows = self
            .rows(&format!(
                "SELECT {COLUMNS} FROM {name} WHERE hostgroup_id IN ({writer}, {reader}) ORDER BY hostgroup_id, \
                 hostname, port LIMIT {ROWS_MAX}"
            ))
            .await?;
        rows.iter()
            .map(|row| {
                let odd = || AdminError::Unexpected(format!("{name}: {row:?}").chars().take(SHOWN).collect());
                read(row).ok_or_else(odd)
            })
            .collect()
    }

    async fn monitored(&mut self, groups: Groups) -> Result<bool, AdminError> {
        let pairs = self
            .rows(&format!(
                "SELECT writer_hostgroup FROM runtime_mysql_replication_hostgroups WHERE writer_hostgroup={} AND \
                 reader_hostgroup={}",
                groups.writer, groups.reader
            ))
            .await?;
        Ok(!pairs.is_empty())
    }

    /// How many of a server's connections are in use in the writer hostgroup.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn in_use(&mut self, group: u32, server: &HostPort) -> Result<u64, AdminError> {
        let rows = self
            .rows(&format!(
                "SELECT ConnUsed FROM stats_mysql_connection_pool WHERE hostgroup={group} AND srv_host={} AND \
                 srv_port={}",
                quoted(&server.host),
                server.port
            ))
            .await?;
        let used = rows.iter().flatten().flatten().filter_map(|used| used.parse::<u64>().ok());
        Ok(used.fold(0, u64::saturating_add))
    }

    async fn answers(&mut self, statement: &str) -> Result<Vec<Answer>, AdminError> {
        debug_assert!(!statement.trim().is_empty() && !statement.ends_with(';'), "{statement}");
        let Some(mut conn) = self.conn.take() else {
            return Err(AdminError::Gone("it was given up".into()));
        };
        let asked = timeout(self.limits.statement, async { conn.query::<Answer, _>(statement).await }).await;
        let answered = match asked {
            Ok(answered) => answered.map_err(|error| fault(error, statement)),
            Err(_) => Err(timed_out(statement, self.limits.statement)),
        };
        match &answered {
            Err(error) if error.breaks_connection() => end(conn),
            _ => self.conn = Some(conn),
        }
        answered
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        if let Some(conn) = self.conn.take() {
            end(conn);
        }
    }
}

/// Ends a connection without waiting for it.
fn end(conn: Conn) {
    if tokio::runtime::Handle::try_current().is_ok() {
        crate::task::spawn(timeout(GOODBYE, conn.disconnect()));
    }
}

fn options(at: &HostPort, user: &str, password: &SecretString) -> Opts {
    OptsBuilder::default()
        .ip_or_hostname(&at.host)
        .tcp_port(at.port)
        .user(Some(user))
        .pass(Some(password.expose_secret()))
        .prefer_socket(false)
        .max_allowed_packet(Some(MAX_PACKET))
        .wait_timeout(Some(IDLE_S))
        .tcp_nodelay(true)
        .stmt_cache_size(0)
        .into()
}

fn text(value: Value) -> Result<Option<String>, AdminError> {
    match value {
        Value::NULL => Ok(None),
        Value::Bytes(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        other => Err(AdminError::Unexpected(format!("{other:?}, not text"))),
    }
}

/// A row as [`COLUMNS`] orders it.
fn read(row: &[Option<String>]) -> Option<Row> {
    let [hostgroup, host, port, gtid_port, status, rest @ .., comment] = row else { return None };
    let number = |text: &Option<String>| text.as_deref()?.parse::<u64>().ok();
    let mut numbers = [number(gtid_port)?, 0, 0, 0, 0, 0, 0];
    if rest.len() + 1 != numbers.len() {
        return None;
    }
    for (into, from) in numbers.iter_mut().skip(1).zip(rest) {
        *into = number(from)?;
    }
    Some(Row {
        hostgroup: u32::try_from(number(hostgroup)?).ok()?,
        address: HostPort { host: host.clone()?, port: u16::try_from(number(port)?).ok()? },
        status: status.clone().filter(|status| status.len() <= STATUS_MAX)?,
        tuning: Tuning { numbers, comment: comment.clone().unwrap_or_default() },
    })
}
