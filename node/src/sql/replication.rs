//! A replica's threads and its source, in the words of each dialect.
//!
//! What makes this delicate is the relay log. MySQL keeps it while one thread runs, through STOP and START and through
//! a change of source. MariaDB with GTID throws it away whenever a thread starts while both stand still, and at every
//! CHANGE MASTER by GTID: there, events that were received and acknowledged are safe only while the SQL thread runs, or
//! where it is started without GTID until it has applied them.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::change_source::{change_mariadb, change_mysql, without_secret};
use super::error::SqlError;
use super::fields::{Fields, quote};
use super::managed::{Permit, Source};
use super::pulse;
use super::replication_words::{
    LOGS_IN_FOR_A_SECOND, MARIADB, MYSQL, TAKE_POSITION, keeps_applying, logs_in_before_it_stops,
    net_timeout, words,
};
use super::sessions::killing;
use super::status::{Pulse, Replication};
use super::unplug::unplug;
use super::wire::Wire;
use crate::gtid::Dialect;

/// Between two looks at what is applied.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// A receiver that was killed and still waits for its source has the connection taken away.
const RECEIVER_ENDS_WITHIN: Duration = Duration::from_millis(100);
/// How long an applier that was killed is waited for before the STOP, which then waits by itself.
const APPLIER_ENDS_WITHIN: Duration = Duration::from_secs(2);

/// Where a thread is found: by its name in MySQL's performance_schema, or in MariaDB's list of sessions.
struct Thread {
    mysql: &'static str,
    mariadb: &'static str,
}

/// The applier's coordinator. MySQL's threads have had two names each.
const APPLIER: Thread = Thread {
    mysql: "NAME IN ('thread/sql/replica_sql', 'thread/sql/slave_sql')",
    mariadb: "COMMAND='Slave_SQL'",
};
const RECEIVER: Thread = Thread {
    mysql: "NAME IN ('thread/sql/replica_io', 'thread/sql/slave_io')",
    // Until it is connected it is called as those are that log in.
    mariadb: "COMMAND='Slave_IO' OR COMMAND='Connect' AND USER='system user' AND \
              (STATE LIKE 'Connecting to%' OR STATE LIKE 'Reconnecting%' OR STATE LIKE 'Waiting to reconnect%')",
};
/// A receiver that reads what its source sends.
const READING: Thread = Thread {
    mysql: "NAME IN ('thread/sql/replica_io', 'thread/sql/slave_io') AND \
            (PROCESSLIST_STATE LIKE 'Waiting for % to send event' OR PROCESSLIST_STATE LIKE 'Queueing % event to the relay log')",
    mariadb: "COMMAND='Slave_IO' AND \
              (STATE LIKE 'Waiting for % to send event' OR STATE LIKE 'Queueing % event to the relay log')",
};

async fn step(wire: &mut Wire, permit: &Permit, sql: &str) -> Result<(), SqlError> {
    permit.check(sql)?;
    wire.run(sql).await
}

/// Stops the receiver; nothing to do where there is none or it stands still.
pub(super) async fn stop_receiver(wire: &mut Wire, permit: &Permit) -> Result<(), SqlError> {
    let dialect = wire.caps().dialect;
    let seen = pulse::take(wire).await?;
    match &seen.replication {
        Some(channel) if channel.io_started => {
            keeps_relay_log(dialect, channel, &seen)?;
            if logs_in_before_it_stops(dialect, &seen) {
                step(wire, permit, LOGS_IN_FOR_A_SECOND).await?;
            }
            end_receiver(wire, permit, channel).await
        }
        _ => Ok(()),
    }
}

