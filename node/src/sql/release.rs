//! How a source stops waiting for acknowledgements.
//!
//! MySQL 9.7 (tried): switching the source side off answers the waiting commits within a millisecond, but the statement
//! then waits for the thread that collects acknowledgements, and meanwhile every new connection and every read of a
//! global variable waits with it. That thread looks up once a second for as long as an acker is connected. For the same
//! reason an acker that died counts as connected for up to a second, also after its connection was killed.
//!
//! Gentler is `wait_no_replica=OFF`, which takes effect as soon as no acker is connected, and a timeout of one
//! millisecond, by which a commit that begins afterwards does not wait for those that are. Neither ends the waiting of
//! a commit under way for an acker that still counts: for that there is only the switch.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::capabilities::{Capabilities, SourceNames};
use super::error::SqlError;
use super::fields::{is_on, text_at};
use super::foretell::{sent, sent_where};
use super::managed::Permit;
use super::wire::Wire;
use super::{pulse, semi_sync, sessions};
use crate::gtid::Dialect;

/// After this long without an acker, MySQL's thread for acknowledgements sleeps and ends at once when told to.
const ACK_THREAD_SLEEPS: Duration = Duration::from_millis(1200);
/// How long killed connections of ackers may take to count no more, before commits are let go by the switch: in a few
/// milliseconds or only after up to a second.
const KILLED_ENDS: Duration = Duration::from_millis(10);
/// MySQL's timeout of a server that is not to wait.
const NO_WAIT_MS: u64 = 1;
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// Since when a closed server, told to wait no more, has been seen without an acker.
pub(super) type QuietSince = Mutex<Option<Instant>>;

/// The statement by which a commit waits for a millisecond at most, and not at all without an acker.
fn waits_no_more(names: &SourceNames) -> String {
    format!("SET GLOBAL {}_timeout={NO_WAIT_MS}, GLOBAL {}=OFF", names.prefix, names.wait_no_replica)
}

/// The statement that switches the source side off.
fn switched_off(names: &SourceNames) -> String {
    format!("SET GLOBAL {}_enabled=OFF", names.prefix)
}

/// What the calls of [`stop_waiting`] send until the source side is off, as text.
pub(super) fn foretold(caps: &Capabilities) -> Vec<String> {
    let Some(names) = caps.source else { return Vec::new() };
    let off = switched_off(&names);
    match caps.dialect {
        Dialect::Mysql => {
            vec![
                sent(waits_no_more(&names)),
                sent_where(off, "once no acker has been connected for a second"),
            ]
        }
        Dialect::Mariadb => vec![sent(off)],
    }
}

/// Lets the commits of an open, degraded writer through.
pub(super) async fn let_go(wire: &mut Wire, permit: &Permit) -> Result<(), SqlError> {
    let caps = wire.caps();
    let Some(names) = caps.source else { return Ok(()) };
    if caps.dialect == Dialect::Mariadb {
        return switch_off(wire, names, permit).await;
    }
    wait_no_more(wire, names, permit).await?;
    if seen_inactive(wire, permit).await? {
        return Ok(());
    }
    switch_off_behind(wire, names, permit).await
}

/// Sees to it that a closed server waits no more, and switches the source side off once that holds up nobody.
pub(super) async fn stop_waiting(
    wire: &mut Wire,
    quiet_since: &QuietSince,
    permit: &Permit,
) -> Result<(), SqlError> {
    let caps = wire.caps();
    let Some(names) = caps.source else { return Ok(()) };
    closed_and_nobody_waits(wire).await?;
    let seen = semi_sync::look(wire).await?;
    if !seen.source_enabled {
        return Ok(());
    }
    if caps.dialect == Dialect::Mysql {
        let told = !seen.wait_no_replica && seen.timeout_ms == NO_WAIT_MS;
        if !told {
            wait_no_more(wire, names, permit).await?;
        }
        if !long_quiet(quiet_since, told && seen.ackers == 0) {
            return Ok(());
        }
    }
    switch_off(wire, names, permit).await
}

