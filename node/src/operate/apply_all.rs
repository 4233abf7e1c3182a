//! Applies what was received while the cluster has no writer. Nobody can write in the meantime, so a client of the replica
//! whose lock the applier waits for is not waited for in turn.

use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use crate::gtid::GtidSet;
use crate::sql::{ManagedServer, Permit, SqlError};

/// So long an applier may wait for locks before their holders are ended: most are gone by then.
const HELD_UP: Duration = Duration::from_secs(1);
/// The rest of a bound that is too short for another look.
const LAST_LOOK: Duration = Duration::from_millis(50);

/// Whether `set` was applied within `bound`, and the sessions that were ended for it.
///
/// # Errors
/// When the server does not answer.
pub(super) async fn apply_all(
    server: &dyn ManagedServer,
    set: &GtidSet,
    permit: &Permit,
    bound: Duration,
) -> Result<(bool, Vec<String>), SqlError> {
    let until = Instant::now() + bound;
    let mut ended = Vec::new();
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let (slice, asked) = (left.min(HELD_UP), Instant::now());
        if server.wait_applied(set, slice).await? {
            return Ok((true, ended));
        }
        // Back before its time: nothing applies there any more.
        if left <= slice + LAST_LOOK || asked.elapsed() + LAST_LOOK < slice {
            return Ok((false, ended));
        }
        match server.free_applier(permit).await {
            Ok(killed) => {
                ended.extend(killed.iter().map(|s| format!("{} ({} from {})", s.id, s.user, s.host)));
            }
            // They go on holding it up, and the bound ends that.
            Err(error) => warn!(%error, "whoever holds the applier up could not be ended"),
        }
    }
}
