//! A restored server that applies transactions out of files, as a replica does: they are put where its relay logs are, and no
//! source is ever asked. Each batch is a channel of its own, which goes with its files.
//!
//! Tried on 9.7.4 and 10.11: a new channel takes an index that lies there already, and the SQL thread alone goes through all
//! files that it names. MariaDB does so without GTID mode only (with it the thread discards what nobody has received), and
//! notes the GTIDs in `gtid_slave_pos` all the same.

use std::path::Path;
use std::time::Duration;

use super::connector::Connector;
use super::error::SqlError;
use super::fields::{Fields, quote};
use super::inspect::REPLICA_FILTERS;
use super::wire::Wire;
use crate::gtid::{Dialect, GtidSet};

/// A statement on a server that nobody else uses. One that has to wait for its workers waits for their transactions.
const WITHIN: Duration = Duration::from_secs(600);
/// Nobody has this name: nothing is ever asked there.
const NOBODY: &str = "baton-restore.invalid";
/// The server, on one connection: it has been told to go by its accounts, and lets nobody in any more who has no password.
pub struct Replayer(Wire);

/// How a channel does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Every transaction that the server has; on MariaDB the last of each domain.
    pub executed: GtidSet,
    /// Why its applier has stopped.
    pub stopped: Option<String>,
}

impl Replayer {
    /// Begins. Statements about accounts are refused by a server that goes by none, so that it is told to go by them; what the
    /// backup knows of its own replication is forgotten on MySQL, where it would keep channels from being made.
    ///
    /// # Errors
    /// The server's.
    pub async fn begin(connector: &Connector) -> Result<Self, SqlError> {
        let mut wire = Wire::open(connector, None, "replay", WITHIN).await?;
        wire.run("FLUSH NO_WRITE_TO_BINLOG PRIVILEGES").await?;
        if wire.caps().dialect == Dialect::Mysql {
            wire.run("RESET REPLICA ALL").await?;
        }
        Ok(Self(wire))
    }

    /// Which transactions it has. On MariaDB it is told of `noted`, where its own table has less.
    ///
    /// # Errors
    /// The server's.
    pub async fn stands_at(&mut self, noted: &str) -> Result<GtidSet, SqlError> {
        self.0.begin("ask which transactions there are", WITHIN);
        let own = self.executed().await?;
        let GtidSet::Mariadb(table) = &own else { return Ok(own) };
        let odd = |e: crate::gtid::GtidParseError| SqlError::Unexpected(e.to_string());
        let both = table.union(&crate::gtid::MariadbSet::parse_position(noted).map_err(odd)?);
        self.0.run(&format!("SET GLOBAL gtid_slave_pos={}", quote(&both.position()))).await?;
        Ok(GtidSet::Mariadb(both))
    }

    /// Has the server apply what the index of a channel names, beginning with the file `first`.
    ///
    /// # Errors
    /// The server's, or that it would leave some out.
    pub async fn apply(&mut self, channel: &str, first: &Path) -> Result<(), SqlError> {
        self.0.begin("begin to apply", WITHIN);
        // MariaDB puts the folder before it, whatever stands there.
        let first = match self.0.caps().dialect {
            Dialect::Mysql => first.as_os_str(),
            Dialect::Mariadb => first.file_name().unwrap_or_default(),
        };
        let (first, channel) = (quote(&first.to_string_lossy()), quote(channel));
        let statements = match self.0.caps().dialect {
            Dialect::Mysql => [
                format!(
                    "CHANGE REPLICATION SOURCE TO SOURCE_HOST='{NOBODY}', SOURCE_AUTO_POSITION=0, RELAY_LOG_FILE={first}, \
                     RELAY_LOG_POS=4 FOR CHANNEL {channel}"
                ),
                format!("START REPLICA SQL_THREAD FOR CHANNEL {channel}"),
            ],
            Dialect::Mariadb => [
                format!(
                    "CHANGE MASTER {channel} TO MASTER_HOST='{NOBODY}', MASTER_USE_GTID=no, RELAY_LOG_FILE={first}, \
                     RELAY_LOG_POS=4"
                ),
                format!("START SLAVE {channel} SQL_THREAD"),
            ],
        };
        for statement in statements {
            self.0.run(&statement).await?;
        }
        let fields = self.status(&channel).await?;
        match REPLICA_FILTERS.iter().find(|name| fields.filled(&[**name]).is_some()) {
            None => Ok(()),
            Some(filter) => Err(SqlError::Unexpected(format!(
                "the server's options filter what it applies ({filter}), and a restored server has to have all of it"
            ))),
        }
    }

