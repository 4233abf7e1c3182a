//! A server's binlog, read over a connection as a replica reads it: that works where the files are encrypted, compressed
//! or not Baton's to open.

use std::time::Duration;

use futures::StreamExt;
use mysql_async::binlog::events::Event;
use mysql_async::prelude::Queryable;
use mysql_async::{BinlogStream, BinlogStreamRequest};
use tokio::time::{Instant, timeout};

use super::connector::Connector;
use super::error::SqlError;
use super::fields::{Fields, text_at};
use super::wire::Wire;
use crate::gtid::{Dialect, GtidSet};

/// Listing the files and their heads: each is a read of a few hundred bytes.
pub(super) const LOOK: Duration = Duration::from_secs(30);
/// A server that sends nothing for so long while it has more to send is stuck.
const NEXT: Duration = Duration::from_secs(60);
/// How this reader names itself to the server. No server of a cluster has it; one that reads with the id of a replica
/// would end that replica's connection.
const READER_ID: u32 = 4_294_901_760;
/// The format event, what went before, and what MariaDB puts between the two when it encrypts.
const HEAD_EVENTS: u32 = 4;

/// One binlog file of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BinlogFile {
    /// As `SHOW BINARY LOGS` names it.
    pub name: String,
    /// Bytes.
    pub size: u64,
}

/// A column as InnoDB knows it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TableColumn {
    /// Its name.
    pub name: String,
    /// An integer without a sign.
    pub unsigned: bool,
}

/// Reads one server's binlog.
#[derive(Clone, Debug)]
pub struct BinlogReader(pub(super) Connector);

impl BinlogReader {
    /// Connects to nothing yet.
    pub fn new(connector: Connector) -> Self {
        Self(connector.for_events())
    }

    /// All binlog files, oldest first.
    ///
    /// # Errors
    /// [`SqlError`]; [`SqlError::MissingPrivilege`] where Baton's account may not look.
    pub async fn files(&self) -> Result<Vec<BinlogFile>, SqlError> {
        let rows = self.wire("list the binlog").await?.rows("SHOW BINARY LOGS").await?;
        let file = |row| {
            let (name, size) = (text_at(row, 0)?, text_at(row, 1)?.parse().ok()?);
            Some(BinlogFile { name, size })
        };
        rows.iter()
            .map(|row| file(row).ok_or_else(|| SqlError::Unexpected("SHOW BINARY LOGS".into())))
            .collect()
    }

    /// The transactions that precede the first one of a file.
    ///
    /// # Errors
    /// [`SqlError::Unexpected`] when the file does not say.
    pub async fn before(&self, file: &str) -> Result<GtidSet, SqlError> {
        let mut wire = self.wire("read the head of a binlog file").await?;
        let show = format!("SHOW BINLOG EVENTS IN '{}' LIMIT {HEAD_EVENTS}", file.replace('\'', "''"));
        let rows = wire.rows(&show).await?;
        let before = rows.iter().map(Fields::of_row).find_map(|event| {
            let info = event.text(&["info"]).unwrap_or_default();
            match event.text(&["event_type"])? {
                "Previous_gtids" => Some(GtidSet::parse_mysql(info)),
                "Gtid_list" => Some(GtidSet::parse_mariadb_state(info.trim_matches(['[', ']']))),
                _ => None,
            }
        });
        let unknown = || SqlError::Unexpected(format!("{file} does not say which transactions precede it"));
        before.ok_or_else(unknown)?.map_err(|e| SqlError::Unexpected(format!("{file}: {e}")))
    }

    /// Every event from the beginning of `file` to the end of the binlog, files in their order.
    ///
    /// # Errors
    /// [`SqlError::MissingPrivilege`] without REPLICATION SLAVE.
    pub async fn events(&self, file: &str) -> Result<BinlogEvents, SqlError> {
        let what = "begin to read the binlog";
        let mut conn = self.0.connect(Instant::now() + LOOK).await?;
        let id = conn.id();
        let begin = async {
            // Or MariaDB writes its GTID events as something that older replicas understand.
            conn.query_drop("SET @mariadb_slave_capability=4").await?;
            let request = BinlogStreamRequest::new(READER_ID).with_non_blocking();
            conn.get_binlog_stream(request.with_filename(file.as_bytes()).with_pos(4)).await
        };
        let begun = timeout(LOOK, begin).await;
        let late = || SqlError::TimedOut { what, after: LOOK };
        match begun.map_err(|_| late()).and_then(|begun| begun.map_err(SqlError::from)) {
            Ok(stream) => Ok(BinlogEvents { stream: Some(stream), id, connector: self.0.clone() }),
            Err(error) => {
                self.0.forget(id);
                Err(error)
            }
        }
    }

    /// The columns of a table in their order, empty where the server does not say: another engine than InnoDB, a name
    /// that its file name spells otherwise, a table that is gone. What stands in `information_schema.COLUMNS` shows only
    /// to accounts that may read the table; this needs PROCESS.
    ///
    /// # Errors
    /// [`SqlError`].
    pub async fn columns(&self, schema: &str, table: &str) -> Result<Vec<TableColumn>, SqlError> {
        if ![schema, table].iter().all(|n| n.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')) {
            return Ok(Vec::new());
        }
        let mut wire = self.wire("read the columns of a table").await?;
        let prefix = if wire.caps().dialect == Dialect::Mariadb { "INNODB_SYS_" } else { "INNODB_" };
        // 512 is InnoDB's DATA_UNSIGNED.
        let rows = wire
            .rows(&format!(
                "SELECT c.NAME, c.PRTYPE & 512 FROM information_schema.{prefix}COLUMNS c \
                 JOIN information_schema.{prefix}TABLES t ON t.TABLE_ID = c.TABLE_ID \
                 WHERE t.NAME = '{schema}/{table}' ORDER BY c.POS"
            ))
            .await?;
        let column = |row| {
            let (name, unsigned) = (text_at(row, 0)?, text_at(row, 1)? != "0");
            Some(TableColumn { name, unsigned })
        };
        Ok(rows.iter().filter_map(column).collect())
    }

    pub(super) async fn wire(&self, what: &'static str) -> Result<Wire, SqlError> {
        Wire::open(&self.0, None, what, LOOK).await
    }
}

/// Events as they come.
pub struct BinlogEvents {
    stream: Option<BinlogStream>,
    id: u32,
    connector: Connector,
}

impl BinlogEvents {
    /// The next event; none at the end of the binlog.
    ///
    /// # Errors
    /// [`SqlError`]; the stream is of no further use then.
    pub async fn next(&mut self) -> Result<Option<Event>, SqlError> {
        let Some(stream) = &mut self.stream else { return Ok(None) };
        match timeout(NEXT, stream.next()).await {
            Ok(Some(event)) => event.map(Some).map_err(SqlError::from),
            Ok(None) => Ok(None),
            Err(_) => Err(SqlError::TimedOut { what: "read the binlog", after: NEXT }),
        }
    }
}

impl Drop for BinlogEvents {
    fn drop(&mut self) {
        self.connector.forget(self.id);
    }
}
