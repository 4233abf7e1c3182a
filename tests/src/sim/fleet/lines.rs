//! Lines: the connections that a managed server keeps, and statements on them within a bound.

use std::time::Duration;

use baton_node::sql::SqlError;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, sleep, timeout_at};

use super::Fleet;
use super::connection::Connection;
use super::machine::Machine;
use super::process::{Reply, SessionKind};
use super::statements::gone;

/// A connection that is made when first needed and again when it broke, for one user at a time.
#[derive(Default)]
pub(super) struct Line(Mutex<Option<Connection>>);

/// A line in use, with a bound on everything done with it.
pub(super) struct Held<'a> {
    slot: MutexGuard<'a, Option<Connection>>,
    connection: Option<Connection>,
    what: &'static str,
    bound: Duration,
    deadline: Instant,
    /// A statement is under way.
    mid: bool,
}

/// Whose connections these are.
#[derive(Clone, Copy)]
pub(super) struct Way<'a> {
    pub(super) fleet: &'a Fleet,
    pub(super) from: &'a str,
    pub(super) at: usize,
}

impl Line {
    /// Takes the line. `living`: a connection that died meanwhile is made anew; else it is an error, which a probe wants.
    pub(super) async fn take<'a>(
        &'a self,
        way: Way<'_>,
        what: &'static str,
        bound: Duration,
        living: bool,
    ) -> Result<Held<'a>, SqlError> {
        let deadline = Instant::now() + bound;
        let late = |_| SqlError::TimedOut { what, after: bound };
        let slot = timeout_at(deadline, self.0.lock()).await.map_err(late)?;
        let mut held = Held { slot, connection: None, what, bound, deadline, mid: false };
        held.connection = held.slot.take();
        if living && held.connection.is_some() && held.read(|_, _| ()).await.is_err() {
            held.connection = None;
        }
        if held.connection.is_none() {
            let connecting = way.fleet.connect(way.from, way.at, "baton", SessionKind::Baton);
            held.connection = Some(timeout_at(deadline, connecting).await.map_err(late)??);
        }
        Ok(held)
    }
}

impl Held<'_> {
    /// Another bound from here on.
    pub(super) fn begin(&mut self, what: &'static str, bound: Duration) {
        (self.what, self.bound, self.deadline) = (what, bound, Instant::now() + bound);
    }

    pub(super) fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    pub(super) fn session(&self) -> u64 {
        self.connection.as_ref().map_or(0, |c| c.session)
    }

    /// Reads the server.
    pub(super) async fn read<T>(&mut self, f: impl FnOnce(&Machine, usize) -> T) -> Result<T, SqlError> {
        let Some(connection) = &self.connection else { return Err(gone()) };
        self.mid = true;
        let answer = timeout_at(self.deadline, connection.reads(|m, at, _| f(m, at))).await;
        self.ended(answer)
    }

    /// Runs a statement that ends at once.
    pub(super) async fn ask<T>(
        &mut self,
        f: impl FnOnce(&mut Machine, usize, u64) -> T,
    ) -> Result<T, SqlError> {
        let Some(connection) = &self.connection else { return Err(gone()) };
        self.mid = true;
        let answer = timeout_at(self.deadline, connection.ask(f)).await;
        self.ended(answer)
    }

    /// Runs a statement that may wait in the server.
    pub(super) async fn wait<T>(
        &mut self,
        f: impl FnOnce(&mut Machine, usize, u64, Reply<T>),
    ) -> Result<T, SqlError> {
        let Some(connection) = &self.connection else { return Err(gone()) };
        self.mid = true;
        let answer = timeout_at(self.deadline, connection.wait(f)).await;
        self.ended(answer)
    }

    fn ended<T>(
        &mut self,
        answer: Result<Result<T, SqlError>, tokio::time::error::Elapsed>,
    ) -> Result<T, SqlError> {
        self.mid = false;
        let late = SqlError::TimedOut { what: self.what, after: self.bound };
        let answer = answer.unwrap_or(Err(late));
        if answer.as_ref().is_err_and(SqlError::breaks_connection) {
            self.connection = None;
        }
        answer
    }

    /// A pause between two looks, within the bound.
    pub(super) async fn pause(&self, pause: Duration) -> Result<(), SqlError> {
        if self.left() < pause {
            return Err(SqlError::TimedOut { what: self.what, after: self.bound });
        }
        sleep(pause).await;
        Ok(())
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        *self.slot = self.connection.take().filter(|_| !self.mid);
    }
}
