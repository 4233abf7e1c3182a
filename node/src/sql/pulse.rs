//! The pulse: everything that changes all the time, in one round trip. The glance: so much of it as shows a change.

use std::time::Duration;

use mysql_async::Row;

use super::capabilities::Capabilities;
use super::error::SqlError;
use super::fields::Fields;
use super::replica_status::{mariadb_position, mysql_set};
use super::status::{Glance, Pulse, Switch};
use super::wire::Wire;
use super::{replica_status, semi_sync};
use crate::gtid::{Dialect, GtidSet};

/// Takes the pulse.
pub(super) async fn take(wire: &mut Wire) -> Result<Pulse, SqlError> {
    let caps = wire.caps();
    let sets = wire.sets(&statement(&caps)).await?;
    read(&caps, &sets)
}

/// Takes a glance; with `channel`, also at the unnamed channel.
pub(super) async fn glance(wire: &mut Wire, channel: bool) -> Result<Glance, SqlError> {
    let dialect = wire.caps().dialect;
    let sets = wire.sets(&glance_statement(dialect, channel)).await?;
    let mut fields = sets.first().and_then(|set| set.first()).map(Fields::of_row).unwrap_or_default();
    fields.add(Fields::of_pairs(sets.get(1).map(Vec::as_slice).unwrap_or_default()));
    read_glance(dialect, &fields)
}

fn glance_statement(dialect: Dialect, channel: bool) -> String {
    let (switches, of_channel, more) = match dialect {
        Dialect::Mysql => (
            "@@global.read_only AS read_only, @@global.super_read_only AS super_read_only",
            ", (SELECT SERVICE_STATE FROM performance_schema.replication_connection_status \
             WHERE CHANNEL_NAME = '') AS receiver, \
             (SELECT SERVICE_STATE FROM performance_schema.replication_applier_status \
             WHERE CHANNEL_NAME = '') AS applier",
            "",
        ),
        // On while the receiver reads and the applier runs, as SHOW SLAVE STATUS says of the two.
        Dialect::Mariadb => {
            ("@@global.read_only AS read_only", "", "; SHOW GLOBAL STATUS LIKE 'Slave_running'")
        }
    };
    let (of_channel, more) = if channel { (of_channel, more) } else { ("", "") };
    format!("SELECT {switches}, {}{of_channel}{more}", executed_columns(dialect))
}

fn read_glance(dialect: Dialect, fields: &Fields) -> Result<Glance, SqlError> {
    // "CONNECTING" is a receiver that has no connection.
    let replicates = match dialect {
        Dialect::Mysql => fields.is_on(&["receiver"]) && fields.is_on(&["applier"]),
        Dialect::Mariadb => fields.is_on(&["slave_running"]),
    };
    Ok(Glance { switch: switch(fields)?, executed: executed_of(dialect, fields)?, replicates })
}

/// What the server has committed, alone.
pub(super) async fn executed(wire: &mut Wire) -> Result<GtidSet, SqlError> {
    let dialect = wire.caps().dialect;
    let row = wire.row(&format!("SELECT {}", executed_columns(dialect))).await?;
    executed_of(dialect, &row.as_ref().map(Fields::of_row).unwrap_or_default())
}

fn executed_columns(dialect: Dialect) -> &'static str {
    // Not by SHOW VARIABLES, which cuts long values off.
    match dialect {
        Dialect::Mysql => "@@global.gtid_executed AS executed",
        Dialect::Mariadb => {
            "@@global.gtid_binlog_state AS binlog_state, @@global.gtid_slave_pos AS slave_pos"
        }
    }
}

fn statement(caps: &Capabilities) -> String {
    let (switches, channels) = match caps.dialect {
        Dialect::Mysql => (
            "@@global.read_only AS read_only, @@global.super_read_only AS super_read_only, \
             @@global.offline_mode AS offline_mode",
            "SHOW REPLICA STATUS; SELECT COUNT_RECEIVED_HEARTBEATS, CHANNEL_NAME \
             FROM performance_schema.replication_connection_status",
        ),
        Dialect::Mariadb => ("@@global.read_only AS read_only", "SHOW ALL SLAVES STATUS"),
    };
    format!(
        "SELECT {switches}, {}{}; SHOW GLOBAL STATUS WHERE Variable_name IN ('Uptime', 'Threads_connected'{}); {channels}",
        executed_columns(caps.dialect),
        semi_sync::columns(caps),
        semi_sync::counters(caps),
    )
}

fn read(caps: &Capabilities, sets: &[Vec<Row>]) -> Result<Pulse, SqlError> {
    let set = |n: usize| sets.get(n).map(Vec::as_slice).unwrap_or_default();
    let mut fields = set(0).first().map(Fields::of_row).unwrap_or_default();
    fields.add(Fields::of_pairs(set(1)));
    let heartbeats: Vec<Fields> = set(3).iter().map(Fields::of_row).collect();
    let channels: Vec<Fields> = set(2)
        .iter()
        .map(|row| {
            let mut channel = Fields::of_row(row);
            let name = channel.text(&["channel_name"]).unwrap_or_default();
            let own = heartbeats.iter().find(|h| h.text(&["channel_name"]).unwrap_or_default() == name);
            channel.add(own.cloned().unwrap_or_default());
            channel
        })
        .collect();
    assemble(caps, &fields, &channels)
}