/// Whether there has been no acker for long enough, this look included.
fn long_quiet(quiet_since: &QuietSince, quiet: bool) -> bool {
    let mut since = quiet_since.lock().unwrap_or_else(PoisonError::into_inner);
    if !quiet {
        *since = None;
        return false;
    }
    since.get_or_insert_with(Instant::now).elapsed() >= ACK_THREAD_SLEEPS
}

/// Waiting commits are answered OK when the source side goes off, so no client's may be among them. A replica's applier
/// may: its transactions were acknowledged elsewhere.
async fn closed_and_nobody_waits(wire: &mut Wire) -> Result<(), SqlError> {
    let seen = pulse::take(wire).await?;
    let waiting = seen.semi_sync.waiting_sessions;
    if !seen.switch.is_closed() {
        let why = "semi-sync is switched off on a closed server only, and this one is open";
        return Err(SqlError::Unsafe(why.into()));
    }
    if waiting > 0 && sessions::clients_at_work(wire).await? > 0 {
        return Err(SqlError::Unsafe(format!(
            "{waiting} commits wait for an acker: switching semi-sync off would acknowledge them"
        )));
    }
    Ok(())
}

/// Ends the waiting without the switch: at once where no acker is connected, else at the next commit.
async fn wait_no_more(wire: &mut Wire, names: SourceNames, permit: &Permit) -> Result<(), SqlError> {
    let sql = waits_no_more(&names);
    permit.check(&sql)?;
    wire.run(&sql).await
}

/// Sees to it that commits which wait already do so no more, by cutting ackers that still count as connected.
async fn seen_inactive(wire: &mut Wire, permit: &Permit) -> Result<bool, SqlError> {
    if !semi_sync::look(wire).await?.source_active {
        return Ok(true);
    }
    for id in sessions::serving_replicas(wire).await? {
        permit.check("KILL of a replica's connection")?;
        sessions::kill(wire, id).await?;
    }
    let begun = Instant::now();
    while semi_sync::look(wire).await?.source_active {
        if begun.elapsed() > KILLED_ENDS {
            return Ok(false);
        }
        wire.pause(LOOK_AGAIN).await?;
    }
    Ok(true)
}

/// The switch on a connection of its own, left to end by itself: it lets the commits go at once and returns a second
/// later. What counts is seen by a counter, which is not held up meanwhile.
async fn switch_off_behind(wire: &mut Wire, names: SourceNames, permit: &Permit) -> Result<(), SqlError> {
    let mut own =
        Wire::open(wire.connector(), Some(wire.caps()), "semi-sync source off", wire.left()).await?;
    let sql = switched_off(&names);
    permit.check(&sql)?;
    let switching = tokio::spawn(async move { own.run(&sql).await });
    let status = format!("SHOW GLOBAL STATUS LIKE '{}_status'", names.prefix);
    loop {
        let ended = switching.is_finished();
        let row = wire.row(&status).await?;
        if row.and_then(|row| text_at(&row, 1)).is_some_and(|value| !is_on(&value)) {
            return Ok(());
        }
        if ended {
            return match switching.await {
                Ok(Err(error)) => Err(error),
                _ => Err(SqlError::NotInEffect { what: "semi-sync source off", seen: "still active".into() }),
            };
        }
        wire.pause(LOOK_AGAIN).await?;
    }
}

/// The switch, where nobody is held up by it.
async fn switch_off(wire: &mut Wire, names: SourceNames, permit: &Permit) -> Result<(), SqlError> {
    let sql = switched_off(&names);
    permit.check(&sql)?;
    wire.run(&sql).await?;
    let seen = semi_sync::look(wire).await?;
    if seen.source_enabled {
        return Err(SqlError::NotInEffect { what: "semi-sync source off", seen: format!("{seen:?}") });
    }
    Ok(())
}
