//! One session of a ledger.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval_at, sleep, timeout};

use super::LedgerOptions;
use super::book::{Book, Outcome, Write};
use crate::sandbox::server::tcp_options;

/// Between two attempts to connect that failed at once.
const CONNECT_PAUSE: Duration = Duration::from_millis(5);
/// A good-bye is a courtesy, so that no server logs an aborted connection.
const GOODBYE_BOUND: Duration = Duration::from_secs(1);

/// A session: it writes one row after another until it is told to stop.
pub(super) struct Session {
    pub(super) client: i32,
    pub(super) seq: i64,
    pub(super) targets: Vec<SocketAddr>,
    /// Counts up with each attempt to connect. At first it is the session's number, which spreads sessions over the
    /// targets and over the pace.
    pub(super) next_target: usize,
    pub(super) options: LedgerOptions,
    pub(super) book: Arc<Book>,
    pub(super) stopped: watch::Receiver<bool>,
}

impl Session {
    pub(super) async fn run(mut self) {
        let mut pace = self.options.pace.map(|period| {
            let share = self.next_target as f64 / self.options.sessions as f64;
            let mut pace = interval_at(tokio::time::Instant::now() + period.mul_f64(share), period);
            // After an outage the pace goes on as before, instead of making up for what was missed.
            pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
            pace
        });
        let mut connection = None;
        while !*self.stopped.borrow() {
            let Some(open) = connection.as_mut() else {
                connection = self.connect().await;
                continue;
            };
            if let Some(pace) = pace.as_mut() {
                pace.tick().await;
            }
            if !self.write(open).await {
                connection = None;
            }
        }
        if let Some(connection) = connection {
            let _ = timeout(GOODBYE_BOUND, connection.disconnect()).await;
        }
    }

    async fn connect(&mut self) -> Option<Conn> {
        let target = self.targets[self.next_target % self.targets.len()];
        self.next_target += 1;
        let began = Instant::now();
        let connecting = Conn::new(tcp_options(target, self.options.account));
        match timeout(self.options.connect_timeout, connecting).await {
            Ok(Ok(connection)) => {
                self.book.connects().push(began);
                Some(connection)
            }
            _ => {
                sleep(CONNECT_PAUSE).await;
                None
            }
        }
    }

    /// Writes one row. Says whether the connection is still good.
    async fn write(&mut self, connection: &mut Conn) -> bool {
        self.seq += 1;
        let at_us = Timestamp::now().as_microsecond();
        let (client, seq) = (self.client, self.seq);
        let insert = format!("INSERT INTO app.writes (client, seq, at_us) VALUES ({client}, {seq}, {at_us})");
        let sent = Instant::now();
        let answer = timeout(self.options.write_timeout, connection.query_drop(insert)).await;
        let outcome = match answer {
            Ok(Ok(())) => Outcome::Acknowledged,
            Ok(Err(Error::Server(error))) if !leaves_unknown(error.code) => Outcome::Refused(error.code),
            Ok(Err(error)) => Outcome::Unknown(error.to_string()),
            Err(_) => Outcome::Unknown("no answer in time".to_owned()),
        };
        let good = match &outcome {
            Outcome::Acknowledged => true,
            Outcome::Refused(_) => self.options.stays_when_refused,
            Outcome::Unknown(_) => false,
        };
        // Timed under the lock, so that the book is in the order of its instants.
        let mut writes = self.book.writes();
        writes.push(Write { client, seq, sent, ended: Instant::now(), outcome });
        good
    }
}

/// Errors that a server may give after a commit has reached its binlog: shutting down, killed, interrupted, and the
/// connection's own, also behind a proxy.
fn leaves_unknown(code: u16) -> bool {
    matches!(code, 1053 | 1152 | 1158..=1161 | 1180 | 1196 | 1317 | 1927 | 2013 | 3100 | 3101)
}
