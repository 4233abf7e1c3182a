//! The network, as the fleet asks the world about it.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::Host;

/// Which host reaches which, now.
pub trait Links: Send + Sync {
    /// How long a packet sent now takes from one host to the other. `None`: it does not arrive; a stream sends it again
    /// until it does or is given up, so a lost packet may as well be a long delay. Never asked for a host and itself.
    fn delay(&self, from: &str, to: &str) -> Option<Duration>;
}

/// Links of one length that can be cut, each way for itself.
#[derive(Debug, Default)]
pub struct OpenLinks {
    length: Duration,
    cut: Mutex<BTreeSet<(Host, Host)>>,
}

impl OpenLinks {
    /// All open, `length` long each way.
    pub fn new(length: Duration) -> Self {
        Self { length, cut: Mutex::default() }
    }

    /// Cuts the way from one host to another.
    pub fn cut(&self, from: &str, to: &str) {
        self.cut.lock().unwrap_or_else(PoisonError::into_inner).insert((from.to_owned(), to.to_owned()));
    }

    /// Mends every way.
    pub fn mend(&self) {
        self.cut.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Links for OpenLinks {
    fn delay(&self, from: &str, to: &str) -> Option<Duration> {
        let cut = self.cut.lock().unwrap_or_else(PoisonError::into_inner);
        (!cut.contains(&(from.to_owned(), to.to_owned()))).then_some(self.length)
    }
}
