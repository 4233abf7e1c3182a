//! Reads `SHOW REPLICA STATUS` and `SHOW ALL SLAVES STATUS`, which differ in names.

use std::time::Duration;

use super::error::SqlError;
use super::fields::Fields;
use super::status::{Replication, ThreadError};
use crate::gtid::{Dialect, GtidSet};

/// The channel that Baton manages: the unnamed one, or where there is none, the first.
pub(super) fn read(dialect: Dialect, rows: &[Fields]) -> Result<Option<Replication>, SqlError> {
    let unnamed = rows.iter().find(|row| row.filled(&["channel_name", "connection_name"]).is_none());
    let Some(row) = unnamed.or(rows.first()) else { return Ok(None) };
    let io = row.text(&["replica_io_running", "slave_io_running"]).unwrap_or("No");
    let retrieved = row.text(&["retrieved_gtid_set", "gtid_io_pos"]).unwrap_or_default();
    Ok(Some(Replication {
        source_host: row.text(&["source_host", "master_host"]).unwrap_or_default().to_owned(),
        source_port: row.number(&["source_port", "master_port"]).unwrap_or(0),
        source_uuid: row.filled(&["source_uuid", "master_uuid"]).map(str::to_owned),
        source_id: row.number(&["source_server_id", "master_server_id"]).filter(|id| *id != 0),
        io_running: io.eq_ignore_ascii_case("yes"),
        // "Connecting" (MySQL) and "Preparing" (MariaDB) are a thread that tries.
        io_started: !io.eq_ignore_ascii_case("no"),
        sql_running: row.is_on(&["replica_sql_running", "slave_sql_running"]),
        last_io_error: thread_error(row, "last_io_errno", "last_io_error"),
        last_sql_error: thread_error(row, "last_sql_errno", "last_sql_error"),
        seconds_behind: row.number(&["seconds_behind_source", "seconds_behind_master"]),
        heartbeats: row.number(&["count_received_heartbeats", "slave_received_heartbeats"]).unwrap_or(0),
        events_marker: events_marker(row),
        retrieved: match dialect {
            Dialect::Mysql => mysql_set(retrieved)?,
            Dialect::Mariadb => mariadb_position(retrieved)?,
        },
        delay: Duration::from_secs(row.number(&["sql_delay"]).unwrap_or(0)),
        auto_position: row.is_on(&["auto_position"])
            || row.text(&["using_gtid"]).is_some_and(|how| !how.eq_ignore_ascii_case("no")),
        channels: u32::try_from(rows.len()).unwrap_or(u32::MAX),
    }))
}

/// Parses a MySQL GTID set.
pub(super) fn mysql_set(text: &str) -> Result<GtidSet, SqlError> {
    GtidSet::parse_mysql(text).map_err(|e| SqlError::Unexpected(format!("GTID set: {e}")))
}

/// Parses a MariaDB position.
pub(super) fn mariadb_position(text: &str) -> Result<GtidSet, SqlError> {
    GtidSet::parse_mariadb_pos(text).map_err(|e| SqlError::Unexpected(format!("GTID position: {e}")))
}

/// The source's file number above its position, so that it rises across a change of file too.
fn events_marker(row: &Fields) -> u64 {
    let file = row.text(&["source_log_file", "master_log_file"]).unwrap_or_default();
    let number: u64 = file.rsplit('.').next().and_then(|n| n.parse().ok()).unwrap_or(0);
    let position: u64 = row.number(&["read_source_log_pos", "read_master_log_pos"]).unwrap_or(0);
    (number << 40) | (position & ((1 << 40) - 1))
}

fn thread_error(row: &Fields, errno: &str, message: &str) -> Option<ThreadError> {
    let errno = row.number(&[errno]).filter(|n| *n != 0)?;
    Some(ThreadError { errno, message: row.text(&[message]).unwrap_or_default().to_owned() })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn mysql_names() {
        let row = Fields::of(&[
            ("Source_Host", "db1"),
            ("Source_Port", "3306"),
            ("Source_UUID", "3e11fa47-71ca-11e1-9e33-c80aa9429562"),
            ("Source_Server_Id", "1"),
            ("Replica_IO_Running", "Connecting"),
            ("Replica_SQL_Running", "Yes"),
            ("Last_IO_Errno", "2003"),
            ("Last_IO_Error", "error connecting"),
            ("Last_SQL_Errno", "0"),
            ("Retrieved_Gtid_Set", "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5"),
            ("Auto_Position", "1"),
            ("Source_Log_File", "binlog.000002"),
            ("Read_Source_Log_Pos", "157"),
            ("Channel_Name", ""),
            ("COUNT_RECEIVED_HEARTBEATS", "7"),
        ]);
        let seen = read(Dialect::Mysql, &[row]).unwrap().unwrap();
        assert!(!seen.io_running && seen.io_started && seen.sql_running && seen.auto_position);
        assert_eq!((seen.source_host.as_str(), seen.source_port, seen.source_id), ("db1", 3306, Some(1)));
        assert_eq!(seen.last_io_error.unwrap().errno, 2003);
        assert_eq!((seen.last_sql_error, seen.seconds_behind, seen.heartbeats), (None, None, 7));
        assert_eq!(seen.events_marker, (2 << 40) | 157);
    }

    #[test]
    fn mariadb_names_and_the_unnamed_channel_first() {
        let other = Fields::of(&[("Connection_name", "x"), ("Master_Host", "elsewhere")]);
        let row = Fields::of(&[
            ("Connection_name", ""),
            ("Master_Host", "db2"),
            ("Slave_IO_Running", "Yes"),
            ("Slave_SQL_Running", "No"),
            ("Using_Gtid", "Slave_Pos"),
            ("Gtid_IO_Pos", "0-1-5"),
            ("Seconds_Behind_Master", "3"),
            ("Slave_received_heartbeats", "2"),
            ("Master_Server_Id", "0"),
        ]);
        let seen = read(Dialect::Mariadb, &[other, row]).unwrap().unwrap();
        assert_eq!((seen.source_host.as_str(), seen.channels, seen.source_id), ("db2", 2, None));
        assert!(seen.io_running && !seen.sql_running && seen.auto_position);
        assert_eq!((seen.seconds_behind, seen.heartbeats), (Some(3), 2));
        assert_eq!(seen.retrieved, mariadb_position("0-1-5").unwrap());
    }

    #[test]
    fn no_channel_is_no_replica() {
        assert_eq!(read(Dialect::Mysql, &[]).unwrap(), None);
    }
}
