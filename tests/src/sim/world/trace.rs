//! What happened in a run, in order: the same seed gives the same, to the letter.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

/// The last lines kept for whoever reads a failure.
const KEPT: usize = 400;

/// A run's trace. Clones are the same one.
#[derive(Clone)]
pub struct Trace(Arc<Mutex<State>>);

struct State {
    begun: Instant,
    lines: std::collections::VecDeque<String>,
    digest: u64,
    count: u64,
    shown: bool,
}

impl Trace {
    /// An empty one; `shown`: each line goes to standard error, too.
    pub fn new(shown: bool) -> Self {
        Self(Arc::new(Mutex::new(State {
            begun: Instant::now(),
            lines: std::collections::VecDeque::new(),
            digest: 0xcbf2_9ce4_8422_2325,
            count: 0,
            shown,
        })))
    }

    /// Something happened.
    pub fn line(&self, what: impl FnOnce() -> String) {
        let mut state = self.lock();
        let at = state.begun.elapsed();
        let line = format!("{:>9.4} {}", at.as_secs_f64(), what());
        for byte in line.bytes() {
            // FNV-1a.
            state.digest = (state.digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        state.count += 1;
        if state.shown {
            eprintln!("{line}");
        }
        if state.lines.len() == KEPT {
            state.lines.pop_front();
        }
        state.lines.push_back(line);
    }

    /// A number that two runs share only if all their lines are the same.
    pub fn digest(&self) -> (u64, u64) {
        let state = self.lock();
        (state.count, state.digest)
    }

    /// The last lines.
    pub fn tail(&self) -> Vec<String> {
        self.lock().lines.iter().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
