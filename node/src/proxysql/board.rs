//! What each instance was last seen to have: for whoever asks, and for an operation that waits, bounded, until it is there.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use super::desired::Desired;
use super::rows::{Actual, Difference, Groups};
use crate::config::HostPort;
use crate::decide::seen::ProxySeen;
use crate::state::{Epoch, NodeName, UnixMillis};

/// How an instance is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// Nobody has looked yet.
    #[default]
    Unknown,
    /// It has what is wanted.
    Right,
    /// It has something else, in words.
    Diverged(String),
    /// It does not do what it is asked, in words with the mend.
    Unreachable(String),
}

/// An instance as it was last seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Its name in the configuration.
    pub name: String,
    /// Its admin interface.
    pub admin: HostPort,
    /// Its two groups.
    pub groups: Groups,
    /// How it is.
    pub condition: Condition,
    /// What was wanted when it last had all of it.
    pub in_effect: Option<Arc<Desired>>,
    /// What is wanted now; `None` while the cluster is only watched.
    pub wanted: Option<Arc<Desired>>,
    /// The comment of rows that Baton makes there.
    pub mark: String,
    /// What it has, as last read.
    pub actual: Actual,
    /// What of it is not as it should be.
    pub differences: Vec<Difference>,
    /// When that was read, milliseconds since 1970; 0 for never.
    pub read_ms: UnixMillis,
    /// How long that took.
    pub read_took: Duration,
    /// How often it was put right without anything new being wanted, since this node leads.
    pub repairs: u64,
    /// What was put right last, in words.
    pub repaired: Option<String>,
}

/// How many instances have what is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Those that have it.
    pub done: usize,
    /// Of so many.
    pub of: usize,
}

impl fmt::Display for Drained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.done, self.of)
    }
}

/// All instances, as the leader sees them. Empty on every other node.
#[derive(Debug, Default)]
pub struct Board(watch::Sender<BTreeMap<String, Shown>>);

impl Board {
    /// All instances, by name.
    pub fn shown(&self) -> Vec<Shown> {
        self.0.borrow().values().cloned().collect()
    }

    /// The same in short, for the leader's report.
    pub fn seen(&self) -> Vec<ProxySeen> {
        let all = self.0.borrow();
        let short = |shown: &Shown| ProxySeen {
            name: shown.name.clone(),
            trouble: match &shown.condition {
                Condition::Unknown | Condition::Right => None,
                Condition::Diverged(why) | Condition::Unreachable(why) => Some(why.clone()),
            },
            repairs: shown.repairs,
            read_took: shown.read_took,
        };
        all.values().filter(|shown| shown.wanted.is_some()).map(short).collect()
    }

    pub(super) fn change(&self, name: &str, change: impl FnOnce(&mut Shown)) {
        self.0.send_modify(|all| {
            if let Some(shown) = all.get_mut(name) {
                change(shown);
            }
        });
    }

    pub(super) fn insert(&self, shown: Shown) {
        self.0.send_modify(|all| {
            all.insert(shown.name.clone(), shown);
        });
    }

    pub(super) fn remove(&self, name: &str) {
        self.0.send_modify(|all| {
            all.remove(name);
        });
    }

    /// Waits until every instance that can be reached drains `writer`.
    pub async fn drained(&self, writer: &NodeName, within: Duration) -> Drained {
        self.reaches(within, |desired| desired.draining.as_ref() == Some(writer)).await
    }

    /// Waits until every instance that can be reached leads to the open writer of `epoch`.
    pub async fn routed(&self, epoch: Epoch, within: Duration) -> Drained {
        self.reaches(within, |desired| desired.epoch == epoch && desired.writer.is_some()).await
    }

    /// An instance that was found not to answer is not waited for.
    async fn reaches(&self, within: Duration, has: impl Fn(&Desired) -> bool) -> Drained {
        let is_done = |shown: &Shown| shown.in_effect.as_ref().is_some_and(|desired| has(desired));
        let is_out = |shown: &Shown| matches!(shown.condition, Condition::Unreachable(_));
        let mut all = self.0.subscribe();
        let all_are = all.wait_for(|all| all.values().all(|s| is_done(s) || is_out(s)));
        drop(timeout(within, all_are).await);
        let all = self.0.borrow();
        Drained { done: all.values().filter(|shown| is_done(shown)).count(), of: all.len() }
    }
}
