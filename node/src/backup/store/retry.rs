//! Tries again what may go well another time.

use std::time::Duration;

use rand::Rng;
use tokio::time::sleep;
use tracing::info;

use super::error::StoreError;

/// Over two minutes and more: as long as a store's restart takes.
const TRIES: u32 = 8;
/// After the first try; each further pause is twice as long, up to the most.
const PAUSE_FIRST: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// What `work` gives, once it gives something that is final.
pub(super) async fn tried<T, F>(work: impl Fn() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut pause = PAUSE_FIRST;
    for left in (0..TRIES).rev() {
        match work().await {
            Err(error) if error.is_transient() && left > 0 => {
                info!(%error, left, "tried again");
                // Half of it by chance, so that those who failed together do not come back together.
                let part = rand::rng().random_range(0.5..1.0);
                sleep(pause.mul_f64(part)).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
            done => return done,
        }
    }
    unreachable!("the last try returns")
}
