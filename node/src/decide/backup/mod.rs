//! Backups: when the next one is due and who makes it, whether a task was left, which may go, and what can be restored.

pub mod alarm;
pub mod chain;
pub mod choose;
pub mod cron;
pub mod field;
pub mod prune;
pub mod recovery;
pub mod retention;
pub mod schedule;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use choose::Wanted;
use jiff::Timestamp;
use schedule::Due;

use super::seen::Observations;
use crate::state::{BackupKind, ClusterState, NodeName, OperationId, UnixMillis};

/// A node that says nothing for so long has left its task: it may have been lost with its host.
const LEFT_AFTER: Duration = Duration::from_secs(60);
/// A replica further behind than this is not read for a backup: it is busy enough.
pub const LAG_MAX: Duration = Duration::from_secs(60);

/// How far a task about backups is, as its node sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backing {
    /// Which task.
    pub task: String,
    /// Bytes that were read.
    pub bytes: u64,
    /// Bytes that they became, where a backup is made.
    pub stored_bytes: u64,
    /// What `bytes` will come to, about; 0 where nobody knows.
    pub total: u64,
    /// Bytes in a second, of late.
    pub rate: u64,
}

/// The task under way, if its node is gone, and why it ends. `leading`: for how long this leader has heard the nodes.
pub fn left(state: &ClusterState, seen: &Observations, leading: Duration) -> Option<(OperationId, String)> {
    let task = state.backups.task.as_ref()?;
    let silent = seen.of(&task.node).map_or(leading, |heard| heard.age);
    let why = format!("{} has not answered for {} s", task.node, silent.as_secs());
    (silent >= LEFT_AFTER).then(|| (task.id.clone(), why))
}

/// The time at which it begins, and whose server is read.
pub fn backup_id(now_ms: UnixMillis, node: &NodeName) -> String {
    let now = Timestamp::from_millisecond(now_ms).unwrap_or_default();
    format!("{}-{node}", now.strftime("%Y%m%dT%H%M%SZ"))
}

/// What a backup that is due wants of its server.
pub fn wanted_by(state: &ClusterState, due: &Due, now_ms: UnixMillis) -> Wanted {
    let chains = chains(state, due.kind, now_ms);
    Wanted { node: None, allow_writer: due.at_writer, lag_max: LAG_MAX, chains }
}

/// The servers of which a backup of that kind is rather made, the best first.
pub fn chains(state: &ClusterState, kind: BackupKind, now_ms: UnixMillis) -> Vec<NodeName> {
    match kind {
        BackupKind::Full => Vec::new(),
        BackupKind::Incremental => chain::nodes(&state.backups, now_ms),
    }
}
