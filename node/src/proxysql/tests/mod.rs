//! Where servers belong, as tables of cases; plans run on SQLite, which is what an instance runs them on.

#![allow(clippy::unwrap_used)]

mod desired;
mod foretell;
mod plans;

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::*;
use crate::config::HostPort;
use crate::decide::readers::{Reading, Unfit};
use crate::state::{ClusterState, Epoch, Grant, Member, NodeName, Phase};

const GROUPS: Groups = Groups { writer: 10, reader: 20 };
const MARK: &str = "baton shop";

fn at(node: &str) -> HostPort {
    format!("10.0.0.{}:3306", node.trim_start_matches("db")).parse().unwrap()
}

/// `db1` is the open writer of epoch 4; `db2` and `db3` are members, `app1` is the witness.
fn state() -> ClusterState {
    let mut state = ClusterState::default();
    state.phase = Phase::Managed;
    for node in ["db1", "db2", "db3"] {
        let member = Member { server: Some(at(node).to_string()), ..Member::default() };
        state.members.insert(node.into(), member);
    }
    state.members.insert("app1".into(), Member::default());
    state.grant = Some(grant(4, "db1", true));
    state
}

fn grant(epoch: u64, node: &str, open: bool) -> Grant {
    let opened_ms = open.then_some(1);
    Grant { epoch: Epoch(epoch), node: node.into(), since_ms: 0, unleased: false, opened_ms, paused_at: None }
}

fn reading(readers: &[&str], left_out: &[(&str, Unfit)]) -> Reading {
    Reading {
        readers: readers.iter().map(|node| NodeName::from(*node)).collect(),
        left_out: left_out.iter().map(|(node, why)| ((*node).into(), why.clone())).collect(),
    }
}

fn row(hostgroup: u32, node: &str, status: &str) -> Row {
    let tuning = Tuning { numbers: [0, 7, 0, 500, 0, 1, 0], comment: "mine".into() };
    Row { hostgroup, address: at(node), status: status.into(), tuning }
}

/// A copy of `mysql_servers`, with the constraints of the real one.
struct Tables(Connection);

impl Tables {
    fn with(rows: &[Row]) -> Self {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch(
                "CREATE TABLE mysql_servers (
                    hostgroup_id INT CHECK (hostgroup_id>=0) NOT NULL DEFAULT 0, hostname VARCHAR NOT NULL,
                    port INT CHECK (port >= 0 AND port <= 65535) NOT NULL DEFAULT 3306,
                    gtid_port INT CHECK ((gtid_port <> port OR gtid_port=0) AND gtid_port >= 0) NOT NULL DEFAULT 0,
                    status VARCHAR CHECK (UPPER(status) IN ('ONLINE','SHUNNED','OFFLINE_SOFT','OFFLINE_HARD'))
                        NOT NULL DEFAULT 'ONLINE',
                    weight INT NOT NULL DEFAULT 1, compression INT NOT NULL DEFAULT 0,
                    max_connections INT NOT NULL DEFAULT 1000, max_replication_lag INT NOT NULL DEFAULT 0,
                    use_ssl INT CHECK (use_ssl IN(0,1)) NOT NULL DEFAULT 0, max_latency_ms INT NOT NULL DEFAULT 0,
                    comment VARCHAR NOT NULL DEFAULT '', PRIMARY KEY (hostgroup_id, hostname, port))",
            )
            .unwrap();
        for row in rows {
            let n = row.tuning.numbers.map(|number| i64::try_from(number).unwrap());
            connection
                .execute(
                    "INSERT INTO mysql_servers VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
                    rusqlite::params![
                        row.hostgroup,
                        row.address.host,
                        row.address.port,
                        n[0],
                        row.status,
                        n[1],
                        n[2],
                        n[3],
                        n[4],
                        n[5],
                        n[6],
                        row.tuning.comment
                    ],
                )
                .unwrap();
        }
        Self(connection)
    }

    fn rows(&self) -> Vec<Row> {
        let mut all = self
            .0
            .prepare(
                "SELECT hostgroup_id, hostname, port, status, gtid_port, weight, compression, max_connections, \
                 max_replication_lag, use_ssl, max_latency_ms, comment FROM mysql_servers ORDER BY 1, 2, 3",
            )
            .unwrap();
        let rows = all.query_map([], |row| {
            let mut numbers = [0; 7];
            for (index, number) in numbers.iter_mut().enumerate() {
                *number = row.get::<_, u32>(4 + index)?.into();
            }
            Ok(Row {
                hostgroup: row.get(0)?,
                address: HostPort { host: row.get(1)?, port: row.get(2)? },
                status: row.get(3)?,
                tuning: Tuning { numbers, comment: row.get(11)? },
            })
        });
        rows.unwrap().map(Result::unwrap).collect()
    }

    fn run(&self, statement: &str) {
        self.0.execute(statement, []).unwrap();
    }

    /// Group and host of each row, with its status: `10 db1 ONLINE`.
    fn shown(&self) -> Vec<String> {
        let name = |row: &Row| row.address.host.replace("10.0.0.", "db");
        self.rows().iter().map(|row| format!("{} {} {}", row.hostgroup, name(row), row.status)).collect()
    }
}
