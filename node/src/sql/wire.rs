//! One connection with a deadline. Every statement that Baton sends goes through [`Wire::sets`].

use std::sync::Arc;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};
use tokio::time::{Instant, timeout_at};

use super::capabilities::Capabilities;
use super::connector::Connector;
use super::error::SqlError;

/// A connection. A statement that runs out of time, or whose caller goes away, costs the connection, and the statement
/// is killed by id over another one.
pub(super) struct Wire {
    conn: Option<Conn>,
    id: u32,
    connector: Connector,
    what: &'static str,
    begun: Instant,
    deadline: Instant,
    caps: Arc<Capabilities>,
}

impl Wire {
    /// Connects and learns what the server can do, unless `known` says it for a server of the same version.
    pub(super) async fn open(
        connector: &Connector,
        known: Option<Arc<Capabilities>>,
        what: &'static str,
        bound: Duration,
    ) -> Result<Self, SqlError> {
        let begun = Instant::now();
        let deadline = begun + bound;
        let conn = connector.connect_when_full(deadline).await?;
        Self::over(conn, connector, known, what, begun, deadline).await
    }

    /// The same over a connection that is there already.
    pub(super) async fn over(
        conn: Conn,
        connector: &Connector,
        known: Option<Arc<Capabilities>>,
        what: &'static str,
        begun: Instant,
        deadline: Instant,
    ) -> Result<Self, SqlError> {
        let known = known.filter(|k| k.complete() && k.handshake == conn.server_version());
        let handshake = conn.server_version();
        let mut wire = Self {
            id: conn.id(),
            conn: Some(conn),
            connector: connector.clone(),
            what,
            begun,
            deadline,
            caps: known.clone().unwrap_or_default(),
        };
        if known.is_none() {
            wire.caps = Arc::new(Capabilities::ask(&mut wire, handshake).await?);
        }
        Ok(wire)
    }

    /// Begins another call on the same connection.
    pub(super) fn begin(&mut self, what: &'static str, bound: Duration) {
        self.what = what;
        self.begun = Instant::now();
        self.deadline = self.begun + bound;
    }

    /// The server's id of this session.
    pub(super) fn id(&self) -> u32 {
        self.id
    }

    pub(super) fn is_broken(&self) -> bool {
        self.conn.is_none()
    }

    pub(super) fn caps(&self) -> Arc<Capabilities> {
        Arc::clone(&self.caps)
    }

    pub(super) fn connector(&self) -> &Connector {
        &self.connector
    }

    /// What is left of the call's bound.
    pub(super) fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    pub(super) fn timed_out(&self) -> SqlError {
        SqlError::TimedOut { what: self.what, after: self.begun.elapsed() }
    }

    /// Sends one or several statements (`;` between them) and collects each result.
    pub(super) async fn sets(&mut self, sql: &str) -> Result<Vec<Vec<Row>>, SqlError> {
        let Some(conn) = self.conn.take() else {
            return Err(SqlError::Gone { message: "this connection was given up".into() });
        };
        let mut flight = InFlight { conn: Some(conn), connector: &self.connector };
        let result = timeout_at(self.deadline, flight.collect(sql)).await;
        match result.unwrap_or_else(|_| Err(self.timed_out())) {
            Ok(sets) => {
                self.conn = flight.conn.take();
                Ok(sets)
            }
            Err(error) if error.breaks_connection() => {
                if !matches!(error, SqlError::TimedOut { .. }) {
                    flight.land();
                }
                Err(error)
            }
            Err(error) => {
                self.conn = flight.conn.take();
                Err(error)
            }
        }
    }

    /// One statement's rows.
    pub(super) async fn rows(&mut self, sql: &str) -> Result<Vec<Row>, SqlError> {
        Ok(self.sets(sql).await?.into_iter().next().unwrap_or_default())
    }

    /// One statement's first row, if any.
    pub(super) async fn row(&mut self, sql: &str) -> Result<Option<Row>, SqlError> {
        Ok(self.rows(sql).await?.into_iter().next())
    }

    /// A statement whose rows, if any, do not matter.
    pub(super) async fn run(&mut self, sql: &str) -> Result<(), SqlError> {
        self.sets(sql).await.map(drop)
    }

    /// Waits a moment between two looks at a condition; errs when the bound has passed.
    pub(super) async fn pause(&self, moment: Duration) -> Result<(), SqlError> {
        if self.left().is_zero() {
            return Err(self.timed_out());
        }
        tokio::time::sleep(moment.min(self.left())).await;
        Ok(())
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if let Some(conn) = self.conn.take() {
            self.connector.end(conn);
        }
    }
}

/// A statement under way. Dropped before it lands (out of time, or its caller was dropped), it is killed.
struct InFlight<'a> {
    conn: Option<Conn>,
    connector: &'a Connector,
}

impl InFlight<'_> {
    async fn collect(&mut self, sql: &str) -> Result<Vec<Vec<Row>>, SqlError> {
        let Some(conn) = self.conn.as_mut() else { return Ok(Vec::new()) };
        let mut result = conn.query_iter(sql).await?;
        let mut sets = Vec::new();
        loop {
            sets.push(result.collect::<Row>().await?);
            if result.is_empty() {
                // The driver keeps the error of a later statement for whoever asks next, and calls the result empty.
                result.drop_result().await?;
                return Ok(sets);
            }
        }
    }

    /// The connection is of no further use and nothing runs on it.
    fn land(&mut self) {
        if let Some(conn) = self.conn.take() {
            self.connector.end(conn);
        }
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        let Some(conn) = self.conn.take() else { return };
        let id = conn.id();
        self.connector.end(conn);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(kill(self.connector.clone(), id));
        }
    }
}

/// Kills a session over a connection of its own. Whether it worked cannot be told from here: who must know looks at the
/// process list.
async fn kill(connector: Connector, id: u32) {
    let deadline = Instant::now() + connector.limits().connect;
    if let Ok(mut conn) = connector.connect_when_full(deadline).await {
        let _gone_already = timeout_at(deadline, conn.query_drop(format!("KILL {id}"))).await;
        connector.end(conn);
    }
}
