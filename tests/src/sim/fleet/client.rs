//! A client of a server: the ledger's, or one with all privileges that writes straight to it.

use std::time::Duration;

use baton_node::sql::SqlError;
use tokio::time::timeout;

use super::connection::Connection;
use super::process::SessionKind;
use super::{Fleet, Host, Row};

/// The account of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    /// An ordinary one.
    Ordinary,
    /// One with all privileges, which `read_only` alone does not keep from writing.
    Privileged,
}

/// What became of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// Committed, said the server.
    Acknowledged,
    /// Refused: certainly not committed.
    Failed(SqlError),
    /// The connection was lost, or the bound passed: it may be committed, now or later.
    Unknown(SqlError),
}

/// A client's connection.
pub struct Client {
    connection: Connection,
}

impl Fleet {
    /// Connects from a host to the server on another, or on the same.
    ///
    /// # Errors
    /// [`SqlError::Refused`], [`SqlError::TooManyConnections`], [`SqlError::TimedOut`].
    pub async fn client(
        &self,
        from: &str,
        to: &Host,
        user: User,
        bound: Duration,
    ) -> Result<Client, SqlError> {
        let at = self.lock().by_host.get(to).copied();
        let at = at.ok_or_else(|| SqlError::Refused { address: to.clone() })?;
        let (name, kind) = match user {
            User::Ordinary => ("app", SessionKind::Client),
            User::Privileged => ("root", SessionKind::Privileged),
        };
        let connecting = self.connect(from, at, name, kind);
        let late = |_| SqlError::TimedOut { what: "connect", after: bound };
        Ok(Client { connection: timeout(bound, connecting).await.map_err(late)?? })
    }
}

impl Client {
    /// Writes a row. After [`Written::Unknown`] the connection is of no further use.
    pub async fn write(&self, row: Row, bound: Duration) -> Written {
        let wrote = self.connection.wait(|m, at, session, reply| m.write(at, session, Some(row), reply));
        written(timeout(bound, wrote).await, bound)
    }

    /// Prepares an XA transaction with this row; it survives the session and the server.
    pub async fn xa_prepare(&self, row: Row, bound: Duration) -> Written {
        let prepared = self.connection.ask(|m, at, _| m.xa_prepare(at, row));
        written(timeout(bound, async { prepared.await? }).await, bound)
    }

    /// Commits a prepared one.
    pub async fn xa_commit(&self, row: Row, bound: Duration) -> Written {
        let committed = self.connection.wait(|m, at, session, reply| m.xa_commit(at, session, row, reply));
        written(timeout(bound, committed).await, bound)
    }

    /// `LOCK TABLES … WRITE`, held as long as the connection, or its end.
    ///
    /// # Errors
    /// When the connection is gone, or the bound passed.
    pub async fn lock_tables(&self, hold: bool, bound: Duration) -> Result<(), SqlError> {
        let locks = self.connection.ask(|m, at, session| m.lock_tables(at, session, hold));
        timeout(bound, locks).await.unwrap_or(Err(SqlError::TimedOut { what: "lock", after: bound }))
    }

    /// Of these rows, those that a reader of this server sees.
    ///
    /// # Errors
    /// When the connection is gone, or the bound passed.
    pub async fn read(&self, wanted: &[Row], bound: Duration) -> Result<Vec<Row>, SqlError> {
        let read = self.connection.ask(|m, at, _| {
            let rows = &m.servers[at].store.rows;
            wanted.iter().filter(|row| rows.contains(row)).copied().collect()
        });
        timeout(bound, read).await.unwrap_or(Err(SqlError::TimedOut { what: "read", after: bound }))
    }
}

fn written(answer: Result<Result<(), SqlError>, tokio::time::error::Elapsed>, bound: Duration) -> Written {
    match answer.unwrap_or(Err(SqlError::TimedOut { what: "write", after: bound })) {
        Ok(()) => Written::Acknowledged,
        Err(error) if error.server_answered() => Written::Failed(error),
        Err(error) => Written::Unknown(error),
    }
}
