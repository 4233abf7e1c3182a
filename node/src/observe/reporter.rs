//! Sends what this node sees to the leader.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::digest::Digest;
use super::own::OwnHandle;
use super::probe::Prober;
use crate::decide::seen::Report;
use crate::decide::tried::Tried;

/// From one report to the next while nothing changes.
const REST: Duration = Duration::from_millis(200);
/// After one that nobody took: there may be a new leader.
const AGAIN: Duration = Duration::from_millis(100);
/// A report that has not been taken by then is given up for a newer one.
const BOUND: Duration = Duration::from_millis(400);
/// Between two reports however much is new.
const GAP: Duration = Duration::from_millis(5);
/// How long something new waits for the report under way.
const PATIENCE: Duration = Duration::from_millis(50);

/// Where reports go: to the leader, over the network or within this process.
pub trait ReportSink: Send + Sync {
    /// Delivers one report; true when the leader took it. Dropping the future gives the delivery up.
    fn send(&self, report: Report) -> BoxFuture<'_, bool>;
}

/// What is seen now, the serial left open. `own` is none on a witness.
pub fn see(own: Option<&OwnHandle>, prober: &Prober, config_differs: Vec<String>) -> Report {
    Report {
        serial: 0,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        own: own.map(OwnHandle::now),
        probes: prober.now(),
        config_differs,
        ..Report::default()
    }
}

/// What of the same, and of what was tried, calls for a report at once: without making one, whose sets of transactions and
/// texts would be copied for nothing many times a second.
pub fn digest(
    own: Option<&OwnHandle>,
    prober: &Prober,
    config_differs: Vec<String>,
    tried: Option<&Tried>,
) -> Digest {
    Digest::new(own.map(OwnHandle::digest), prober.digest(), config_differs, tried)
}

/// What a [`Reporter`] needs.
#[derive(Clone)]
pub struct ReporterSetup {
    /// What is seen now, as by [`see`]; must not block.
    pub see: Arc<dyn Fn() -> Report + Send + Sync>,
    /// The digest of what is seen now, as by [`digest`]; must not block.
    pub digest: Arc<dyn Fn() -> Digest + Send + Sync>,
    /// Where to.
    pub sink: Arc<dyn ReportSink>,
    /// Told when there may be something new; a report goes out only if it matters.
    pub news: Arc<Notify>,
    /// Told when a report must go out at once, such as to a new leader.
    pub nudge: Arc<Notify>,
    /// Serial of the first report. Microseconds since 1970 at the start, so that a restarted node counts on.
    pub first_serial: u64,
}

/// Sends a report five times a second, and at once when something that matters changed. One at a time, the newest wins.
pub struct Reporter {
    setup: ReporterSetup,
    serial: u64,
}

impl Reporter {
    /// Sends nothing before it runs.
    pub fn new(setup: ReporterSetup) -> Self {
        Self { serial: setup.first_serial, setup }
    }

    /// Runs until it is dropped.
    pub async fn run(mut self) {
        loop {
            let begun = Instant::now();
            let mut report = (self.setup.see)();
            report.serial = self.serial;
            self.serial += 1;
            let sent = Digest::of(&report);
            let taken = self.deliver(report, &sent).await;
            self.wait(&sent, begun + if taken { REST } else { AGAIN }).await;
            sleep_until(begun + GAP).await;
        }
    }

    /// Gives the report up when it takes too long, and soon when there is news that the next one must bring.
    async fn deliver(&self, report: Report, sent: &Digest) -> bool {
        let mut sending = self.setup.sink.send(report);
        let mut until = Instant::now() + BOUND;
        let mut nudged = false;
        let taken = loop {
            tokio::select! {
                taken = &mut sending => break taken,
                () = sleep_until(until) => break false,
                () = self.setup.news.notified() => if !self.has_news(sent) { continue },
                () = self.setup.nudge.notified() => nudged = true,
            }
            until = until.min(Instant::now() + PATIENCE);
        };
        if nudged {
            self.setup.nudge.notify_one();
        }
        taken
    }

    /// Until the next report is due, or there is something worth one.
    async fn wait(&self, sent: &Digest, due: Instant) {
        while !self.has_news(sent) {
            tokio::select! {
                () = sleep_until(due) => return,
                () = self.setup.nudge.notified() => return,
                () = self.setup.news.notified() => {}
            }
        }
    }

    fn has_news(&self, sent: &Digest) -> bool {
        (self.setup.digest)() != *sent
    }
}

#[cfg(test)]
mod tests;
