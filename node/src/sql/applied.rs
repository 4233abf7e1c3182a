//! Waiting until a replica has applied a set.

use std::time::Duration;

use super::error::SqlError;
use super::fields::{quote, text_at};
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
        let contains = seen.executed.contains(set).map_err(|e| SqlError::Unexpected(e.to_string()))?;
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
    let seconds = slice.as_secs_f64().max(0.001);
    match set {
        GtidSet::Mysql(_) => {
            let set: String = set.to_string().split_whitespace().collect();
            format!("SELECT WAIT_FOR_EXECUTED_GTID_SET({}, {seconds:.3})", quote(&set))
        }
        GtidSet::Mariadb(_) => {
            format!("SELECT MASTER_GTID_WAIT({}, {seconds:.3})", quote(&position(&set.to_string())))
        }
    }
}

/// The newest GTID of each domain: MariaDB waits for a position, not for a set.
fn position(set: &str) -> String {
    let mut newest: Vec<(&str, u64, &str)> = Vec::new();
    for gtid in set.split(',').map(str::trim).filter(|g| !g.is_empty()) {
        let mut parts = gtid.split('-');
        let (Some(domain), Some(seq)) = (parts.next(), parts.next_back().and_then(|n| n.parse().ok())) else {
            continue;
        };
        match newest.iter_mut().find(|(d, ..)| *d == domain) {
            Some(entry) if entry.1 < seq => *entry = (domain, seq, gtid),
            Some(_) => {}
            None => newest.push((domain, seq, gtid)),
        }
    }
    newest.iter().map(|(.., gtid)| *gtid).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_has_one_gtid_per_domain() {
        assert_eq!(position("0-1-5,0-2-9,1-1-3,0-3-7"), "0-2-9,1-1-3");
        assert_eq!(position(""), "");
    }
}
