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

use std::time::Duration;

use tokio::time::Instant;

use super::capabilities::SourceNames;
use super::error::SqlError;
use super::managed::Permit;
use super::wire::Wire;
use super::{pulse, semi_sync, sessions};
use crate::gtid::Dialect;

/// After this long without an acker, MySQL's thread for acknowledgements sleeps and ends at once when told to.
const ACK_THREAD_SLEEPS: Duration = Duration::from_millis(1200);
/// Kept back from the bound of a call for the switch, in case an acker stays.
const FOR_THE_SWITCH: Duration = Duration::from_secs(3);
/// How long killed connections of ackers may take to count no more, before commits are let go by the switch: in a few
/// milliseconds or only after up to a second.
const KILLED_ENDS: Duration = Duration::from_millis(10);
const LOOK_AGAIN: Duration = Duration::from_millis(2);
const LOOK_SELDOM: Duration = Duration::from_millis(100);

/// Lets the commits of an open, degraded writer through.
pub(super) async fn let_go(wire: &mut Wire, permit: &Permit) -> Result<(), SqlError> {
    let caps = wire.caps();
    let Some(names) = caps.source else { return Ok(()) };
    if caps.dialect == Dialect::Mysql {
        wait_no_more(wire, names, permit).await?;
        if seen_inactive(wire, permit).await? {
            return Ok(());
        }
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
    if caps.dialect == Dialect::Mysql {
        wait_no_more(wire, names, permit).await?;
        no_acker_for_a_while(wire).await?;
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

/// Ends the waiting without the switch: at once where no acker is connected, else at the next commit.
async fn wait_no_more(wire: &mut Wire, names: SourceNames, permit: &Permit) -> Result<(), SqlError> {
    let sql = format!("SET GLOBAL {}_timeout=1, GLOBAL {}=OFF", names.prefix, names.wait_no_replica);
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

/// Waits for the moment when the switch holds up nobody, or until the call must end.
async fn no_acker_for_a_while(wire: &mut Wire) -> Result<(), SqlError> {
    let mut last_acker = Instant::now();
    while last_acker.elapsed() < ACK_THREAD_SLEEPS && wire.left() > FOR_THE_SWITCH {
        if semi_sync::look(wire).await?.ackers > 0 {
            last_acker = Instant::now();
        }
        wire.pause(LOOK_SELDOM).await?;
    }
    Ok(())
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
