//! A client that writes all the time and keeps book: what was acknowledged has to be found later.

mod book;
mod session;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use mysql_async::prelude::Queryable;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::bounded::within;
use super::dialect::Account;
use super::host::Host;
use super::server::Server;
use book::Book;
use session::Session;

pub use book::{Outcome, Write};

const READ_BOUND: Duration = Duration::from_secs(120);

/// How a ledger writes.
#[derive(Debug, Clone)]
pub struct LedgerOptions {
    /// As whom they write.
    pub account: Account,
    /// How many sessions write at once.
    pub sessions: usize,
    /// One write of each session per this time; `None` writes as fast as answers come.
    pub pace: Option<Duration>,
    /// How long to wait for a connection, its log-in included.
    pub connect_timeout: Duration,
    /// How long to wait for the answer to one write.
    pub write_timeout: Duration,
    /// Whether a session whose write was refused goes on where it is, instead of connecting again.
    pub stays_when_refused: bool,
}

impl Default for LedgerOptions {
    /// Eight sessions of an application, each one write per 20 ms.
    fn default() -> Self {
        Self {
            account: Account::APP,
            sessions: 8,
            pace: Some(Duration::from_millis(20)),
            connect_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(10),
            stays_when_refused: false,
        }
    }
}

/// What a server holds of a ledger's rows.
#[derive(Debug, Clone)]
pub struct Found {
    /// Rows found.
    pub rows: usize,
    /// Acknowledged writes that are not there: sessions and counts.
    pub lost: Vec<(i32, i64)>,
    /// Refused writes that are there nevertheless.
    pub refused: Vec<(i32, i64)>,
    /// Rows that are there more than once.
    pub doubled: usize,
}

/// Sessions that write until they are stopped.
#[derive(Debug)]
pub struct Ledger {
    book: Arc<Book>,
    stop: watch::Sender<bool>,
    sessions: JoinSet<()>,
    began_with: usize,
    started: Instant,
    stopped: Option<Instant>,
}

impl Ledger {
    /// Starts the sessions on a host. Each takes the next of `targets` whenever it has to connect again; there must be
    /// at least one.
    pub fn start(host: &Host, targets: &[SocketAddr], options: LedgerOptions) -> Self {
        // Sessions of two ledgers on one cluster must not be taken for each other's.
        static NEXT: AtomicI32 = AtomicI32::new(0);
        let book = Arc::new(Book::default());
        let (stop, stopped) = watch::channel(false);
        let mut sessions = JoinSet::new();
        for number in 0..options.sessions {
            let session = Session {
                client: NEXT.fetch_add(1, Ordering::Relaxed),
                seq: 0,
                targets: targets.to_vec(),
                next_target: number,
                options: options.clone(),
                book: Arc::clone(&book),
                stopped: stopped.clone(),
            };
            sessions.spawn_on(session.run(), host.runtime());
        }
        Self { book, stop, sessions, began_with: options.sessions, started: Instant::now(), stopped: None }
    }

    /// Lets each session finish the write it is at, then ends it. Bounded by the options' two timeouts.
    pub async fn stop(&mut self) {
        // An error says that no session is left.
        let _ = self.stop.send(true);
        self.stopped.get_or_insert_with(Instant::now);
        while self.sessions.join_next().await.is_some() {}
    }

    /// All writes so far, in the order in which their outcomes became known.
    pub fn writes(&self) -> Vec<Write> {
        self.book.writes().clone()
    }

    /// How many writes were acknowledged so far.
    pub fn acknowledged(&self) -> usize {
        self.book.writes().iter().filter(|write| write.outcome == Outcome::Acknowledged).count()
    }

    /// How many times a session connected so far: as often as there are sessions, when none was ever cut.
    pub fn connections(&self) -> usize {
        self.book.connects().len()
    }

    /// Whether every session is still on its first connection.
    ///
    /// # Errors
    /// When one had to connect again, or has not connected at all.
    pub fn no_session_was_cut(&self) -> Result<()> {
        let connections = self.connections();
        ensure!(connections == self.began_with, "{connections} connections of {} sessions", self.began_with);
        Ok(())
    }

    /// The longest time without an acknowledged write, of all sessions together. The time before the first one and
    /// since the last one (until the ledger was stopped) counts, so that writes which never come back do not look well.
    pub fn outage(&self) -> Duration {
        self.gap_after(self.started)
    }

    /// The same, of gaps that end after `moment`: the outage that a fault at `moment` made.
    pub fn gap_after(&self, moment: Instant) -> Duration {
        self.gap_between(moment, self.stopped.unwrap_or_else(Instant::now))
    }

    /// The same, of gaps that end after one moment and begin before another.
    pub fn gap_between(&self, from: Instant, to: Instant) -> Duration {
        let writes = self.book.writes();
        let acknowledged = writes.iter().filter(|write| write.outcome == Outcome::Acknowledged);
        let end = self.stopped.unwrap_or_else(Instant::now);
        longest_gap(
            [self.started].into_iter().chain(acknowledged.map(|write| write.ended)).chain([end]),
            from,
            to,
        )
    }

    /// Compares a server's table with the book. Call it after [`Ledger::stop`].
    ///
    /// # Errors
    /// When the table cannot be read.
    pub async fn found(&self, server: &Server) -> Result<Found> {
        let mut connection = server.connect().await?;
        let query = "SELECT client, seq FROM app.writes";
        let rows: Vec<(i32, i64)> =
            within("reading the ledger's table", READ_BOUND, connection.query(query)).await?;
        let writes = self.book.writes();
        let clients: HashSet<i32> = writes.iter().map(|write| write.client).collect();
        let rows: Vec<_> = rows.into_iter().filter(|row| clients.contains(&row.0)).collect();
        let there: HashSet<_> = rows.iter().copied().collect();
        let of = |wanted: fn(&Outcome) -> bool| {
            writes.iter().filter(move |write| wanted(&write.outcome)).map(|write| (write.client, write.seq))
        };
        Ok(Found {
            rows: rows.len(),
            lost: of(|outcome| *outcome == Outcome::Acknowledged)
                .filter(|key| !there.contains(key))
                .collect(),
            refused: of(|outcome| matches!(outcome, Outcome::Refused(_)))
                .filter(|key| there.contains(key))
                .collect(),
            doubled: rows.len() - there.len(),
        })
    }
}

/// The longest time between two neighbours of which the later is after `from` and the earlier before `to`. `instants` are in order: outcomes are
/// noted as they become known.
fn longest_gap(instants: impl Iterator<Item = Instant>, from: Instant, to: Instant) -> Duration {
    let mut last = None;
    let gaps = instants.filter_map(|instant| {
        let before = last.replace(instant)?;
        (instant > from && before < to).then(|| instant.saturating_duration_since(before))
    });
    gaps.max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gap_is_the_longest_that_ends_after_the_moment() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let acknowledged = [at(0), at(500), at(510), at(530), at(830), at(840)];
        let longest = |from, to| longest_gap(acknowledged.into_iter(), from, to);
        assert_eq!(longest(start, at(900)), Duration::from_millis(500));
        assert_eq!(longest(at(505), at(900)), Duration::from_millis(300));
        assert_eq!(longest_gap([start].into_iter(), start, at(900)), Duration::ZERO);
        // One that is under way at either moment counts whole, one that begins later does not.
        assert_eq!(longest(at(505), at(520)), Duration::from_millis(20));
        assert_eq!(longest(at(600), at(700)), Duration::from_millis(300));
    }
}
