//! A connection that is made when first needed and made again when it broke, for one user at a time.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex as PlainMutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, timeout_at};

use super::capabilities::Capabilities;
use super::connector::Connector;
use super::error::SqlError;
use super::wire::Wire;

/// What a server can do, remembered between connections.
pub(super) type Known = Arc<PlainMutex<Option<Arc<Capabilities>>>>;

/// One lazily made connection.
pub(super) struct Line {
    connector: Connector,
    known: Known,
    slot: Mutex<Option<Wire>>,
}

/// A line in use. Dereferences to its [`Wire`].
pub(super) struct Held<'a> {
    slot: MutexGuard<'a, Option<Wire>>,
    wire: Option<Wire>,
}

impl Line {
    pub(super) fn new(connector: Connector, known: Known) -> Self {
        Self { connector, known, slot: Mutex::new(None) }
    }

    /// Takes the line as it is: a connection that died meanwhile shows itself as [`SqlError::Gone`], which is the signal
    /// a probe wants.
    pub(super) async fn take(&self, what: &'static str, bound: Duration) -> Result<Held<'_>, SqlError> {
        let begun = Instant::now();
        let Ok(mut slot) = timeout_at(begun + bound, self.slot.lock()).await else {
            return Err(SqlError::TimedOut { what, after: bound });
        };
        let left = bound.saturating_sub(begun.elapsed());
        let wire = match slot.take().filter(|wire| !wire.is_broken()) {
            Some(mut wire) => {
                wire.begin(what, left);
                wire
            }
            None => self.connect(what, left).await?,
        };
        Ok(Held { slot, wire: Some(wire) })
    }

    /// Takes the line after having seen that the connection lives, and makes a new one where it does not: for commands
    /// that must not fail for an idle connection's sake.
    pub(super) async fn take_living(
        &self,
        what: &'static str,
        bound: Duration,
    ) -> Result<Held<'_>, SqlError> {
        let mut held = self.take(what, bound).await?;
        if held.run("DO 0").await.is_err() {
            let left = held.left();
            held.wire = Some(self.connect(what, left).await?);
        }
        Ok(held)
    }

    /// Makes a connection beside this line and ends it.
    pub(super) async fn connect_anew(&self, bound: Duration) -> Result<(), SqlError> {
        let conn = self.connector.connect(Instant::now() + bound).await?;
        self.connector.end(conn);
        Ok(())
    }

    async fn connect(&self, what: &'static str, bound: Duration) -> Result<Wire, SqlError> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let wire = Wire::open(&self.connector, known, what, bound).await?;
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(wire.caps());
        Ok(wire)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        *self.slot = self.wire.take().filter(|wire| !wire.is_broken());
    }
}

impl Deref for Held<'_> {
    type Target = Wire;

    #[expect(clippy::expect_used, reason = "the wire leaves only in drop")]
    fn deref(&self) -> &Wire {
        self.wire.as_ref().expect("held until dropped")
    }
}

impl DerefMut for Held<'_> {
    #[expect(clippy::expect_used, reason = "the wire leaves only in drop")]
    fn deref_mut(&mut self) -> &mut Wire {
        self.wire.as_mut().expect("held until dropped")
    }
}
