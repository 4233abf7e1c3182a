//! How far a copy is: bytes, rate, time left. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The rate is that of this last stretch: a copy that has slowed down says so.
const WINDOW: Duration = Duration::from_secs(10);
/// Samples kept.
const SAMPLES: usize = 64;

/// How far the copy of a rebuild is, as its target's node sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copying {
    /// Of which rebuild.
    pub operation: String,
    /// What it is doing, in words.
    pub stage: String,
    /// Bytes copied.
    pub bytes: u64,
    /// Bytes there are, by the source's estimate; 0 where it is not known.
    pub total: u64,
    /// Bytes in a second, of late.
    pub rate: u64,
}

impl Copying {
    /// How long the rest takes at the present rate; `None` where nobody can say.
    pub fn left(&self) -> Option<Duration> {
        let known = self.rate > 0 && self.total >= self.bytes && self.total > 0;
        known.then(|| Duration::from_secs((self.total - self.bytes).div_ceil(self.rate)))
    }
}

/// Samples of a copy, from which its rate follows.
#[derive(Debug, Default)]
pub struct Samples(VecDeque<(Duration, u64)>);

impl Samples {
    /// Takes in how much was copied at a time since the copy began, and gives the rate in bytes a second.
    pub fn rate(&mut self, at: Duration, bytes: u64) -> u64 {
        // Begun anew.
        if self.0.back().is_some_and(|(_, before)| *before > bytes) {
            self.0.clear();
        }
        self.0.push_back((at, bytes));
        while self.0.len() > SAMPLES
            || (self.0.len() > 2
                && self.0.front().is_some_and(|(first, _)| at.saturating_sub(*first) > WINDOW))
        {
            self.0.pop_front();
        }
        let Some((first, from)) = self.0.front() else { return 0 };
        let over = at.saturating_sub(*first).as_secs_f64();
        if over <= 0.0 { 0 } else { ((bytes - from) as f64 / over) as u64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn the_rate_is_that_of_the_last_stretch() {
        let mut samples = Samples::default();
        let s = Duration::from_secs;
        assert_eq!(samples.rate(s(0), 0), 0);
        assert_eq!(samples.rate(s(1), 100 * MIB), 100 * MIB);
        for second in 2..40 {
            samples.rate(s(second), 100 * MIB + (second - 1) * MIB);
        }
        assert_eq!(samples.rate(s(40), 139 * MIB), MIB, "it has slowed down");
        assert_eq!(samples.rate(s(41), 0), 0, "begun anew");
        assert_eq!(samples.rate(s(43), 4 * MIB), 2 * MIB);
    }

    #[test]
    fn the_time_left_is_known_only_where_it_can_be() {
        let copying = |bytes, total, rate| Copying { bytes, total, rate, ..Copying::default() };
        assert_eq!(copying(10, 110, 50).left(), Some(Duration::from_secs(2)));
        assert_eq!(copying(10, 111, 50).left(), Some(Duration::from_secs(3)), "rounded up");
        assert_eq!(copying(10, 0, 50).left(), None, "no estimate");
        assert_eq!(copying(10, 110, 0).left(), None, "it stalls");
        assert_eq!(copying(120, 110, 50).left(), None, "more than estimated");
        assert_eq!(copying(110, 110, 50).left(), Some(Duration::ZERO));
    }
}
