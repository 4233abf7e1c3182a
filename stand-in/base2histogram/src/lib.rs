//! Stands in for the crate of this name, as far as openraft uses it.
//!
//! openraft counts batch sizes in histograms, which Baton never reads. The original builds lookup tables for each of its 16
//! precisions before the first count, 26 MB that stay in memory for as long as the process lives. Here a bucket is a
//! power of two and there is no table.

use std::fmt;
use std::marker::PhantomData;

/// Nothing, and one for each position of the highest bit that is set.
const BUCKETS: usize = 1 + u64::BITS as usize;

/// How often values of each order of magnitude were recorded. `T` is of no use here; the original names its slots so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram<T = ()> {
    counts: [u64; BUCKETS],
    slots: PhantomData<T>,
}

impl<T> Histogram<T> {
    /// With nothing recorded.
    #[must_use]
    pub fn new() -> Self {
        Self { counts: [0; BUCKETS], slots: PhantomData }
    }

    /// Counts `value` once.
    pub fn record(&mut self, value: u64) {
        self.record_n(value, 1);
    }

    /// Counts `value` `times` times.
    pub fn record_n(&mut self, value: u64, times: u64) {
        let bucket = (u64::BITS - value.leading_zeros()) as usize;
        self.counts[bucket] = self.counts[bucket].saturating_add(times);
    }

    /// What was recorded, in short. All zeros for nothing.
    #[must_use]
    pub fn percentile_stats(&self) -> PercentileStats {
        let samples = self.counts.iter().fold(0u64, |sum, count| sum.saturating_add(*count));
        let at = |permille| self.least_of(samples, permille);
        PercentileStats {
            samples,
            p0_1: at(1),
            p1: at(10),
            p5: at(50),
            p10: at(100),
            p50: at(500),
            p90: at(900),
            p99: at(990),
            p99_9: at(999),
        }
    }

    /// The least value of the bucket that holds the sample of this rank.
    fn least_of(&self, samples: u64, permille: u64) -> u64 {
        let rank = (u128::from(samples) * u128::from(permille)).div_ceil(1000);
        let mut passed = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            passed += u128::from(*count);
            if passed >= rank && passed > 0 {
                return if bucket == 0 { 0 } else { 1 << (bucket - 1) };
            }
        }
        0
    }
}

impl<T> Default for Histogram<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// The values that a share of the samples does not exceed, each rounded down to a power of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PercentileStats {
    /// How many were recorded.
    pub samples: u64,
    /// 0.1 %.
    pub p0_1: u64,
    /// 1 %.
    pub p1: u64,
    /// 5 %.
    pub p5: u64,
    /// 10 %.
    pub p10: u64,
    /// The median.
    pub p50: u64,
    /// 90 %.
    pub p90: u64,
    /// 99 %.
    pub p99: u64,
    /// 99.9 %.
    pub p99_9: u64,
}

impl fmt::Display for PercentileStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { samples, p50, p99, .. } = self;
        write!(f, "{samples} samples, median {p50}, 99 % {p99}")
    }
}

/// Histograms that are to be drawn together. Only openraft's feature `runtime-stats` draws them, and it is off.
#[derive(Clone, Debug, Default)]
pub struct AsciiChart {
    series: Vec<(&'static str, Histogram)>,
}

impl AsciiChart {
    /// Without any.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One more, under its name.
    #[must_use]
    pub fn add(mut self, name: &'static str, histogram: Histogram) -> Self {
        self.series.push((name, histogram));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_share_is_the_power_of_two_below_it() {
        let mut sizes = Histogram::<()>::new();
        assert_eq!(sizes.percentile_stats().p99_9, 0);
        sizes.record_n(0, 10);
        sizes.record_n(5, 85);
        sizes.record_n(u64::MAX, 5);
        let shares = sizes.percentile_stats();
        assert_eq!((shares.samples, shares.p10, shares.p50, shares.p90), (100, 0, 4, 4));
        assert_eq!(shares.p99, 1 << 63);
        assert_eq!(shares.to_string(), "100 samples, median 4, 99 % 9223372036854775808");
    }
}
