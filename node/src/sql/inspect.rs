//! What a planned switchover wants to know of a server beside its state: who holds up its close, what replication leaves
//! out, and its events.

use std::time::Duration;

use mysql_async::Row;

use super::error::SqlError;
use super::events;
use super::fields::{Fields, text_at};
use super::locks;
use super::managed::Inspection;
use super::sessions;
use super::wire::Wire;
use crate::gtid::Dialect;

/// Clients' transactions and locks count from `longer_than` on.
pub(super) async fn take(wire: &mut Wire, longer_than: Duration) -> Result<Inspection, SqlError> {
    let (locks, in_use) = locks::holders(wire, longer_than).await?;
    Ok(Inspection {
        long: sessions::long_transactions(wire, longer_than).await?,
        locks,
        in_use,
        binlog_filters: binlog_filters(wire).await?,
        replica_filters: replica_filters(wire).await?,
        events: events::seen(wire).await?,
    })
}

/// What never reaches the binlog, as `name=value`.
async fn binlog_filters(wire: &mut Wire) -> Result<Vec<String>, SqlError> {
    let asked = match wire.caps().dialect {
        // The old name has gone since 8.4, the new one came with 8.2.
        Dialect::Mysql => match wire.rows("SHOW BINARY LOG STATUS").await {
            Err(SqlError::Other { .. }) => wire.rows("SHOW MASTER STATUS").await?,
            rows => rows?,
        },
        Dialect::Mariadb => wire.rows("SHOW MASTER STATUS").await?,
    };
    let fields = asked.first().map(Fields::of_row).unwrap_or_default();
    let named = |name: &str| fields.filled(&[name]).map(|value| format!("{name}={value}"));
    Ok(["binlog_do_db", "binlog_ignore_db"].into_iter().filter_map(named).collect())
}

/// The names under which a replica shows what it leaves out.
pub(super) const REPLICA_FILTERS: [&str; 7] = [
    "replicate_do_db",
    "replicate_ignore_db",
    "replicate_do_table",
    "replicate_ignore_table",
    "replicate_wild_do_table",
    "replicate_wild_ignore_table",
    "replicate_rewrite_db",
];

/// What it leaves out as a replica, as `name=value`; on MySQL what it would once it is one shows in performance_schema alone.
async fn replica_filters(wire: &mut Wire) -> Result<Vec<String>, SqlError> {
    let found: Vec<(String, String)> = match wire.caps().dialect {
        Dialect::Mysql => {
            let sql =
                "SELECT FILTER_NAME, FILTER_RULE FROM performance_schema.replication_applier_global_filters";
            let mut found = pairs(&wire.rows(sql).await?);
            for channel in wire.rows("SHOW REPLICA STATUS").await?.iter().map(Fields::of_row) {
                let named = |name: &str| Some((name.to_owned(), channel.filled(&[name])?.to_owned()));
                found.extend(REPLICA_FILTERS.into_iter().filter_map(named));
            }
            found
        }
        Dialect::Mariadb => {
            let names = REPLICA_FILTERS.map(|name| format!("'{name}'")).join(", ");
            pairs(&wire.rows(&format!("SHOW GLOBAL VARIABLES WHERE Variable_name IN ({names})")).await?)
        }
    };
    let mut filters: Vec<String> = found.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    filters.sort();
    filters.dedup();
    Ok(filters)
}

fn pairs(rows: &[Row]) -> Vec<(String, String)> {
    let pair =
        |row| Some((text_at(row, 0)?.to_lowercase(), text_at(row, 1).filter(|value| !value.is_empty())?));
    rows.iter().filter_map(pair).collect()
}