/// STOP. A receiver that does not read yet is killed first: while it waits for the answer to its login, or to one of the
/// questions after it (then it is said to run), the signal that STOP sends every two seconds begins its wait of
/// [`net_timeout`] anew, and STOP takes 42 seconds where the source's host is cut off right then (MySQL 9.7.4; MariaDB
/// 10.11.18: 22), in which the server does not say either how its replication stands. A KILL sends no such signals: the wait
/// ends in its time, and the receiver with it, or as soon as its connection is ended ([`unplug`]).
async fn end_receiver(wire: &mut Wire, permit: &Permit, channel: &Replication) -> Result<(), SqlError> {
    let dialect = wire.caps().dialect;
    // Of several channels nobody can tell whose it is.
    if let [id] = threads(wire, RECEIVER).await[..]
        && !threads(wire, READING).await.contains(&id)
    {
        kill(wire, permit, id).await?;
        let mut waits_until = Some(Instant::now() + RECEIVER_ENDS_WITHIN);
        while threads(wire, RECEIVER).await.contains(&id) {
            if waits_until.take_if(|until| *until <= Instant::now()).is_some() {
                permit.check("end of the receiver's connection")?;
                let source = (channel.source_host.as_str(), channel.source_port);
                // The name may be slow to look up, and whoever called waits no longer than this call may take.
                let _late = timeout(wire.left(), unplug(wire.connector(), source)).await;
            }
            wire.pause(LOOK_AGAIN).await?;
        }
    }
    step(wire, permit, words(dialect).stop_receiver).await
}

/// Starts the receiver.
pub(super) async fn start_receiver(wire: &mut Wire, permit: &Permit) -> Result<(), SqlError> {
    let dialect = wire.caps().dialect;
    let seen = pulse::take(wire).await?;
    let channel = configured(&seen)?;
    if dialect == Dialect::Mariadb && !channel.auto_position {
        return back_to_gtid(wire, permit).await;
    }
    keeps_relay_log(dialect, channel, &seen)?;
    step(wire, permit, words(dialect).start_receiver).await
}

/// Starts the applier.
pub(super) async fn start_applier(wire: &mut Wire, permit: &Permit) -> Result<(), SqlError> {
    let dialect = wire.caps().dialect;
    let seen = pulse::take(wire).await?;
    let channel = configured(&seen)?;
    if channel.sql_running {
        return Ok(());
    }
    if dialect == Dialect::Mariadb && !channel.io_started && channel.auto_position && !seen.all_applied() {
        keep_relay_log(wire, permit).await?;
    }
    step(wire, permit, words(dialect).start_applier).await
}

/// Starts both threads; what was received before is applied first, where a start would throw it away.
pub(super) async fn start(wire: &mut Wire, permit: &Permit) -> Result<(), SqlError> {
    let dialect = wire.caps().dialect;
    if dialect == Dialect::Mariadb {
        let seen = pulse::take(wire).await?;
        let channel = configured(&seen)?;
        let stands = !channel.io_started && !channel.sql_running;
        if !channel.auto_position || (stands && !seen.all_applied()) {
            return back_to_gtid(wire, permit).await;
        }
    }
    step(wire, permit, words(dialect).start).await
}

/// MariaDB throws the relay log away when a thread starts while both stand still, but only with GTID: told to go on at the
/// relay log's own file and position it keeps it, leaves GTID, and moves `gtid_slave_pos` on all the same as it applies
/// (tried on 10.11).
async fn keep_relay_log(wire: &mut Wire, permit: &Permit) -> Result<(), SqlError> {
    let row = wire.row("SHOW SLAVE STATUS").await?;
    let row = row.as_ref().map(Fields::of_row).unwrap_or_default();
    let position: Option<u64> = row.number(&["relay_log_pos"]);
    let (Some(file), Some(position)) = (row.filled(&["relay_log_file"]), position) else {
        return Err(SqlError::Unsafe(
            "the relay log's position is unknown; a start would throw it away".into(),
        ));
    };
    let change = format!("CHANGE MASTER TO RELAY_LOG_FILE={}, RELAY_LOG_POS={position}", quote(file));
    step(wire, permit, &change).await
}