fn assemble(caps: &Capabilities, fields: &Fields, channels: &[Fields]) -> Result<Pulse, SqlError> {
    let executed = executed_of(caps.dialect, fields)?;
    let replication = replica_status::read(caps.dialect, channels)?;
    let received = match &replication {
        Some(channel) => union(&executed, &channel.retrieved)?,
        None => executed.clone(),
    };
    Ok(Pulse {
        switch: switch(fields)?,
        offline_mode: fields.is_on(&["offline_mode"]),
        executed,
        received,
        replication,
        semi_sync: semi_sync::read(caps, fields),
        uptime: Duration::from_secs(fields.number(&["uptime"]).unwrap_or(0)),
        threads_connected: fields.number(&["threads_connected"]).unwrap_or(0),
    })
}

fn switch(fields: &Fields) -> Result<Switch, SqlError> {
    // MariaDB 12 answers with a word, earlier ones with a number.
    let read_only = fields.must("read_only")?;
    Ok(match read_only.to_ascii_uppercase().as_str() {
        _ if fields.is_on(&["super_read_only"]) => Switch::ClosedToAll,
        "NO_LOCK_NO_ADMIN" => Switch::ClosedToAll,
        "0" | "OFF" => Switch::Open,
        "1" | "ON" | "NO_LOCK" => Switch::Closed,
        other => return Err(SqlError::Unexpected(format!("read_only is `{other}`"))),
    })
}

fn executed_of(dialect: Dialect, fields: &Fields) -> Result<GtidSet, SqlError> {
    match dialect {
        Dialect::Mysql => mysql_set(fields.must("executed")?),
        Dialect::Mariadb => {
            let state = fields.text(&["binlog_state"]).unwrap_or_default();
            let state = GtidSet::parse_mariadb_state(state)
                .map_err(|e| SqlError::Unexpected(format!("gtid_binlog_state: {e}")))?;
            union(&state, &mariadb_position(fields.text(&["slave_pos"]).unwrap_or_default())?)
        }
    }
}

fn union(a: &GtidSet, b: &GtidSet) -> Result<GtidSet, SqlError> {
    a.union(b).map_err(|e| SqlError::Unexpected(e.to_string()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_spelling_of_closed_is_understood() {
        for (read_only, super_read_only, expected) in [
            ("0", "0", Switch::Open),
            ("1", "0", Switch::Closed),
            ("1", "1", Switch::ClosedToAll),
            ("OFF", "", Switch::Open),
            ("ON", "", Switch::Closed),
            ("NO_LOCK", "", Switch::Closed),
            ("NO_LOCK_NO_ADMIN", "", Switch::ClosedToAll),
        ] {
            let fields = Fields::of(&[("read_only", read_only), ("super_read_only", super_read_only)]);
            assert_eq!(switch(&fields).unwrap(), expected, "{read_only} {super_read_only}");
        }
        assert!(switch(&Fields::of(&[("read_only", "MAYBE")])).is_err());
        assert!(switch(&Fields::default()).is_err());
    }

    #[test]
    fn a_glance_sees_whether_the_channel_receives_and_applies() {
        let closed = [("read_only", "1"), ("super_read_only", "1"), ("executed", "")];
        for (receiver, applier, replicates) in
            [("ON", "ON", true), ("CONNECTING", "ON", false), ("OFF", "ON", false), ("ON", "OFF", false)]
        {
            let mut fields = Fields::of(&closed);
            fields.add(Fields::of(&[("receiver", receiver), ("applier", applier)]));
            let glance = read_glance(Dialect::Mysql, &fields).unwrap();
            assert_eq!(
                (glance.switch, glance.replicates),
                (Switch::ClosedToAll, replicates),
                "{receiver} {applier}"
            );
        }
        assert!(!read_glance(Dialect::Mysql, &Fields::of(&closed)).unwrap().replicates, "no such channel");
        for (running, replicates) in [("ON", true), ("OFF", false), ("", false)] {
            let fields =
                Fields::of(&[("read_only", "1"), ("slave_pos", "0-1-7"), ("slave_running", running)]);
            let glance = read_glance(Dialect::Mariadb, &fields).unwrap();
            assert_eq!((glance.switch, glance.replicates), (Switch::Closed, replicates), "{running}");
            assert_eq!(glance.executed, mariadb_position("0-1-7").unwrap());
        }
        assert!(read_glance(Dialect::Mysql, &Fields::default()).is_err());
    }

    #[test]
    fn a_glance_asks_for_the_channel_only_where_it_is_to() {
        for dialect in [Dialect::Mysql, Dialect::Mariadb] {
            let (without, with) = (glance_statement(dialect, false), glance_statement(dialect, true));
            assert!(with.starts_with(&without) && with.len() > without.len(), "{with}");
            assert!(without.contains(executed_columns(dialect)), "{without}");
        }
    }
}
