//! Closing, as the real one does it: bounded, read back, and leaving nothing behind when it did not work.

use std::time::Duration;

use baton_node::gtid::Dialect;
use baton_node::sql::{CloseOptions, ClosedProof, Pulse, SqlError, Switch};
use tokio::time::Instant;

use super::lines::Held;
use super::managed::{LOOK_AGAIN, Remote, look};

/// Kept back from the bound for killing the statement.
const RESERVE: Duration = Duration::from_millis(500);
/// Kept back from the bound for what follows the wait for killed sessions.
const FOR_THE_REST: Duration = Duration::from_millis(150);

impl Remote {
    pub(super) async fn close_bounded(&self, options: &CloseOptions) -> Result<ClosedProof, SqlError> {
        let begun = Instant::now();
        let mut second = self.take(&self.second, "close", options.deadline, true).await?;
        let left = options.deadline.saturating_sub(begun.elapsed());
        let mut fence = self.take(&self.fence, "close", left, true).await?;
        match self.flip(&mut fence, &mut second, options).await {
            Err(SqlError::LockWaitTimeout) if options.kill_blockers => {
                kill_clients(&mut second).await?;
                self.flip(&mut fence, &mut second, options).await?;
            }
            other => other?,
        }
        self.verify(&mut second, options).await
    }

    /// The closing statement; one that does not return is killed and seen gone.
    async fn flip(
        &self,
        fence: &mut Held<'_>,
        second: &mut Held<'_>,
        options: &CloseOptions,
    ) -> Result<(), SqlError> {
        let to = if self.dialect() == Dialect::Mysql { Switch::ClosedToAll } else { Switch::Closed };
        let lock_wait = Duration::from_secs(options.lock_wait.as_secs().max(1));
        let id = fence.session();
        fence.begin("close", fence.left().saturating_sub(RESERVE.min(options.deadline / 4)));
        let closed = fence.wait(|m, at, session, reply| m.close(at, session, to, lock_wait, reply)).await;
        let Err(error) = closed else { return Ok(()) };
        if error.server_answered() {
            return Err(error);
        }
        match second.ask(|m, at, _| m.kill_session(at, id)).await {
            Ok(()) => Err(error),
            Err(why) => Err(SqlError::Unsafe(format!(
                "the closing statement of session {id} was not seen gone ({why}): it may still take effect"
            ))),
        }
    }

    async fn verify(&self, held: &mut Held<'_>, options: &CloseOptions) -> Result<ClosedProof, SqlError> {
        still_closed(look(held).await?)?;
        let (sessions_killed, sessions_left) =
            if options.kill_sessions { kill_clients(held).await? } else { Default::default() };
        let xa = held.ask(|m, at, _| m.servers[at].store.prepared.len()).await?;
        let mysql = self.dialect() == Dialect::Mysql;
        if mysql && xa > 0 {
            held.ask(|m, at, _| m.goes_offline(at)).await?;
        }
        let writers_left = match mysql {
            true => Vec::new(),
            false => held.ask(|m, at, _| m.servers[at].settings.accounts.clone()).await?,
        };
        let last = still_closed(look(held).await?)?;
        Ok(ClosedProof {
            sessions_killed,
            sessions_left,
            xa_prepared: u32::try_from(xa).unwrap_or(u32::MAX),
            xa_can_commit: mysql && xa > 0 && !last.offline_mode,
            offline: last.offline_mode,
            executed: last.executed,
            writers_left,
        })
    }
}

fn still_closed(seen: Pulse) -> Result<Pulse, SqlError> {
    if seen.switch.is_closed() {
        return Ok(seen);
    }
    Err(SqlError::NotInEffect { what: "close", seen: format!("{:?}", seen.switch) })
}

type Killed = Vec<baton_node::sql::Killed>;

async fn kill_clients(held: &mut Held<'_>) -> Result<(Killed, Killed), SqlError> {
    let killed = held.ask(|m, at, _| m.kill_clients(at)).await?;
    let mut left = killed.clone();
    while !left.is_empty() {
        left = held.ask(|m, at, _| m.still_there(at, &left)).await?;
        if left.is_empty() || held.left() < FOR_THE_REST {
            break;
        }
        held.pause(LOOK_AGAIN).await?;
    }
    Ok((killed, left))
}
