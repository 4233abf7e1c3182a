//! What seldom changes: identity, version, and the settings that safety depends on.

use super::error::SqlError;
use super::fields::{Fields, is_on};
use super::status::{Identity, Inventory, Settings};
use super::wire::Wire;
use crate::gtid::Dialect;

const ASK: &str = "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('server_uuid', 'server_id', 'log_bin', 'gtid_mode', \
     'enforce_gtid_consistency', 'gtid_strict_mode', 'log_replica_updates', 'log_slave_updates', 'binlog_format', \
     'sync_binlog', 'innodb_flush_log_at_trx_commit', 'relay_log_recovery', 'sync_relay_log', 'skip_replica_start', \
     'skip_slave_start', 'replica_net_timeout', 'slave_net_timeout', 'event_scheduler', 'report_host', 'report_port', \
     'port', 'socket', 'datadir', 'max_connections', 'admin_address', 'admin_port', 'extra_port', 'bind_address')";

/// Takes the inventory.
pub(super) async fn take(wire: &mut Wire) -> Result<Inventory, SqlError> {
    let caps = wire.caps();
    let variables = Fields::of_pairs(&wire.rows(ASK).await?);
    Ok(Inventory {
        dialect: caps.dialect,
        version: caps.version.clone(),
        identity: identity(&variables)?,
        settings: settings(caps.dialect, &variables),
    })
}

fn identity(v: &Fields) -> Result<Identity, SqlError> {
    let server_id = v.number(&["server_id"]);
    Ok(Identity {
        server_uuid: v.filled(&["server_uuid"]).map(str::to_owned),
        server_id: server_id.ok_or_else(|| SqlError::Unexpected("no `server_id`".into()))?,
    })
}

fn settings(dialect: Dialect, v: &Fields) -> Settings {
    let number = |names: &[&str]| v.number(names).unwrap_or(0);
    let text = |name: &str| v.text(&[name]).unwrap_or_default().to_owned();
    Settings {
        log_bin: v.is_on(&["log_bin"]),
        gtid_mode: dialect == Dialect::Mariadb || v.is_on(&["gtid_mode"]),
        gtid_strict: v.is_on(&["enforce_gtid_consistency", "gtid_strict_mode"]),
        log_replica_updates: v.is_on(&["log_replica_updates", "log_slave_updates"]),
        binlog_format: text("binlog_format"),
        sync_binlog: number(&["sync_binlog"]),
        flush_log_at_trx_commit: number(&["innodb_flush_log_at_trx_commit"]),
        relay_log_recovery: v.is_on(&["relay_log_recovery"]),
        sync_relay_log: number(&["sync_relay_log"]),
        skip_replica_start: v.text(&["skip_replica_start", "skip_slave_start"]).map(is_on),
        replica_net_timeout_s: number(&["replica_net_timeout", "slave_net_timeout"]),
        event_scheduler: v.is_on(&["event_scheduler"]),
        report_host: v.filled(&["report_host"]).map(str::to_owned),
        report_port: v.number(&["report_port"]).filter(|port| *port != 0),
        port: v.number(&["port"]).unwrap_or(0),
        socket: text("socket"),
        datadir: text("datadir"),
        max_connections: number(&["max_connections"]),
        admin: admin(dialect, v),
    }
}

/// MySQL's separate interface exists when it has an address, MariaDB's when it has a port.
fn admin(dialect: Dialect, v: &Fields) -> Option<(String, u16)> {
    let (host, port) = match dialect {
        Dialect::Mysql => (v.filled(&["admin_address"])?, v.number(&["admin_port"])?),
        Dialect::Mariadb => {
            let bound =
                v.filled(&["bind_address"]).filter(|address| !matches!(*address, "*" | "::" | "0.0.0.0"));
            (bound.unwrap_or("127.0.0.1"), v.number(&["extra_port"])?)
        }
    };
    (port != 0).then(|| (host.to_owned(), port))
}