    /// How far it is.
    ///
    /// # Errors
    /// The server's.
    pub async fn applied(&mut self, channel: &str) -> Result<Applied, SqlError> {
        self.0.begin("ask how far it is", WITHIN);
        let channel = quote(channel);
        // Asked first: a thread that runs now has not stopped before.
        let fields = self.status(&channel).await?;
        let runs = fields.is_on(&["replica_sql_running", "slave_sql_running"]);
        let error =
            fields.filled(&["last_sql_error"]).unwrap_or("its applier has ended, and does not say why");
        let stopped = (!runs).then(|| without_secrets(error));
        Ok(Applied { executed: self.executed().await?, stopped })
    }

    /// Ends the channel; its files go.
    ///
    /// # Errors
    /// The server's.
    pub async fn end(&mut self, channel: &str) -> Result<(), SqlError> {
        self.0.begin("end a channel", WITHIN);
        let channel = quote(channel);
        let statements = match self.0.caps().dialect {
            Dialect::Mysql => [
                format!("STOP REPLICA SQL_THREAD FOR CHANNEL {channel}"),
                format!("RESET REPLICA ALL FOR CHANNEL {channel}"),
            ],
            Dialect::Mariadb => [format!("STOP SLAVE {channel}"), format!("RESET SLAVE {channel} ALL")],
        };
        for statement in statements {
            self.0.run(&statement).await?;
        }
        Ok(())
    }

    async fn status(&mut self, channel: &str) -> Result<Fields, SqlError> {
        let ask = match self.0.caps().dialect {
            Dialect::Mysql => format!("SHOW REPLICA STATUS FOR CHANNEL {channel}"),
            Dialect::Mariadb => format!("SHOW SLAVE {channel} STATUS"),
        };
        let row = self.0.row(&ask).await?;
        row.as_ref()
            .map(Fields::of_row)
            .ok_or_else(|| SqlError::Unexpected("the channel is not there".into()))
    }

    async fn executed(&mut self) -> Result<GtidSet, SqlError> {
        let dialect = self.0.caps().dialect;
        let variable = match dialect {
            Dialect::Mysql => "gtid_executed",
            Dialect::Mariadb => "gtid_slave_pos",
        };
        let row = self.0.row(&format!("SELECT @@GLOBAL.{variable} AS gtids")).await?;
        let fields = row.as_ref().map(Fields::of_row).unwrap_or_default();
        let text = fields.must("gtids")?;
        let read = match dialect {
            Dialect::Mysql => GtidSet::parse_mysql(text),
            Dialect::Mariadb => GtidSet::parse_mariadb_pos(text),
        };
        read.map_err(|e| SqlError::Unexpected(e.to_string()))
    }
}

/// A statement, or what a server says of one, up to where a password or its digest may stand: an account's, or in the URL of a
/// table that lies elsewhere (FEDERATED, CONNECT).
pub(crate) fn without_secrets(text: &str) -> String {
    let upper = text.to_ascii_uppercase();
    let secret = ["IDENTIFIED", "PASSWORD", "://"].iter().filter_map(|word| upper.find(word)).min();
    match secret.and_then(|at| text.get(..at)) {
        Some(before) => format!("{before}…"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_cut_off() {
        let error = "Error 'no such plugin' on query: 'CREATE USER `a` identified with `x` AS '*digest''";
        assert_eq!(without_secrets(error), "Error 'no such plugin' on query: 'CREATE USER `a` …");
        assert_eq!(without_secrets("SET PASSWORD FOR a='*digest'"), "SET …");
        assert_eq!(without_secrets("DROP TABLE t"), "DROP TABLE t");
        let elsewhere = "CREATE TABLE r (a INT) ENGINE=FEDERATED CONNECTION='mysql://app:secret@host/shop/r'";
        assert!(without_secrets(elsewhere).ends_with("CONNECTION='mysql…"));
    }
}
