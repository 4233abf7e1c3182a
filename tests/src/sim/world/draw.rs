//! Chance, all of it from the seed.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// A stream of draws. Clones draw from the same one.
#[derive(Clone)]
pub struct Draw(Arc<Mutex<StdRng>>);

impl Draw {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    /// Another stream, which follows from this one.
    pub fn fork(&self) -> Self {
        Self::new(self.number())
    }

    /// Any number.
    pub fn number(&self) -> u64 {
        self.with(Rng::random)
    }

    /// One of `range`.
    pub fn of(&self, range: Range<u64>) -> u64 {
        self.with(|r| r.random_range(range))
    }

    /// A time of `range`, in milliseconds.
    pub fn millis(&self, range: Range<u64>) -> Duration {
        Duration::from_millis(self.of(range))
    }

    /// A time of `range`, in microseconds.
    pub fn micros(&self, range: Range<u64>) -> Duration {
        Duration::from_micros(self.of(range))
    }

    /// True that often of a thousand.
    pub fn chance(&self, of_thousand: u64) -> bool {
        self.of(0..1000) < of_thousand
    }

    /// One of them; `None` of none.
    pub fn one<T: Clone>(&self, of: &[T]) -> Option<T> {
        let most = u64::try_from(of.len()).ok().filter(|n| *n > 0)?;
        of.get(usize::try_from(self.of(0..most)).ok()?).cloned()
    }

    fn with<T>(&self, draw: impl FnOnce(&mut StdRng) -> T) -> T {
        draw(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
