//! The sessions of a server: whose they are, which of them are clients', and their end.

use std::time::Duration;

use super::error::SqlError;
use super::fields::Fields;
use super::managed::{Killed, LongTransaction, Permit};
use super::wire::Wire;

/// Between two looks at the process list.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Kept back from the bound for what follows the wait.
const FOR_THE_REST: Duration = Duration::from_millis(150);

/// Transactions looked at, and how much of a statement is shown.
const LONG_MAX: u32 = 20;
const STATEMENT_LENGTH: u32 = 60;

/// Sessions killed in one round trip.
const BATCH: usize = 64;

/// One row of the process list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Session {
    pub(super) id: u64,
    pub(super) user: String,
    pub(super) host: String,
    pub(super) command: String,
    /// Since its statement began, or the last one ended.
    pub(super) since: Duration,
}

/// Every session that the server has.
pub(super) async fn list(wire: &mut Wire) -> Result<Vec<Session>, SqlError> {
    // SHOW, because the tables behind it are deprecated here, switched off there.
    let rows = wire.rows("SHOW PROCESSLIST").await?;
    rows.iter().map(|row| session(&Fields::of_row(row))).collect()
}

fn session(row: &Fields) -> Result<Session, SqlError> {
    let text = |name| row.text(&[name]).unwrap_or_default().to_owned();
    Ok(Session {
        id: row.number(&["id"]).ok_or_else(|| SqlError::Unexpected("a session without id".into()))?,
        user: text("user"),
        host: text("host"),
        command: text("command"),
        since: Duration::from_secs(row.number(&["time"]).unwrap_or(0)),
    })
}

impl Session {
    /// A client's: not the server's own threads, not replication's on either side, not Baton's account.
    pub(super) fn is_client(&self, own_user: &str) -> bool {
        let internal = ["system user", "event_scheduler", "unauthenticated user", "mysql.session"];
        let serving = ["Binlog Dump", "Binlog Dump GTID", "Daemon", "Slave_IO", "Slave_SQL", "Slave_worker"];
        self.user != own_user
            && !internal.contains(&self.user.as_str())
            && !serving.contains(&self.command.as_str())
    }

    fn killed(&self) -> Killed {
        Killed { id: self.id, user: self.user.clone(), host: self.host.clone() }
    }
}

/// The statement that ends a session.
pub(super) fn killing(id: impl std::fmt::Display) -> String {
    format!("KILL {id}")
}

/// Kills every client session there is now, and waits until they are gone or the wire's time is up.
/// Returns those killed and, of them, those still there.
pub(super) async fn kill_clients(wire: &mut Wire) -> Result<(Vec<Killed>, Vec<Killed>), SqlError> {
    let own = wire.connector().user().to_owned();
    let clients: Vec<Session> = list(wire).await?.into_iter().filter(|s| s.is_client(&own)).collect();
    for batch in clients.chunks(BATCH) {
        kill_batch(wire, batch).await?;
    }
    let killed: Vec<Killed> = clients.iter().map(Session::killed).collect();
    let mut left = killed.clone();
    while !left.is_empty() {
        let now = list(wire).await?;
        left.retain(|k| now.iter().any(|s| s.id == k.id));
        // What is left is reported, not an error: the last look must fit into the bound.
        if left.is_empty() || wire.left() < FOR_THE_REST {
            break;
        }
        wire.pause(LOOK_AGAIN).await?;
    }
    Ok((killed, left))
}

/// One round trip, unless one of them has gone already, which ends a batch: then one by one.
async fn kill_batch(wire: &mut Wire, batch: &[Session]) -> Result<(), SqlError> {
    let sql = batch.iter().map(|s| killing(s.id)).collect::<Vec<_>>().join("; ");
    match wire.run(&sql).await {
        Err(SqlError::NoSuchThing { .. }) => {}
        other => return other,
    }
    for session in batch {
        kill(wire, session.id).await?;
    }
    Ok(())
}

/// Ends the sessions of clients where the applier waits for a lock.
pub(super) async fn free_applier(wire: &mut Wire, permit: &Permit) -> Result<Vec<Killed>, SqlError> {
    if !applier_waits(wire).await? {
        return Ok(Vec::new());
    }
    permit.check("ending the sessions that hold the applier up")?;
    // Not waited for: the wait for the applier is what follows.
    let own = wire.connector().user().to_owned();
    let clients: Vec<Session> = list(wire).await?.into_iter().filter(|s| s.is_client(&own)).collect();
    for batch in clients.chunks(BATCH) {
        kill_batch(wire, batch).await?;
    }
    Ok(clients.iter().map(Session::killed).collect())
}

