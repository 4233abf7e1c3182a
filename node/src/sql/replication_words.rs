//! The words in which each dialect steers a replica, and what the longer calls send, as text.

use super::capabilities::Capabilities;
use super::change_source::{change_mariadb, change_mysql};
use super::foretell::{sent, sent_where};
use super::managed::Source;
use super::sessions::killing;
use super::status::{Pulse, Replication};
use crate::gtid::Dialect;

/// Without a word from the source for so long, a replica reconnects.
const NET_TIMEOUT_S: u32 = 4;

/// A stopping receiver of MariaDB that acknowledges first logs in to its source, to end the dump thread there. A source whose
/// host is cut off holds it up for this long (by default 5 s); one second is the least.
pub(super) const LOGS_IN_FOR_A_SECOND: &str = "SET GLOBAL rpl_semi_sync_slave_kill_conn_timeout=1";

/// MariaDB: takes a former writer's own transactions into its replica position. `gtid_current_pos` is that position, or the
/// binlog's where this server wrote later itself.
pub(super) const TAKE_POSITION: &str = "SET @baton_pos = @@global.gtid_current_pos; \
     SET @baton_stmt = IF(@baton_pos <> @@global.gtid_slave_pos, 'SET GLOBAL gtid_slave_pos=@baton_pos', 'DO 0'); \
     EXECUTE IMMEDIATE @baton_stmt";

/// One dialect's words.
pub(super) struct Words {
    pub(super) stop: &'static str,
    pub(super) stop_receiver: &'static str,
    pub(super) start: &'static str,
    pub(super) start_receiver: &'static str,
    pub(super) start_applier: &'static str,
    pub(super) forget: &'static str,
}

pub(super) const MYSQL: Words = Words {
    stop: "STOP REPLICA",
    stop_receiver: "STOP REPLICA IO_THREAD",
    start: "START REPLICA",
    start_receiver: "START REPLICA IO_THREAD",
    start_applier: "START REPLICA SQL_THREAD",
    forget: "RESET REPLICA ALL",
};
pub(super) const MARIADB: Words = Words {
    stop: "STOP SLAVE",
    stop_receiver: "STOP SLAVE IO_THREAD",
    start: "START SLAVE",
    start_receiver: "START SLAVE IO_THREAD",
    start_applier: "START SLAVE SQL_THREAD",
    forget: "RESET SLAVE ALL",
};

pub(super) fn words(dialect: Dialect) -> &'static Words {
    match dialect {
        Dialect::Mysql => &MYSQL,
        Dialect::Mariadb => &MARIADB,
    }
}

/// The statement that sets after which silence a replica reconnects.
pub(super) fn net_timeout(caps: &Capabilities) -> String {
    format!("SET GLOBAL {}={NET_TIMEOUT_S}", caps.net_timeout)
}

/// Whether a receiver that is stopped would log in to its source first.
pub(super) fn logs_in_before_it_stops(dialect: Dialect, seen: &Pulse) -> bool {
    dialect == Dialect::Mariadb && seen.semi_sync.replica_acking
}

/// MySQL: whether the channel keeps its relay log through a change of source, beside a running applier.
pub(super) fn keeps_applying(channel: Option<&Replication>) -> bool {
    channel.is_some_and(|channel| channel.auto_position)
}

/// What forgetting the source sends, once everything is applied.
pub(super) fn foretold_forgetting(caps: &Capabilities, seen: &Pulse) -> Vec<String> {
    if seen.replication.is_none() {
        return Vec::new();
    }
    let words = words(caps.dialect);
    let mut lines = stopping_receiver(caps.dialect, seen);
    if caps.dialect == Dialect::Mysql {
        lines.push(sent_where(killing("<id>"), "the applier"));
    }
    lines.extend([words.stop, words.forget].map(sent));
    lines
}

/// What following `source` sends.
pub(super) fn foretold_following(caps: &Capabilities, seen: &Pulse, source: &Source) -> Vec<String> {
    let (words, source) = (words(caps.dialect), source.without_password());
    let channel = seen.replication.as_ref();
    let mut lines = vec![sent(net_timeout(caps))];
    match caps.dialect {
        Dialect::Mysql => {
            let keeps = keeps_applying(channel);
            if channel.is_some_and(|channel| channel.io_started) {
                lines.push(sent(words.stop_receiver));
            }
            let applier = channel.and_then(|channel| match (keeps, channel.sql_running) {
                (true, true) => None,
                (true, false) => Some(words.start_applier),
                (false, _) => Some(words.stop),
            });
            lines.extend(applier.map(sent));
            lines.push(sent(change_mysql(&source, !keeps)));
        }
        Dialect::Mariadb => {
            if channel.is_some() {
                lines.extend(stopping_receiver(caps.dialect, seen));
                lines.push(sent(words.stop));
            }
            lines.push(sent(TAKE_POSITION));
            lines.push(sent(change_mariadb(&source)));
        }
    }
    lines.push(sent(words.start));
    lines
}

fn stopping_receiver(dialect: Dialect, seen: &Pulse) -> Vec<String> {
    if !seen.replication.as_ref().is_some_and(|channel| channel.io_started) {
        return Vec::new();
    }
    let first = logs_in_before_it_stops(dialect, seen).then_some(LOGS_IN_FOR_A_SECOND);
    first.into_iter().chain([words(dialect).stop_receiver]).map(sent).collect()
}