/// Applies what was received, then replicates by GTID again. Where that takes longer than the call may, the applier goes
/// on, and the next call finds it further on.
async fn back_to_gtid(wire: &mut Wire, permit: &Permit) -> Result<(), SqlError> {
    start_applier(wire, permit).await?;
    drain(wire, permit).await?;
    step(wire, permit, MARIADB.stop).await?;
    step(wire, permit, "CHANGE MASTER TO MASTER_USE_GTID=slave_pos").await?;
    step(wire, permit, MARIADB.start).await
}

/// Makes a running receiver connect anew, as a change of the replica side of semi-sync needs it.
pub(super) async fn reconnect(wire: &mut Wire, permit: &Permit) -> Result<(), SqlError> {
    let dialect = wire.caps().dialect;
    let seen = pulse::take(wire).await?;
    match &seen.replication {
        Some(channel) if channel.io_started => {
            keeps_relay_log(dialect, channel, &seen)?;
            end_receiver(wire, permit, channel).await?;
            step(wire, permit, words(dialect).start_receiver).await
        }
        _ => Ok(()),
    }
}

/// Forgets the source once everything received is applied.
pub(super) async fn forget_source(wire: &mut Wire, permit: &Permit) -> Result<(), SqlError> {
    let words = words(wire.caps().dialect);
    if pulse::take(wire).await?.replication.is_none() {
        return Ok(());
    }
    drain(wire, permit).await?;
    end_applier(wire, permit).await?;
    step(wire, permit, words.stop).await?;
    step(wire, permit, words.forget).await?;
    match pulse::take(wire).await?.replication {
        None => Ok(()),
        Some(channel) => {
            Err(SqlError::NotInEffect { what: "forgetting the source", seen: format!("{channel:?}") })
        }
    }
}

/// A source that dies while it sends leaves the beginning of a transaction at the end of the relay log. Nobody has
/// acknowledged it and its end will never come, but MySQL's STOP REPLICA waits up to 60 s for it. A KILL of the applier
/// without a STOP before it is accepted at once. Everything received whole has been applied before.
///
/// The thread has to be seen to end: a STOP that arrives before it has noticed the KILL makes it wait all the same.
pub(super) async fn end_applier(wire: &mut Wire, permit: &Permit) -> Result<(), SqlError> {
    if wire.caps().dialect != Dialect::Mysql {
        return Ok(());
    }
    let given_up = Instant::now() + APPLIER_ENDS_WITHIN;
    for id in threads(wire, APPLIER).await {
        kill(wire, permit, id).await?;
    }
    while !threads(wire, APPLIER).await.is_empty() && Instant::now() < given_up {
        wire.pause(LOOK_AGAIN).await?;
    }
    Ok(())
}

async fn kill(wire: &mut Wire, permit: &Permit, id: u64) -> Result<(), SqlError> {
    match step(wire, permit, &killing(id)).await {
        // It has ended by itself.
        Err(SqlError::NoSuchThing { .. }) => Ok(()),
        done => done,
    }
}

/// The sessions of these threads. In a MySQL without performance_schema there are none to be seen, and the STOP may have to
/// wait.
async fn threads(wire: &mut Wire, thread: Thread) -> Vec<u64> {
    let sql = match wire.caps().dialect {
        Dialect::Mysql => format!(
            "SELECT PROCESSLIST_ID FROM performance_schema.threads WHERE PROCESSLIST_ID IS NOT NULL AND {}",
            thread.mysql
        ),
        Dialect::Mariadb => {
            format!(
                "SELECT CAST(ID AS UNSIGNED) FROM information_schema.PROCESSLIST WHERE {}",
                thread.mariadb
            )
        }
    };
    let found = wire.rows(&sql).await.unwrap_or_default();
    found.iter().filter_map(|row| row.get_opt::<u64, _>(0)?.ok()).collect()
}