/// A table's lock shows in the state of the thread that waits for it, a row's only among InnoDB's transactions.
async fn applier_waits(wire: &mut Wire) -> Result<bool, SqlError> {
    let rows = wire.rows("SHOW PROCESSLIST").await?;
    let appliers: Vec<Fields> =
        rows.iter().map(Fields::of_row).filter(|row| row.text(&["user"]) == Some("system user")).collect();
    let waits = |state: &str| state.starts_with("Waiting for") && state.ends_with("lock");
    if appliers.iter().any(|row| row.text(&["state"]).is_some_and(waits)) {
        return Ok(true);
    }
    let sql = "SELECT trx_mysql_thread_id AS id, trx_state AS state FROM information_schema.innodb_trx";
    let transactions = wire.rows(sql).await?;
    let transactions: Vec<Fields> = transactions.iter().map(Fields::of_row).collect();
    let of = |id: u64| transactions.iter().find(|row| row.number(&["id"]) == Some(id));
    let waits = |row: &Fields| {
        let own = row.number(&["id"]).and_then(of);
        own.is_some_and(|own| own.text(&["state"]) == Some("LOCK WAIT"))
    };
    // Appliers wait for each other as well: then no client has a transaction, and nobody's end would help.
    let own = wire.connector().user().to_owned();
    let has_one = |session: &Session| session.is_client(&own) && of(session.id).is_some();
    let clients = rows.iter().filter_map(|row| session(&Fields::of_row(row)).ok());
    Ok(appliers.iter().any(waits) && clients.into_iter().any(|session| has_one(&session)))
}

/// How many client sessions have a statement under way.
pub(super) async fn clients_at_work(wire: &mut Wire) -> Result<usize, SqlError> {
    let own = wire.connector().user().to_owned();
    let at_work = |s: &Session| s.is_client(&own) && s.command != "Sleep";
    Ok(list(wire).await?.into_iter().filter(at_work).count())
}

/// Clients' transactions that have been open for `longer_than`, the oldest first. Needs PROCESS, as SHOW PROCESSLIST does.
pub(super) async fn long_transactions(
    wire: &mut Wire,
    longer_than: Duration,
) -> Result<Vec<LongTransaction>, SqlError> {
    let own = wire.connector().user().to_owned();
    // The columns are those of both dialects; the ages are counted by the server's own clock.
    let sql = format!(
        "SELECT trx_mysql_thread_id AS id, TIMESTAMPDIFF(SECOND, trx_started, NOW()) AS age, \
         COALESCE(LEFT(trx_query, {STATEMENT_LENGTH}), '') AS statement, trx_rows_locked AS locked FROM information_schema.innodb_trx \
         ORDER BY trx_started LIMIT {LONG_MAX}"
    );
    let rows = wire.rows(&sql).await?;
    let sessions = list(wire).await?;
    let found = rows.iter().map(Fields::of_row).filter_map(|row| {
        let age = Duration::from_secs(row.number(&["age"])?);
        let id = row.number(&["id"])?;
        let session = sessions.iter().find(|s| s.id == id && s.is_client(&own))?;
        let statement = row.text(&["statement"]).unwrap_or_default().to_owned();
        let (user, host) = (session.user.clone(), session.host.clone());
        let rows_locked = row.number(&["locked"]).unwrap_or(0);
        (age >= longer_than).then_some(LongTransaction { id, user, host, age, statement, rows_locked })
    });
    Ok(found.collect())
}

/// The connections over which replicas are sent the binlog.
pub(super) async fn serving_replicas(wire: &mut Wire) -> Result<Vec<u64>, SqlError> {
    let serving = |s: &Session| s.command.starts_with("Binlog Dump");
    Ok(list(wire).await?.into_iter().filter(serving).map(|s| s.id).collect())
}

/// Kills a session. One that has gone already is fine.
pub(super) async fn kill(wire: &mut Wire, id: u64) -> Result<(), SqlError> {
    match wire.run(&killing(id)).await {
        Err(SqlError::NoSuchThing { .. }) => Ok(()),
        other => other,
    }
}

/// Kills a session and sees it gone.
///
/// # Errors
/// [`SqlError::TimedOut`] when it is still there at the end.
pub(super) async fn end(wire: &mut Wire, id: u64) -> Result<(), SqlError> {
    kill(wire, id).await?;
    while list(wire).await?.iter().any(|s| s.id == id) {
        wire.pause(LOOK_AGAIN).await?;
    }
    Ok(())
}

/// Kills sessions of Baton's own account that came over the server's socket and belong to no connection of this
/// process: an earlier process of this host's node left them. Other nodes come over TCP.
pub(super) async fn kill_leftovers(wire: &mut Wire) -> Result<u32, SqlError> {
    let connector = wire.connector().clone();
    let leftover = |s: &Session| s.user == connector.user() && s.host == "localhost" && !connector.owns(s.id);
    let leftovers: Vec<u64> = list(wire).await?.into_iter().filter(leftover).map(|s| s.id).collect();
    for id in &leftovers {
        end(wire, *id).await?;
    }
    Ok(u32::try_from(leftovers.len()).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_clients_are_clients() {
        let session = |user: &str, command: &str| Session {
            id: 1,
            user: user.into(),
            host: "h".into(),
            command: command.into(),
            since: Duration::ZERO,
        };
        assert!(session("app", "Sleep").is_client("baton"));
        assert!(session("root", "Query").is_client("baton"));
        for (user, command) in [
            ("baton", "Sleep"),
            ("repl", "Binlog Dump GTID"),
            ("repl", "Binlog Dump"),
            ("system user", "Query"),
            ("event_scheduler", "Daemon"),
        ] {
            assert!(!session(user, command).is_client("baton"), "{user} {command}");
        }
    }
}
