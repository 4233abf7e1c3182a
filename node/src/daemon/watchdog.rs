//! Tells systemd that this process lives: while its main loops turn, and not merely because a timer does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::sleep;
use tracing::{error, warn};

use crate::guard::clock::Boottime;

/// How often systemd is told, within the time after which it ends the process.
const TELLS_PER_PERIOD: u32 = 4;

/// A loop that shows when it last turned.
pub(super) struct Watched {
    pub(super) name: &'static str,
    pub(super) turned: Arc<dyn Fn() -> Boottime + Send + Sync>,
}

/// The turns of a loop that has no place for them.
#[derive(Clone, Default)]
pub(super) struct Turns(Arc<AtomicU64>);

impl Turns {
    pub(super) fn turn(&self) {
        self.0.store(Boottime::now().as_nanos(), Ordering::Relaxed);
    }

    pub(super) fn watched(&self, name: &'static str) -> Watched {
        self.turn();
        let turns = Arc::clone(&self.0);
        Watched { name, turned: Arc::new(move || Boottime::from_nanos(turns.load(Ordering::Relaxed))) }
    }
}

/// Tells for ever, where systemd asked for it (`WatchdogSec=`). A loop that has not turned for that long is named once,
/// and then nothing is told any more: systemd ends the process and starts it again.
pub(super) async fn run(loops: Vec<Watched>) {
    let Some(period) = sd_notify::watchdog_enabled() else { return };
    loop {
        if let Some(name) = stuck(&loops, Boottime::now(), period) {
            error!(name, seconds = period.as_secs(), "a loop stands still; systemd is told nothing any more");
            return;
        }
        if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]) {
            warn!(%error, "systemd could not be told");
        }
        sleep(period / TELLS_PER_PERIOD).await;
    }
}

fn stuck(loops: &[Watched], now: Boottime, period: Duration) -> Option<&'static str> {
    loops.iter().find(|l| now.saturating_since((l.turned)()) >= period).map(|l| l.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loop_that_stands_still_is_named() {
        let at = |seconds| Boottime::BOOT + Duration::from_secs(seconds);
        let turned = |name, seconds| Watched { name, turned: Arc::new(move || at(seconds)) };
        let loops = [turned("guard", 99), turned("reports", 70)];
        assert_eq!(stuck(&loops, at(100), Duration::from_secs(30)), Some("reports"));
        assert_eq!(stuck(&loops, at(99), Duration::from_secs(30)), None);
    }
}
