//! How soon to try again to become lossless. Each trial that fails has held up every commit for seconds: with an acker that
//! is slow for long, trials one after the other would leave hardly any time to write in.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// After the first failure; doubled by each that follows.
const SHORTEST: Duration = Duration::from_secs(1);
/// No pause is longer.
const LONGEST: Duration = Duration::from_secs(20);

/// The trials of one term.
#[derive(Debug, Default)]
pub(super) struct Wary(Mutex<Failed>);

#[derive(Debug, Default)]
struct Failed {
    in_a_row: u32,
    again: Option<Instant>,
}

impl Wary {
    /// Whether a trial may begin.
    pub(super) fn is_over(&self) -> bool {
        self.failed().again.is_none_or(|at| Instant::now() >= at)
    }

    /// Takes in how a trial ended.
    pub(super) fn note(&self, held: bool) {
        let mut failed = self.failed();
        if held {
            *failed = Failed::default();
            return;
        }
        let pause = SHORTEST.saturating_mul(1 << failed.in_a_row.min(8)).min(LONGEST);
        failed.in_a_row = failed.in_a_row.saturating_add(1);
        failed.again = Some(Instant::now() + pause);
    }

    fn failed(&self) -> MutexGuard<'_, Failed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_to_a_bound_and_end_with_a_success() {
        let wary = Wary::default();
        assert!(wary.is_over());
        for seconds in [1, 2, 4, 8, 16, 20, 20] {
            wary.note(false);
            advance(Duration::from_millis(seconds * 1000 - 1)).await;
            assert!(!wary.is_over(), "{seconds}");
            advance(Duration::from_millis(1)).await;
            assert!(wary.is_over(), "{seconds}");
        }
        wary.note(true);
        wary.note(false);
        advance(SHORTEST).await;
        assert!(wary.is_over());
    }
}
