//! Closing a server to clients: bounded, verified, and leaving nothing behind when it did not work.

use std::pin::pin;
use std::time::Duration;

use tokio::time::timeout;

use super::capabilities::Capabilities;
use super::error::SqlError;
use super::foretell::{sent, sent_where};
use super::managed::{CloseOptions, ClosedProof};
use super::wire::Wire;
use super::{accounts, pulse, sessions};
use crate::gtid::Dialect;

/// Kept back from the deadline for killing the statement and seeing it gone.
const RESERVE: Duration = Duration::from_millis(500);

const OFFLINE: &str = "SET GLOBAL offline_mode=ON";

/// The closing statement of this server.
fn closing(caps: &Capabilities, options: &CloseOptions) -> String {
    let lock_wait = options.lock_wait.as_secs().max(1);
    let statement = match (caps.dialect, caps.closes_to_all) {
        (Dialect::Mysql, _) => "SET GLOBAL super_read_only=ON",
        (Dialect::Mariadb, true) => "SET GLOBAL read_only=NO_LOCK_NO_ADMIN",
        (Dialect::Mariadb, false) => "SET GLOBAL read_only=ON",
    };
    format!("SET SESSION lock_wait_timeout={lock_wait}; {statement}")
}

/// What [`close`] sends, as text.
pub(super) fn foretold(caps: &Capabilities, options: &CloseOptions) -> Vec<String> {
    let kill = sessions::killing("<id>");
    let mut lines = vec![sent(closing(caps, options))];
    if options.kill_blockers {
        lines.push(sent_where(&kill, "each client's session, where one of them holds that up"));
    }
    if options.kill_sessions {
        lines.push(sent_where(&kill, "each client's session that is left"));
    }
    if caps.dialect == Dialect::Mysql {
        lines.push(sent_where(OFFLINE, "where a prepared XA transaction could still be committed"));
    }
    lines
}

/// Closes over `fence`, with `second` at hand to kill what hangs.
pub(super) async fn close(
    fence: &mut Wire,
    second: &mut Wire,
    options: &CloseOptions,
) -> Result<ClosedProof, SqlError> {
    match flip(fence, second, options).await {
        Err(SqlError::LockWaitTimeout) if options.kill_blockers => {
            // Which session holds the lock is not to be had from every server; after a close all of them end anyway.
            sessions::kill_clients(second).await?;
            flip(fence, second, options).await?;
        }
        other => other?,
    }
    verify(second, options).await
}

/// The closing statement, killed and seen gone when it does not return in time.
async fn flip(fence: &mut Wire, second: &mut Wire, options: &CloseOptions) -> Result<(), SqlError> {
    let id = u64::from(fence.id());
    let bound = fence.left().saturating_sub(RESERVE.min(options.deadline / 4));
    fence.begin("close", bound);
    let sql = closing(&fence.caps(), options);
    let mut closing = pin!(fence.sets(&sql));
    let closed = match timeout(bound / 2, &mut closing).await {
        // The bound may be shorter than the shortest wait for a lock: what holds it up is ended in time for it.
        Err(_) if options.kill_blockers => {
            // What could not be killed goes on holding it up, and its own bound ends it.
            let _held_up = sessions::kill_clients(second).await;
            closing.await
        }
        Err(_) => closing.await,
        Ok(closed) => closed,
    };
    match closed {
        Ok(_) => Ok(()),
        // The server said no: nothing is under way.
        Err(error) if error.server_answered() => Err(error),
        Err(error) => match sessions::end(second, id).await {
            Ok(()) => Err(error),
            Err(why) => Err(SqlError::Unsafe(format!(
                "the closing statement of session {id} was not seen gone ({why}): it may still take effect"
            ))),
        },
    }
}

async fn verify(wire: &mut Wire, options: &CloseOptions) -> Result<ClosedProof, SqlError> {
    let caps = wire.caps();
    let seen = pulse::take(wire).await?;
    if !seen.switch.is_closed() {
        return Err(SqlError::NotInEffect { what: "close", seen: format!("{:?}", seen.switch) });
    }
    let (sessions_killed, sessions_left) =
        if options.kill_sessions { sessions::kill_clients(wire).await? } else { Default::default() };
    // After the sessions: one of them may have prepared it while it was being closed.
    let xa_prepared = u32::try_from(wire.rows("XA RECOVER").await?.len()).unwrap_or(u32::MAX);
    let xa_counts = caps.dialect == Dialect::Mysql && xa_prepared > 0;
    if xa_counts {
        wire.run(OFFLINE).await?;
    }
    let writers_left = if caps.dialect == Dialect::Mysql || caps.closes_to_all {
        Vec::new()
    } else {
        accounts::writers_while_closed(wire).await?
    };
    let last = pulse::take(wire).await?;
    if !last.switch.is_closed() {
        return Err(SqlError::NotInEffect { what: "close", seen: format!("{:?}", last.switch) });
    }
    Ok(ClosedProof {
        sessions_killed,
        sessions_left,
        xa_prepared,
        xa_can_commit: xa_counts && !last.offline_mode,
        offline: last.offline_mode,
        executed: last.executed,
        writers_left,
    })
}
