//! Waiting until a replica has applied a set.

use std::time::Duration;

use super::error::SqlError;
use super::fields::{quote, text_at};
use super::foretell::sent_where;
use super::pulse;
use super::wire::Wire;
use crate::gtid::{Dialect, GtidSet};

/// The server waits this long at a time; in between, Baton looks whether the applier still runs.
const SLICE: Duration = Duration::from_millis(500);
/// Kept back from the bound for the last look.
const LAST_LOOK: Duration = Duration::from_millis(100);
/// Pause where the server's own wait does not wait.
const BREATH: Duration = Duration::from_millis(5);

/// Waits within the wire's bound. False when the bound passed or nothing applies any more.
pub(super) async fn wait(wire: &mut Wire, set: &GtidSet, bound: Duration) -> Result<bool, SqlError> {
    let until = tokio::time::Instant::now() + bound;
    loop {
        let seen = pulse::take(wire).await?;
        let contains = has(&seen.executed, set)?;
        let left = until.saturating_duration_since(tokio::time::Instant::now());
        if contains || left.is_zero() || !seen.replication.is_some_and(|c| c.sql_running) {
            return Ok(contains);
        }
        let waited = wire.row(&statement(set, left.min(SLICE))).await?.and_then(|row| text_at(&row, 0));
        // 0 says there, though MariaDB then speaks of the replica position alone.
        if waited.as_deref() == Some("0") && wire.caps().dialect == Dialect::Mariadb {
            tokio::time::sleep(BREATH.min(left)).await;
        }
    }
}

/// What to add to the bound for the statements around the wait.
pub(super) fn with_overhead(bound: Duration) -> Duration {
    bound + LAST_LOOK + Duration::from_secs(1)
}

fn statement(set: &GtidSet, slice: Duration) -> String {
    let text: String = match set {
        GtidSet::Mysql(_) => set.to_string().split_whitespace().collect(),
        GtidSet::Mariadb(set) => set.position(),
    };
    waiting(set.dialect(), &text, slice)
}

fn waiting(dialect: Dialect, set: &str, slice: Duration) -> String {
    let (set, seconds) = (quote(set), slice.as_secs_f64().max(0.001));
    match dialect {
        Dialect::Mysql => format!("SELECT WAIT_FOR_EXECUTED_GTID_SET({set}, {seconds:.3})"),
        Dialect::Mariadb => format!("SELECT MASTER_GTID_WAIT({set}, {seconds:.3})"),
    }
}

/// What [`wait`] sends, as text; `set` stands for what is not known yet.
pub(super) fn foretold(dialect: Dialect, set: &str) -> Vec<String> {
    vec![sent_where(waiting(dialect, set, SLICE), "again until it has")]
}

/// On MariaDB by position: a replica that was seeded by one lacks the older part of its binlog state for good.
fn has(executed: &GtidSet, set: &GtidSet) -> Result<bool, SqlError> {
    match (executed, set) {
        (GtidSet::Mariadb(executed), GtidSet::Mariadb(set)) => Ok(executed.contains_position(set)),
        _ => executed.contains(set).map_err(|e| SqlError::Unexpected(e.to_string())),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn mariadb_waits_for_the_newest_of_each_domain() {
        let set = GtidSet::parse_mariadb_state("0-1-5,0-2-9,1-1-3").unwrap();
        assert_eq!(
            statement(&set, Duration::from_millis(250)),
            "SELECT MASTER_GTID_WAIT('0-2-9,1-1-3', 0.250)"
        );
    }
}
