//! Time that keeps counting while the host is suspended.
//!
//! Leases are measured on CLOCK_BOOTTIME: CLOCK_MONOTONIC stands still during a suspend, so a resumed host would
//! believe in a lease that the voters ended long ago. No clock counts while a hypervisor pauses the whole VM.

use std::fmt;
use std::ops::Add;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};
use serde::{Deserialize, Serialize};

/// How long [`sleep_until`] trusts a timer before it reads the clock again. Tokio's timers stand still during a
/// suspend, so this is also how late it can be after one.
const SLEEP_SLICE: Duration = Duration::from_millis(50);

/// An instant on this host's CLOCK_BOOTTIME: nanoseconds since boot, suspended time included. It means nothing on
/// another host or after a reboot; keep a [`BootId`] beside a stored one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Boottime(u64);

impl Boottime {
    /// The instant of the boot itself.
    pub const BOOT: Self = Self(0);
    /// Later than any instant that comes: the end of what has none.
    pub const NEVER: Self = Self(u64::MAX);

    /// Reads CLOCK_BOOTTIME.
    #[must_use]
    pub fn now() -> Self {
        let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(tv_sec).unwrap_or(0);
        let nanos = u64::try_from(tv_nsec).unwrap_or(0);
        Self(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
    }

    /// The instant `nanos` nanoseconds after boot.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since boot.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero when it is not after it.
    #[must_use]
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// This instant moved back by `by`, at most to the boot.
    #[must_use]
    pub fn saturating_sub(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(by)))
    }

    /// As the kernel's timers take it.
    pub(crate) fn to_timespec(self) -> Timespec {
        Timespec {
            tv_sec: i64::try_from(self.0 / 1_000_000_000).unwrap_or(i64::MAX),
            tv_nsec: i64::try_from(self.0 % 1_000_000_000).unwrap_or(0),
        }
    }
}

impl Add<Duration> for Boottime {
    type Output = Self;

    fn add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(nanos(by)))
    }
}

impl fmt::Display for Boottime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}s after boot", self.0 / 1_000_000_000, self.0 % 1_000_000_000 / 1000)
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Which boot of the host a [`Boottime`] belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BootId(String);

impl BootId {
    /// The id of the running boot.
    ///
    /// # Errors
    /// When `/proc/sys/kernel/random/boot_id` cannot be read.
    pub fn current() -> std::io::Result<Self> {
        Ok(Self(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned()))
    }

    /// The id as the kernel prints it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where the guard takes the time from.
pub trait Clock: fmt::Debug + Send + Sync {
    /// The present instant. Never goes back.
    fn now(&self) -> Boottime;
}

/// CLOCK_BOOTTIME.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealClock;

impl Clock for RealClock {
    fn now(&self) -> Boottime {
        Boottime::now()
    }
}

/// A clock that stands still until it is moved, for tests and the simulation.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// A clock that shows `start`.
    #[must_use]
    pub const fn at(start: Boottime) -> Self {
        Self(AtomicU64::new(start.as_nanos()))
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(nanos(by), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Boottime {
        Boottime(self.0.load(Ordering::SeqCst))
    }
}

/// Waits until `clock` shows `deadline` or later; at most 50 ms late after a suspend of the host, otherwise as exact as
/// tokio's timers (they round up to the next millisecond). Returns at once when the deadline has passed.
pub async fn sleep_until(clock: &dyn Clock, deadline: Boottime) {
    loop {
        let left = deadline.saturating_since(clock.now());
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.min(SLEEP_SLICE)).await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use super::*;

    #[test]
    fn arithmetic_saturates() {
        let early = Boottime::from_nanos(5);
        let late = early + Duration::from_nanos(7);
        assert_eq!(late.saturating_since(early), Duration::from_nanos(7));
        assert_eq!(early.saturating_since(late), Duration::ZERO);
        assert_eq!(early.saturating_sub(Duration::from_secs(1)), Boottime::BOOT);
        assert_eq!(late + Duration::MAX, Boottime::from_nanos(u64::MAX));
        assert!(early < late);
    }

    #[test]
    fn is_stored_as_a_number() {
        let text = serde_json::to_string(&Boottime::from_nanos(12)).unwrap();
        assert_eq!(text, "12");
        assert_eq!(serde_json::from_str::<Boottime>(&text).unwrap(), Boottime::from_nanos(12));
    }

    #[test]
    fn reads_the_running_boot() {
        let first = Boottime::now();
        assert!(first > Boottime::BOOT && Boottime::now() >= first);
        assert_eq!(BootId::current().unwrap().as_str().len(), 36);
    }

    #[tokio::test]
    async fn sleeps_no_shorter_than_asked() {
        let deadline = Boottime::now() + Duration::from_millis(120);
        sleep_until(&RealClock, deadline).await;
        assert!(Boottime::now() >= deadline);
    }

    #[tokio::test(start_paused = true)]
    async fn notices_that_the_clock_jumped() {
        let clock = Arc::new(ManualClock::at(Boottime::from_nanos(1)));
        let sleeper = clock.clone();
        let task = tokio::spawn(async move {
            sleep_until(&*sleeper, Boottime::from_nanos(1) + Duration::from_secs(3600)).await;
        });
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(!task.is_finished());
        clock.advance(Duration::from_secs(3600));
        tokio::time::timeout(SLEEP_SLICE * 2, task).await.unwrap().unwrap();
    }
}
