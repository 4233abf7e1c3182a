//! How a source stops waiting for acknowledgements.
//!
//! MySQL 9.7 (tried): switching the source side off answers the waiting commits within a millisecond, but the statement
//! then waits up to a second for the thread that collects acknowledgements, and meanwhile every new connection and every
//! read of a global variable waits with it. That thread looks once a second for as long as an acker is, or in the last
//! second was, connected. And an acker that died idle counts as connected for about a second.
//! So commits are let through by `wait_no_replica=OFF` instead, which takes effect when no acker is connected; the
//! connections of those that still count are killed. The switch itself follows where there is time.

use std::time::Duration;

use super::capabilities::SourceNames;
use super::error::SqlError;
use super::managed::Permit;
use super::wire::Wire;
use super::{pulse, semi_sync, sessions};
use crate::gtid::Dialect;

/// After this long without an acker, MySQL's thread for acknowledgements sleeps and ends at once when told to.
const ACK_THREAD_SLEEPS: Duration = Duration::from_millis(1200);
/// How long a killed acker connection may take to end before the hard way is taken.
const KILLED_ENDS: Duration = Duration::from_millis(300);
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// Lets the commits of an open, degraded writer through.
pub(super) async fn let_go(wire: &mut Wire, permit: &Permit) -> Result<(), SqlError> {
    let caps = wire.caps();
    let Some(names) = caps.source else { return Ok(()) };
    if caps.dialect == Dialect::Mysql && quiet(wire, names, permit).await? {
        return Ok(());
    }
    switch_off(wire, names, permit).await
}

/// Switches the source side of a closed server off.
pub(super) async fn stop_waiting(wire: &mut Wire, permit: &Permit) -> Result<(), SqlError> {
    let caps = wire.caps();
    let Some(names) = caps.source else { return Ok(()) };
    closed_and_nobody_waits(wire).await?;
    if !semi_sync::look(wire).await?.source_enabled {
        return Ok(());
    }
    if caps.dialect == Dialect::Mysql && quiet(wire, names, permit).await? {
        wire.pause(ACK_THREAD_SLEEPS).await?;
        closed_and_nobody_waits(wire).await?;
    }
    switch_off(wire, names, permit).await
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

/// Ends the waiting without the switch. False when that was not to be had.
async fn quiet(wire: &mut Wire, names: SourceNames, permit: &Permit) -> Result<bool, SqlError> {
    let sql = format!("SET GLOBAL {}=OFF", names.wait_no_replica);
    permit.check(&sql)?;
    wire.run(&sql).await?;
    if !semi_sync::look(wire).await?.source_active {
        return Ok(true);
    }
    for id in sessions::serving_replicas(wire).await? {
        permit.check("KILL of a replica's connection")?;
        sessions::kill(wire, id).await?;
    }
    let begun = tokio::time::Instant::now();
    while semi_sync::look(wire).await?.source_active {
        if begun.elapsed() > KILLED_ENDS {
            return Ok(false);
        }
        wire.pause(LOOK_AGAIN).await?;
    }
    Ok(true)
}

async fn switch_off(wire: &mut Wire, names: SourceNames, permit: &Permit) -> Result<(), SqlError> {
    let sql = format!("SET GLOBAL {}_enabled=OFF", names.prefix);
    permit.check(&sql)?;
    wire.run(&sql).await?;
    let seen = semi_sync::look(wire).await?;
    if seen.source_enabled {
        return Err(SqlError::NotInEffect { what: "semi-sync source off", seen: format!("{seen:?}") });
    }
    Ok(())
}
