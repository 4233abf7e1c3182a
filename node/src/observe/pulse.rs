//! From what a server says to what decisions read.

use tokio::time::{Duration, Instant};

use crate::decide::seen::{Channel, Pulse};
use crate::sql::{self, Replication, Switch, ThreadError};

/// Remembers when a replica was last seen to receive. A thread's state is no evidence of it: it says yes for a minute
/// after a cut, so only a count that rises between two readings counts.
#[derive(Debug, Default)]
pub(super) struct Receiving {
    last: Option<Reading>,
    rose: Option<Instant>,
}

#[derive(Debug, PartialEq)]
struct Reading {
    source: String,
    heartbeats: u64,
    events: u64,
}

impl Receiving {
    /// Takes one reading in, made at `at`; returns how long ago a count was last seen to rise.
    fn take(&mut self, channel: Option<&Replication>, at: Instant) -> Option<Duration> {
        let reading = channel.map(Reading::of);
        match (&self.last, &reading) {
            (Some(before), Some(now)) if before.precedes(now) => {
                if now != before {
                    self.rose = Some(at);
                }
            }
            // The first reading is no rise; another source or a count that jumped back begins anew.
            _ => self.rose = None,
        }
        self.last = reading;
        self.rose.map(|rose| at.saturating_duration_since(rose))
    }
}

impl Reading {
    fn of(channel: &Replication) -> Self {
        Self { source: source(channel), heartbeats: channel.heartbeats, events: channel.events_marker }
    }

    fn precedes(&self, later: &Self) -> bool {
        self.source == later.source && self.heartbeats <= later.heartbeats && self.events <= later.events
    }
}

/// The pulse as decisions take it in; `at` is when it was asked for.
pub(super) fn convert(pulse: &sql::Pulse, receiving: &mut Receiving, at: Instant) -> Pulse {
    let received_ago = receiving.take(pulse.replication.as_ref(), at);
    let semi_sync = &pulse.semi_sync;
    Pulse {
        // Also in offline mode: sessions of administrators still write then.
        open: pulse.switch == Switch::Open,
        executed: pulse.executed.clone(),
        received: pulse.received.clone(),
        channel: pulse.replication.as_ref().map(|c| channel(c, received_ago)),
        waits: semi_sync.source_enabled && semi_sync.source_active,
        ackers: semi_sync.ackers,
        waiting: semi_sync.waiting_sessions,
        acks: semi_sync.replica_acking,
        uptime: pulse.uptime,
    }
}

fn channel(channel: &Replication, received_ago: Option<Duration>) -> Channel {
    Channel {
        source: source(channel),
        received_ago,
        io_running: channel.io_running,
        sql_running: channel.sql_running,
        io_error: channel.last_io_error.as_ref().map(error),
        sql_error: channel.last_sql_error.as_ref().map(error),
        behind: channel.seconds_behind.map(Duration::from_secs),
        delayed: !channel.delay.is_zero(),
    }
}

/// `host:port` of a channel's source.
pub(super) fn source(channel: &Replication) -> String {
    format!("{}:{}", channel.source_host, channel.source_port)
}

fn error(error: &ThreadError) -> (u32, String) {
    (error.errno, error.message.clone())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::fake;
    use super::*;

    const STEP: Duration = Duration::from_millis(150);

    fn read(receiving: &mut Receiving, source: &str, heartbeats: u64, events: u64) -> Option<Duration> {
        let mut pulse = fake::replica_of(source, 3306);
        let channel = pulse.replication.as_mut().unwrap();
        (channel.heartbeats, channel.events_marker) = (heartbeats, events);
        convert(&pulse, receiving, Instant::now()).channel.unwrap().received_ago
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_rise_counts_as_receiving() {
        let mut receiving = Receiving::default();
        assert_eq!(read(&mut receiving, "db1", 7, 100), None, "the first reading is no rise");
        tokio::time::advance(STEP).await;
        assert_eq!(read(&mut receiving, "db1", 7, 100), None, "nothing rose");
        tokio::time::advance(STEP).await;
        assert_eq!(read(&mut receiving, "db1", 8, 100), Some(Duration::ZERO), "a heartbeat");
        tokio::time::advance(STEP).await;
        assert_eq!(read(&mut receiving, "db1", 8, 100), Some(STEP));
        tokio::time::advance(STEP).await;
        assert_eq!(read(&mut receiving, "db1", 8, 101), Some(Duration::ZERO), "an event");
    }

    #[tokio::test(start_paused = true)]
    async fn a_jump_back_or_another_source_begins_anew() {
        let mut receiving = Receiving::default();
        for (source, heartbeats, events, receives) in [
            ("db1", 1, 10, false),
            ("db1", 2, 10, true),
            ("db1", 0, 10, false),
            ("db1", 1, 10, true),
            ("db1", 2, 5, false),
            ("db1", 3, 5, true),
            ("db2", 4, 6, false),
            ("db2", 5, 6, true),
        ] {
            let seen = read(&mut receiving, source, heartbeats, events);
            assert_eq!(seen.is_some(), receives, "{source} {heartbeats} {events}");
            tokio::time::advance(STEP).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_channel_that_went_away_is_forgotten() {
        let mut receiving = Receiving::default();
        read(&mut receiving, "db1", 1, 1);
        assert!(read(&mut receiving, "db1", 2, 1).is_some());
        assert_eq!(convert(&fake::writer(), &mut receiving, Instant::now()).channel, None);
        assert_eq!(read(&mut receiving, "db1", 3, 1), None);
    }

    #[tokio::test]
    async fn only_an_active_source_side_waits() {
        let mut pulse = fake::writer();
        pulse.semi_sync.source_enabled = true;
        assert!(!convert(&pulse, &mut Receiving::default(), Instant::now()).waits, "fallen back");
        pulse.semi_sync.source_active = true;
        assert!(convert(&pulse, &mut Receiving::default(), Instant::now()).waits);
    }
}
