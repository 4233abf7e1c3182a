//! A host's clocks: they run at their own speed, and the wall clock can be set.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use baton_node::guard::clock::{Boottime, Clock};
use tokio::time::Instant;

/// The wall clock when a run begins, in milliseconds since 1970.
const BEGINS_MS: i64 = 1_790_000_000_000;

/// The clocks of one host.
#[derive(Debug)]
pub struct HostClock {
    begun: Instant,
    /// What CLOCK_BOOTTIME showed then.
    booted: Duration,
    /// How fast it runs, in millionths more than real time.
    fast_ppm: i64,
    /// By how much the wall clock is wrong.
    wall_off_ms: AtomicI64,
}

impl HostClock {
    /// Clocks that have run for `booted` and gain `fast_ppm` millionths.
    pub fn new(booted: Duration, fast_ppm: i64) -> Self {
        Self { begun: Instant::now(), booted, fast_ppm, wall_off_ms: AtomicI64::new(0) }
    }

    /// Since the host's boot.
    pub fn since_boot(&self) -> Duration {
        let real = u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let gained = i64::try_from(real / 1_000_000).unwrap_or(i64::MAX).saturating_mul(self.fast_ppm);
        self.booted + Duration::from_nanos(real.saturating_add_signed(gained))
    }

    /// The wall clock, in milliseconds since 1970.
    pub fn wall_ms(&self) -> i64 {
        let elapsed = i64::try_from(self.begun.elapsed().as_millis()).unwrap_or(i64::MAX);
        BEGINS_MS + elapsed + self.wall_off_ms.load(Ordering::SeqCst)
    }

    /// Somebody sets the wall clock.
    pub fn set_wall(&self, off_ms: i64) {
        self.wall_off_ms.store(off_ms, Ordering::SeqCst);
    }
}

impl Clock for HostClock {
    fn now(&self) -> Boottime {
        Boottime::from_nanos(u64::try_from(self.since_boot().as_nanos()).unwrap_or(u64::MAX))
    }
}
