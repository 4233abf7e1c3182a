//! Which servers this node would read from: the one reading that its router and its role endpoints go by.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;
use tracing::info;

use super::routes::Probed;
use crate::decide::readers::{Reading, reading};
use crate::state::ClusterState;

/// Without a change of the state the servers are looked at this often: as often as they are probed.
const TICK: Duration = Duration::from_millis(300);

/// Follows the state and the probes for ever.
pub(super) async fn follow(
    mut states: watch::Receiver<Arc<ClusterState>>,
    probed: Probed,
    readings: watch::Sender<Reading>,
) {
    loop {
        let state = states.borrow_and_update().clone();
        let next = reading(&state, &probed(), &readings.borrow().readers);
        readings.send_if_modified(|now| {
            tell(now, &next);
            let changed = *now != next;
            *now = next;
            changed
        });
        if let Ok(Err(_)) = timeout(TICK, states.changed()).await {
            return;
        }
    }
}

/// Logs who has left and who has come.
fn tell(before: &Reading, now: &Reading) {
    for node in before.readers.difference(&now.readers) {
        let why = now.left_out.get(node).map_or_else(|| "is the writer".to_owned(), ToString::to_string);
        info!(%node, why, "not read from any more");
    }
    for node in now.readers.difference(&before.readers) {
        info!(%node, "read from");
    }
}
