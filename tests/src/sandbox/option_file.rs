//! The option file of a server, as Baton wants it: closed at boot, durable, replicating by GTID.

use std::net::Ipv4Addr;
use std::path::Path;

use super::SERVER_PORT;
use super::dialect::Dialect;
use super::programs::Programs;

/// What differs between two servers.
#[derive(Debug)]
pub(super) struct Place<'a> {
    pub(super) folder: &'a Path,
    pub(super) address: Ipv4Addr,
    pub(super) server_id: u32,
}

/// The same on both: where things are, small memory, and no write that is not on disk when it is acknowledged.
const COMMON: &str = "
skip_name_resolve = ON
max_connections = 200
back_log = 200

# closed at boot
event_scheduler = OFF

# durable
sync_binlog = 1
innodb_flush_log_at_trx_commit = 1
sync_relay_log = 1
relay_log_recovery = OFF
log_bin = binlog
relay_log = relay

# small
innodb_buffer_pool_size = 64M
innodb_log_buffer_size = 8M
table_open_cache = 256
table_definition_cache = 400
performance_schema = ON
performance_schema_max_table_instances = 200
performance_schema_digests_size = 0
performance_schema_accounts_size = 0
performance_schema_hosts_size = 0
performance_schema_users_size = 0
performance_schema_events_statements_history_long_size = 0
performance_schema_events_stages_history_long_size = 0
performance_schema_events_waits_history_long_size = 0
";

/// `loose_`: the semi-sync variables are the plugins', and there are none while a data directory is being made; the
/// redo log's is newer than the oldest MySQL that the names here fit, 8.0.26.
const MYSQL: &str = "
mysqlx = OFF
super_read_only = ON
skip_replica_start = ON
plugin_load_add = semisync_source.so;semisync_replica.so;mysql_clone.so
loose_rpl_semi_sync_source_enabled = OFF
loose_rpl_semi_sync_replica_enabled = OFF
loose_rpl_semi_sync_source_wait_point = AFTER_SYNC
gtid_mode = ON
enforce_gtid_consistency = ON
log_replica_updates = ON
loose_innodb_redo_log_capacity = 32M
performance_schema_instrument = '%=OFF'
performance_schema_error_size = 0
";

const MARIADB: &str = "
read_only = ON
skip_slave_start = ON
rpl_semi_sync_master_enabled = OFF
rpl_semi_sync_slave_enabled = OFF
rpl_semi_sync_master_wait_point = AFTER_SYNC
gtid_strict_mode = ON
gtid_domain_id = 0
log_slave_updates = ON
binlog_format = ROW
innodb_log_file_size = 32M
";

/// The text of a server's option file.
pub(super) fn option_file(
    dialect: Dialect,
    programs: &Programs,
    place: &Place<'_>,
    extra: &[String],
) -> String {
    let Place { folder, address, server_id } = place;
    let folder = folder.display();
    let own = match dialect {
        Dialect::MySql => MYSQL,
        Dialect::MariaDb => MARIADB,
    };
    // Both servers refuse to run as root unless told to.
    let user = if rustix::process::geteuid().is_root() { "user = root\n" } else { "" };
    format!(
        "!include {paths}\n[mysqld]\n{user}server_id = {server_id}\n\
         datadir = {folder}/data\nsocket = {folder}/mysqld.sock\npid_file = {folder}/mysqld.pid\n\
         log_error = {folder}/error.log\ntmpdir = {folder}\nsecure_file_priv =\n\
         bind_address = {address}\nport = {SERVER_PORT}\nreport_host = {address}\nreport_port = {SERVER_PORT}\n\
         {COMMON}{own}\n{extra}\n",
        paths = programs.paths_file().display(),
        extra = extra.join("\n"),
    )
}
