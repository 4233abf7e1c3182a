//! Both sides of semi-sync, under the names that the server has for them. MySQL and MariaDB differ here in names only.

use super::capabilities::{Capabilities, SourceNames};
use super::error::SqlError;
use super::fields::Fields;
use super::managed::Permit;
use super::status::SemiSync;
use super::wire::Wire;

/// `sync_relay_log` of an acker, and both dialects' own default (MySQL manual 19.1.6.3; MariaDB: Replication variables).
const EVERY_EVENT: u32 = 1;
const SELDOM: u32 = 10_000;

/// Columns for the pulse's SELECT, each with a leading comma.
pub(super) fn columns(caps: &Capabilities) -> String {
    let mut columns = String::from(", @@global.sync_relay_log AS sync_relay_log");
    let mut add = |name: &str, alias: &str| columns.push_str(&format!(", @@global.{name} AS {alias}"));
    if let Some(names) = caps.source {
        add(&format!("{}_enabled", names.prefix), "ss_enabled");
        add(&format!("{}_timeout", names.prefix), "ss_timeout");
        add(&format!("{}_wait_point", names.prefix), "ss_wait_point");
        add(names.wait_no_replica, "ss_wait_no_replica");
        if let Some(count) = names.wait_count {
            add(count, "ss_wait_count");
        }
    }
    if let Some(prefix) = caps.replica {
        add(&format!("{prefix}_enabled"), "ss_replica_enabled");
    }
    columns
}

/// Names of status counters, quoted and each with a leading comma.
pub(super) fn counters(caps: &Capabilities) -> String {
    let source = caps.source.map(|names| {
        ["clients", "status", "wait_sessions"].map(|c| format!(", '{}_{c}'", names.prefix)).concat()
    });
    let replica = caps.replica.map(|prefix| format!(", '{prefix}_status'"));
    source.unwrap_or_default() + &replica.unwrap_or_default()
}

/// Reads what [`columns`] and [`counters`] asked for.
pub(super) fn read(caps: &Capabilities, fields: &Fields) -> SemiSync {
    let counter = |name: &str| {
        let prefix = caps.source.map_or("", |names| names.prefix);
        fields.text(&[&format!("{prefix}_{name}")]).unwrap_or_default().to_owned()
    };
    let acking = caps.replica.is_some_and(|prefix| fields.is_on(&[&format!("{prefix}_status")]));
    SemiSync {
        source_available: caps.source.is_some(),
        replica_available: caps.replica.is_some(),
        source_enabled: fields.is_on(&["ss_enabled"]),
        replica_enabled: fields.is_on(&["ss_replica_enabled"]),
        replica_acking: acking,
        sync_relay_log: fields.number(&["sync_relay_log"]).unwrap_or(0),
        timeout_ms: fields.number(&["ss_timeout"]).unwrap_or(0),
        after_sync: fields.text(&["ss_wait_point"]).is_some_and(|p| p.eq_ignore_ascii_case("AFTER_SYNC")),
        wait_count: fields.number(&["ss_wait_count"]).unwrap_or(1),
        wait_no_replica: fields.is_on(&["ss_wait_no_replica"]),
        ackers: counter("clients").parse().unwrap_or(0),
        source_active: super::fields::is_on(&counter("status")),
        waiting_sessions: counter("wait_sessions").parse().unwrap_or(0),
    }
}

/// The statement by which commits wait for so many ackers, for ever.
pub(super) fn source_waits(names: &SourceNames, wait_count: u32) -> String {
    let count = names.wait_count.map(|name| format!("GLOBAL {name}={wait_count}, ")).unwrap_or_default();
    let (prefix, no_replica, timeout) = (names.prefix, names.wait_no_replica, names.max_timeout_ms);
    // Enabled comes last: from then on every commit waits by these rules.
    format!(
        "SET GLOBAL {prefix}_timeout={timeout}, GLOBAL {prefix}_wait_point=AFTER_SYNC, {count}GLOBAL {no_replica}=ON, \
         GLOBAL {prefix}_enabled=ON"
    )
}