/// Points the server at `source` and starts.
pub(super) async fn follow(wire: &mut Wire, source: &Source, permit: &Permit) -> Result<(), SqlError> {
    let caps = wire.caps();
    let seen = pulse::take(wire).await?;
    if !seen.switch.is_closed() {
        return Err(SqlError::Unsafe("an open server does not follow another: close it first".into()));
    }
    step(wire, permit, &net_timeout(&caps)).await?;
    let change = match caps.dialect {
        Dialect::Mysql => prepare_mysql(wire, source, permit, seen.replication.as_ref()).await?,
        Dialect::Mariadb => prepare_mariadb(wire, source, permit, seen.replication.is_some()).await?,
    };
    permit.check("change of source")?;
    wire.run(&change).await.map_err(|e| without_secret(e, source))?;
    step(wire, permit, words(caps.dialect).start).await?;
    let seen = pulse::take(wire).await?;
    let now = configured(&seen)?;
    if now.source_host == source.host && now.source_port == source.port && now.auto_position {
        return Ok(());
    }
    Err(SqlError::NotInEffect {
        what: "change of source",
        seen: format!("{}:{}", now.source_host, now.source_port),
    })
}

/// Stops what must stand still for the change, and keeps the applier running where it may, so that the relay log stays.
async fn prepare_mysql(
    wire: &mut Wire,
    source: &Source,
    permit: &Permit,
    channel: Option<&Replication>,
) -> Result<String, SqlError> {
    let keep = keeps_applying(channel);
    if keep {
        if let Some(channel) = channel.filter(|c| c.io_started) {
            end_receiver(wire, permit, channel).await?;
        }
        start_applier(wire, permit).await?;
        let now = pulse::take(wire).await?;
        if !now.all_applied() && !now.replication.is_some_and(|c| c.sql_running) {
            let why =
                "the applier does not run and received events are unapplied: the change would drop them";
            return Err(SqlError::Unsafe(why.into()));
        }
    } else if let Some(channel) = channel {
        if channel.io_started {
            end_receiver(wire, permit, channel).await?;
        }
        step(wire, permit, MYSQL.stop).await?;
    }
    // While the applier runs, the statement may not name auto-position, which is on already.
    Ok(change_mysql(source, !keep))
}

/// Applies everything, stops both threads, and takes a former writer's own transactions into its replica position.
async fn prepare_mariadb(
    wire: &mut Wire,
    source: &Source,
    permit: &Permit,
    configured: bool,
) -> Result<String, SqlError> {
    if configured {
        drain(wire, permit).await?;
        step(wire, permit, MARIADB.stop).await?;
    }
    step(wire, permit, TAKE_POSITION).await?;
    Ok(change_mariadb(source))
}

/// Stops receiving and waits until everything received is applied.
async fn drain(wire: &mut Wire, permit: &Permit) -> Result<(), SqlError> {
    stop_receiver(wire, permit).await?;
    loop {
        let seen = pulse::take(wire).await?;
        if seen.all_applied() {
            return Ok(());
        }
        let applying = seen.replication.as_ref().is_some_and(|c| c.sql_running);
        if !applying || wire.pause(LOOK_AGAIN).await.is_err() {
            return Err(SqlError::Unsafe(format!(
                "received and not applied (applier running: {applying}); forgetting the source now would lose it"
            )));
        }
    }
}

fn configured(seen: &Pulse) -> Result<&Replication, SqlError> {
    seen.replication
        .as_ref()
        .ok_or_else(|| SqlError::NoSuchThing { message: "no source is configured on this server".into() })
}

/// MariaDB's relay log survives the IO thread's stop and start only beside a running SQL thread.
fn keeps_relay_log(dialect: Dialect, channel: &Replication, seen: &Pulse) -> Result<(), SqlError> {
    if dialect == Dialect::Mysql || channel.sql_running || seen.all_applied() {
        return Ok(());
    }
    Err(SqlError::Unsafe(
        "the SQL thread stands still with received events unapplied: with both threads stopped MariaDB throws them \
         away; START SLAVE SQL_THREAD first"
            .into(),
    ))
}
