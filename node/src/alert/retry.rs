//! When a sink is spoken to: one thing at a time, not faster than it takes, and after a failure later and later.

use std::time::Duration;

use tokio::time::Instant;

use super::due::pause;

/// So many messages may follow each other at once.
const BURST: u32 = 5;
/// Afterwards one in so long: a group takes twenty a minute.
const REFILL: Duration = Duration::from_secs(3);

/// Whatever an answer asks for, it is within these.
const SOONEST: Duration = Duration::from_secs(1);
pub(super) const LATEST: Duration = Duration::from_secs(3600);

/// One sink's line.
#[derive(Debug)]
pub(super) struct Pace {
    /// Something is on its way.
    pub(super) busy: bool,
    not_before: Instant,
    failed: u32,
    left: u32,
    refilled: Instant,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self { busy: false, not_before: now, failed: 0, left: BURST, refilled: now }
    }

    /// Whether it may be spoken to now.
    pub(super) fn is_free(&mut self, now: Instant) -> bool {
        while self.left < BURST && now.saturating_duration_since(self.refilled) >= REFILL {
            self.left += 1;
            self.refilled += REFILL;
        }
        !self.busy && self.left > 0 && now >= self.not_before
    }

    /// Something is sent.
    pub(super) fn began(&mut self, now: Instant) {
        if self.left == BURST {
            self.refilled = now;
        }
        self.left = self.left.saturating_sub(1);
        self.busy = true;
    }

    /// It was told, or will not be.
    pub(super) fn done(&mut self) {
        (self.busy, self.failed) = (false, 0);
    }

    /// Whoever mended something need not wait.
    pub(super) fn mended(&mut self, now: Instant) {
        self.not_before = self.not_before.min(now);
    }

    /// It is to be tried again; true the first time in a row.
    pub(super) fn failed(&mut self, now: Instant, after: Option<Duration>) -> bool {
        self.busy = false;
        self.failed = self.failed.saturating_add(1);
        self.not_before =
            now + after.map_or_else(|| pause(self.failed), |after| after.clamp(SOONEST, LATEST));
        self.failed == 1
    }
}
