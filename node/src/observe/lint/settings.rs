//! Binary log, GTIDs, and what is on disk when a commit is acknowledged.

use super::{Findings, new_names, option_line, set_global};
use crate::gtid::Dialect;
use crate::sql::{Inventory, Pulse, Settings};

pub(super) fn check(inventory: &Inventory, pulse: &Pulse, found: &mut Findings) {
    binlog(inventory, found);
    gtid(inventory, found);
    on_disk(&inventory.settings, pulse, found);
    at_boot(inventory, pulse, found);
    channel(inventory.dialect, pulse, found);
}

fn binlog(inventory: &Inventory, found: &mut Findings) {
    let settings = &inventory.settings;
    if !settings.log_bin {
        found.error(
            "the binary log is off: nothing can replicate from this server",
            option_line("log_bin=binlog"),
        );
    }
    if !settings.log_replica_updates {
        let name = if new_names(inventory) { "log_replica_updates" } else { "log_slave_updates" };
        found.error(
            format!("{name} is off: promoted, this server could not pass on what it had received"),
            option_line(&format!("{name}=ON")),
        );
    }
    match settings.binlog_format.to_ascii_uppercase().as_str() {
        "ROW" | "" => {}
        "MIXED" => found.warning(
            "binlog_format is MIXED: some statements are logged as text and may run otherwise on a replica",
            set_global("binlog_format", "ROW"),
        ),
        other => found.error(
            format!("binlog_format is {other}: replicas may come to other data than their source"),
            set_global("binlog_format", "ROW"),
        ),
    }
}

fn gtid(inventory: &Inventory, found: &mut Findings) {
    let settings = &inventory.settings;
    match inventory.dialect {
        Dialect::Mysql => {
            if !settings.gtid_strict {
                found.error(
                    "enforce_gtid_consistency is not ON: a statement that GTIDs cannot carry stops replication",
                    set_global("enforce_gtid_consistency", "ON"),
                );
            }
            if !settings.gtid_mode {
                // The server takes one step at a time, and all servers must have taken one before the next.
                found.error(
                    "gtid_mode is not ON: what a server has and lacks cannot be told",
                    "on every server in turn, each step everywhere before the next:\n\
                     SET GLOBAL gtid_mode=OFF_PERMISSIVE;\n\
                     SET GLOBAL gtid_mode=ON_PERMISSIVE;\n\
                     SET GLOBAL gtid_mode=ON;\n\
                     and in the option file, section [mysqld]: gtid_mode=ON",
                );
            }
        }
        Dialect::Mariadb if !settings.gtid_strict => found.error(
            "gtid_strict_mode is off: positions of two servers cannot be compared",
            set_global("gtid_strict_mode", "ON"),
        ),
        Dialect::Mariadb => {}
    }
}

fn on_disk(settings: &Settings, pulse: &Pulse, found: &mut Findings) {
    if settings.sync_binlog != 1 {
        found.error(
            format!(
                "sync_binlog is {}: a crash of the host loses commits from the binlog",
                settings.sync_binlog
            ),
            set_global("sync_binlog", "1"),
        );
    }
    if settings.flush_log_at_trx_commit != 1 {
        let now = settings.flush_log_at_trx_commit;
        found.error(
            format!("innodb_flush_log_at_trx_commit is {now}: a crash of the host loses commits that the binlog has"),
            set_global("innodb_flush_log_at_trx_commit", "1"),
        );
    }
    // Baton sets it before it lets a server acknowledge, and one that catches up syncs seldom.
    let semi_sync = &pulse.semi_sync;
    if (semi_sync.replica_enabled || semi_sync.replica_acking) && semi_sync.sync_relay_log != 1 {
        found.error(
            format!(
                "sync_relay_log is {}: it acknowledges what is not on its disk",
                semi_sync.sync_relay_log
            ),
            set_global("sync_relay_log", "1"),
        );
    }
    if settings.relay_log_recovery {
        found.error(
            "relay_log_recovery is on: a restart throws away what it has acknowledged and not applied",
            option_line("relay_log_recovery=OFF"),
        );
    }
}

/// How the server comes up: quiet, so that only Baton sets it going.
fn at_boot(inventory: &Inventory, pulse: &Pulse, found: &mut Findings) {
    let settings = &inventory.settings;
    if inventory.identity.server_id == 0 {
        found.error(
            "server_id is 0: it can neither be a source nor a replica",
            set_global("server_id", "<unique>"),
        );
    }
    if settings.skip_replica_start == Some(false) {
        let name = if new_names(inventory) { "skip_replica_start" } else { "skip_slave_start" };
        found.warning(
            format!(
                "{name} is off: after a restart it replicates from its last source before anybody has looked"
            ),
            option_line(&format!("{name}=ON")),
        );
    }
    if settings.event_scheduler && pulse.switch.is_closed() {
        found.warning(
            "event_scheduler is on while the server is closed: events with a privileged definer may write",
            set_global("event_scheduler", "OFF"),
        );
    }
}

fn channel(dialect: Dialect, pulse: &Pulse, found: &mut Findings) {
    let Some(channel) = &pulse.replication else { return };
    if channel.channels > 1 {
        found.error(
            format!(
                "it replicates from {} sources: Baton manages one, the unnamed channel",
                channel.channels
            ),
            match dialect {
                Dialect::Mysql => "STOP REPLICA FOR CHANNEL '<name>'; RESET REPLICA ALL FOR CHANNEL '<name>'",
                Dialect::Mariadb => "STOP SLAVE '<name>'; RESET SLAVE '<name>' ALL",
            },
        );
    }
    if !channel.auto_position {
        found.error(
            "its channel finds its position by file and offset, not by GTID",
            match dialect {
                Dialect::Mysql => {
                    "STOP REPLICA; CHANGE REPLICATION SOURCE TO SOURCE_AUTO_POSITION=1; START REPLICA"
                }
                // Only the IO thread stops before all is applied, or the rest of the relay log would be thrown away.
                Dialect::Mariadb => {
                    "STOP SLAVE IO_THREAD; wait until all is applied; STOP SLAVE; \
                 CHANGE MASTER TO MASTER_USE_GTID=slave_pos; START SLAVE"
                }
            },
        );
    }
    if !channel.delay.is_zero() {
        let delay = channel.delay.as_secs();
        found.warning(
            format!("it is delayed by {delay} s on purpose: it becomes neither writer nor acker"),
            match dialect {
                Dialect::Mysql => {
                    "STOP REPLICA SQL_THREAD; CHANGE REPLICATION SOURCE TO SOURCE_DELAY=0; START REPLICA SQL_THREAD"
                }
                Dialect::Mariadb => {
                    "STOP SLAVE SQL_THREAD; CHANGE MASTER TO MASTER_DELAY=0; START SLAVE SQL_THREAD"
                }
            },
        );
    }
}