/// The statement that switches the replica side.
pub(super) fn replica_side(prefix: &str, on: bool) -> String {
    format!("SET GLOBAL {prefix}_enabled={}", if on { "ON" } else { "OFF" })
}

/// The statement by which the relay log is synced after every event, or seldom.
pub(super) fn relay_log_synced(every_event: bool) -> String {
    format!("SET GLOBAL sync_relay_log={}", if every_event { EVERY_EVENT } else { SELDOM })
}

/// Makes commits wait for `wait_count` ackers with a timeout that is never reached, and reads it back.
///
/// # Errors
/// [`SqlError::NotInEffect`]; [`SqlError::Unsafe`] for a `wait_count` that the server cannot have (MariaDB: other than 1).
pub(super) async fn make_source_wait(
    wire: &mut Wire,
    wait_count: u32,
    permit: &Permit,
) -> Result<SemiSync, SqlError> {
    let caps = wire.caps();
    let names = caps.source_side()?;
    if names.wait_count.is_none() && wait_count != 1 {
        return Err(SqlError::Unsafe(format!("MariaDB waits for one acker, {wait_count} were asked for")));
    }
    let sql = source_waits(&names, wait_count);
    permit.check(&sql)?;
    wire.run(&sql).await?;
    let seen = look(wire).await?;
    let waits = seen.source_enabled
        && seen.source_active
        && seen.after_sync
        && seen.wait_no_replica
        && seen.wait_count == wait_count
        && seen.timeout_ms == names.max_timeout_ms;
    if waits {
        return Ok(seen);
    }
    Err(SqlError::NotInEffect { what: "semi-sync source on", seen: format!("{seen:?}") })
}

/// Switches the replica side, without the restart of the IO thread that makes it take effect.
pub(super) async fn set_replica(wire: &mut Wire, on: bool, permit: &Permit) -> Result<(), SqlError> {
    let caps = wire.caps();
    let prefix = match caps.replica_side() {
        Ok(prefix) => prefix,
        // What is absent is off.
        Err(_) if !on => return Ok(()),
        Err(error) => return Err(error),
    };
    let sql = replica_side(prefix, on);
    permit.check(&sql)?;
    wire.run(&sql).await
}

/// Has the relay log synced after every event, or as seldom as by the servers' own default.
///
/// # Errors
/// [`SqlError::Unsafe`] when it is to be synced seldom and the server acknowledges; [`SqlError::NotInEffect`].
pub(super) async fn sync_relay_log(
    wire: &mut Wire,
    every_event: bool,
    permit: &Permit,
) -> Result<(), SqlError> {
    let before = look(wire).await?;
    if !every_event && (before.replica_enabled || before.replica_acking) {
        return Err(SqlError::Unsafe("it acknowledges what it receives, which has to be on disk".into()));
    }
    let events = if every_event { EVERY_EVENT } else { SELDOM };
    let sql = relay_log_synced(every_event);
    permit.check(&sql)?;
    wire.run(&sql).await?;
    let seen = look(wire).await?;
    if seen.sync_relay_log == events {
        return Ok(());
    }
    Err(SqlError::NotInEffect { what: "sync_relay_log", seen: seen.sync_relay_log.to_string() })
}

/// Semi-sync alone.
pub(super) async fn look(wire: &mut Wire) -> Result<SemiSync, SqlError> {
    let caps = wire.caps();
    let sql = format!(
        "SELECT 1{}; SHOW GLOBAL STATUS WHERE Variable_name IN (''{})",
        columns(&caps),
        counters(&caps)
    );
    let sets = wire.sets(&sql).await?;
    let mut fields = sets.first().and_then(|rows| rows.first()).map(Fields::of_row).unwrap_or_default();
    fields.add(sets.get(1).map(|rows| Fields::of_pairs(rows)).unwrap_or_default());
    Ok(read(&caps, &fields))
}
