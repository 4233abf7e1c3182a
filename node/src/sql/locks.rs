//! Locks that hold up the close of a server.
//!
//! The close takes the global read lock: it waits for statements that write, for `LOCK TABLES … WRITE` and for commits
//! under way, and for nothing that only reads.

use std::collections::BTreeMap;
use std::time::Duration;

use mysql_async::Row;

use super::error::SqlError;
use super::fields::{Fields, is_on, text_at};
use super::managed::HeldLock;
use super::sessions::{self, Session};
use super::wire::Wire;
use crate::gtid::Dialect;

/// Locks and tables shown.
const SHOWN: usize = 20;

/// Everything that writes, or may at once, holds this one.
const MYSQL: &str = "SELECT t.PROCESSLIST_ID AS id, m.OBJECT_SCHEMA AS db, m.OBJECT_NAME AS name \
     FROM performance_schema.metadata_locks g \
     JOIN performance_schema.threads t ON t.THREAD_ID = g.OWNER_THREAD_ID \
     LEFT JOIN performance_schema.metadata_locks m ON m.OWNER_THREAD_ID = g.OWNER_THREAD_ID \
       AND m.OBJECT_TYPE = 'TABLE' AND m.LOCK_STATUS = 'GRANTED' \
     WHERE g.OBJECT_TYPE IN ('GLOBAL', 'COMMIT') AND g.LOCK_TYPE = 'INTENTION_EXCLUSIVE' \
       AND g.LOCK_STATUS = 'GRANTED' LIMIT 200";
/// The same of MariaDB, where the plugin is there.
const MARIADB: &str = "SELECT g.THREAD_ID AS id, m.TABLE_SCHEMA AS db, m.TABLE_NAME AS name \
     FROM information_schema.METADATA_LOCK_INFO g \
     LEFT JOIN information_schema.METADATA_LOCK_INFO m ON m.THREAD_ID = g.THREAD_ID \
       AND m.LOCK_TYPE = 'Table metadata lock' \
     WHERE g.LOCK_TYPE IN ('Backup lock', 'Global read lock') LIMIT 200";

/// Clients that hold up a close and have done so for `longer_than`, the longest first; and tables locked by nobody knows
/// whom, where the server does not tell.
pub(super) async fn holders(
    wire: &mut Wire,
    longer_than: Duration,
) -> Result<(Vec<HeldLock>, Vec<String>), SqlError> {
    let sql = match wire.caps().dialect {
        Dialect::Mysql if sees_metadata_locks(wire).await? => MYSQL,
        Dialect::Mysql => return Ok((Vec::new(), in_use(wire).await?)),
        Dialect::Mariadb if has_lock_info(wire).await? => MARIADB,
        Dialect::Mariadb => return Ok((Vec::new(), in_use(wire).await?)),
    };
    let rows = wire.rows(sql).await?;
    let sessions = sessions::list(wire).await?;
    let own = wire.connector().user().to_owned();
    Ok((held(&rows, &sessions, &own, longer_than), Vec::new()))
}

fn held(rows: &[Row], sessions: &[Session], own: &str, longer_than: Duration) -> Vec<HeldLock> {
    let mut tables: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for row in rows.iter().map(Fields::of_row) {
        let Some(id) = row.number(&["id"]) else { continue };
        let named = row.filled(&["db"]).zip(row.filled(&["name"])).map(|(db, name)| format!("{db}.{name}"));
        let of_session = tables.entry(id).or_default();
        of_session.extend(named.filter(|name| !of_session.contains(name)));
    }
    let mut held: Vec<HeldLock> = tables
        .into_iter()
        .filter_map(|(id, tables)| {
            let session = sessions.iter().find(|s| s.id == id && s.is_client(own))?;
            let (user, host) = (session.user.clone(), session.host.clone());
            Some(HeldLock { id, user, host, age: session.since, tables })
        })
        .filter(|lock| lock.age >= longer_than)
        .collect();
    held.sort_by_key(|lock| std::cmp::Reverse(lock.age));
    held.truncate(SHOWN);
    held
}

/// On by default. Without performance_schema there is no such row.
async fn sees_metadata_locks(wire: &mut Wire) -> Result<bool, SqlError> {
    let sql =
        "SELECT ENABLED FROM performance_schema.setup_instruments WHERE NAME = 'wait/lock/metadata/sql/mdl'";
    Ok(wire.row(sql).await?.and_then(|row| text_at(&row, 0)).is_some_and(|value| is_on(&value)))
}

async fn has_lock_info(wire: &mut Wire) -> Result<bool, SqlError> {
    let row = wire.row("SHOW TABLES FROM information_schema LIKE 'METADATA_LOCK_INFO'").await?;
    Ok(row.is_some())
}

/// Tables under a lock. Whoever writes for a moment is among them.
async fn in_use(wire: &mut Wire) -> Result<Vec<String>, SqlError> {
    let rows = wire.rows("SHOW OPEN TABLES WHERE In_use > 0").await?;
    let name = |row: &Row| Some(format!("{}.{}", text_at(row, 0)?, text_at(row, 1)?));
    Ok(rows.iter().filter_map(name).take(SHOWN).collect())
}
