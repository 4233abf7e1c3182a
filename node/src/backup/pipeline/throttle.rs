//! How fast a stream may go, on average over a second.

use std::time::Duration;

/// A limit in bytes per second. Pure: told how much was taken and when, it says how long to wait.
#[derive(Debug, Clone)]
pub struct Throttle {
    bytes_per_s: u64,
    /// When everything that was taken has been paid for.
    paid_at: Duration,
}

/// What may be taken at once after a pause.
const BURST: Duration = Duration::from_secs(1);

impl Throttle {
    /// So many bytes per second, at least one.
    #[must_use]
    pub fn new(bytes_per_s: u64) -> Self {
        Self { bytes_per_s: bytes_per_s.max(1), paid_at: Duration::ZERO }
    }

    /// `bytes` were taken at `now`, counted from any fixed moment: how long to wait before the next are.
    pub fn took(&mut self, bytes: u64, now: Duration) -> Duration {
        let price = Duration::from_secs_f64(bytes as f64 / self.bytes_per_s as f64);
        self.paid_at = self.paid_at.max(now.saturating_sub(BURST)) + price;
        self.paid_at.saturating_sub(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_as_fast_as_told_and_saves_no_more_than_a_second() {
        let mut throttle = Throttle::new(1000);
        let s = Duration::from_secs;
        // Ten thousand bytes of a second each, as soon as allowed.
        let mut now = s(100);
        for _ in 0..10 {
            now += throttle.took(1000, now);
        }
        assert_eq!(now, s(109), "the first second was saved up");
        now += s(500);
        assert_eq!(throttle.took(1000, now), s(0));
        assert_eq!(throttle.took(1000, now), s(1), "a long pause saves one second");
    }
}
