//! Replication as an existing production cluster has it, before Baton is there: one open source, replicas that follow
//! it by GTID, and semi-sync that never gives up waiting.

use std::time::Duration;

use anyhow::Result;
use futures::future::try_join_all;

use super::SERVER_PORT;
use super::bounded::until;
use super::dialect::{Account, Dialect};
use super::server::Server;

/// How long replicas may take until they stream.
const STREAMING_BOUND: Duration = Duration::from_secs(30);

/// Attaches `replicas` to `source`, waits until all stream, then opens the source. With `semi_sync`, each commit of
/// the source waits for one replica, without end.
///
/// # Errors
/// When a statement fails or a replica does not stream in time.
pub async fn attach(source: &Server, replicas: &[&Server], semi_sync: bool) -> Result<()> {
    try_join_all(replicas.iter().map(|replica| follow(replica, source, semi_sync))).await?;
    try_join_all(replicas.iter().map(|replica| streaming(replica))).await?;
    if semi_sync {
        source.execute(wait_for_replicas(source.dialect())).await?;
        let (dialect, wanted) = (source.dialect(), replicas.len());
        until("the source to know its semi-sync replicas", STREAMING_BOUND, async || {
            let name = match dialect {
                Dialect::MySql => "Rpl_semi_sync_source_clients",
                Dialect::MariaDb => "Rpl_semi_sync_master_clients",
            };
            Ok((source.status(name).await? == wanted.to_string()).then_some(()))
        })
        .await?;
    }
    open(source).await
}

/// Makes one server follow another, without waiting until it streams.
///
/// # Errors
/// When a statement fails.
pub async fn follow(replica: &Server, source: &Server, semi_sync: bool) -> Result<()> {
    let Account { user, password, .. } = Account::REPL;
    let host = source.host().address();
    let semi_sync = if semi_sync { "ON" } else { "OFF" };
    match replica.dialect() {
        Dialect::MySql => {
            let change = format!(
                "CHANGE REPLICATION SOURCE TO SOURCE_HOST='{host}', SOURCE_PORT={SERVER_PORT}, SOURCE_USER='{user}', \
                 SOURCE_PASSWORD='{password}', SOURCE_AUTO_POSITION=1, GET_SOURCE_PUBLIC_KEY=1, \
                 SOURCE_HEARTBEAT_PERIOD=0.5, SOURCE_CONNECT_RETRY=1, SOURCE_RETRY_COUNT=86400"
            );
            let semi_sync = format!("SET GLOBAL rpl_semi_sync_replica_enabled={semi_sync}");
            replica
                .execute([
                    "STOP REPLICA",
                    "SET GLOBAL replica_net_timeout=4",
                    &semi_sync,
                    &change,
                    "START REPLICA",
                ])
                .await
        }
        Dialect::MariaDb => {
            let change = format!(
                "CHANGE MASTER TO MASTER_HOST='{host}', MASTER_PORT={SERVER_PORT}, MASTER_USER='{user}', \
                 MASTER_PASSWORD='{password}', MASTER_USE_GTID=slave_pos, MASTER_HEARTBEAT_PERIOD=0.5, \
                 MASTER_CONNECT_RETRY=1"
            );
            let semi_sync = format!("SET GLOBAL rpl_semi_sync_slave_enabled={semi_sync}");
            replica
                .execute(["STOP SLAVE", "SET GLOBAL slave_net_timeout=4", &semi_sync, &change, "START SLAVE"])
                .await
        }
    }
}

/// Waits until a replica's threads both run and are connected.
///
/// # Errors
/// When they are not in time; the message has the end of the replica's error log.
pub async fn streaming(replica: &Server) -> Result<()> {
    let streams = until("the replica to stream", STREAMING_BOUND, async || {
        let streams = match replica.dialect() {
            Dialect::MySql => {
                let query = "SELECT c.service_state = 'ON' AND a.service_state = 'ON' \
                             FROM performance_schema.replication_connection_status c \
                             JOIN performance_schema.replication_applier_status a USING (channel_name)";
                replica.query::<bool>(query).await?.first() == Some(&true)
            }
            Dialect::MariaDb => {
                let rows: Vec<mysql_async::Row> = replica.query("SHOW SLAVE STATUS").await?;
                let runs = |row: &mysql_async::Row, name| {
                    row.get::<String, _>(name).is_some_and(|value| value == "Yes")
                };
                rows.first()
                    .is_some_and(|row| runs(row, "Slave_IO_Running") && runs(row, "Slave_SQL_Running"))
            }
        };
        Ok(streams.then_some(()))
    });
    streams
        .await
        .map_err(|error| error.context(format!("{}{}", replica.host().name(), replica.error_log_tail())))
}

/// Opens a server for writes.
///
/// # Errors
/// When the statement fails.
pub async fn open(server: &Server) -> Result<()> {
    // On MySQL this switches super_read_only off, too.
    server.execute(["SET GLOBAL read_only=OFF"]).await
}

/// The source's side of semi-sync, with the longest timeout that each server knows.
fn wait_for_replicas(dialect: Dialect) -> &'static [&'static str] {
    match dialect {
        Dialect::MySql => &[
            "SET GLOBAL rpl_semi_sync_source_timeout=4294967295",
            "SET GLOBAL rpl_semi_sync_source_wait_for_replica_count=1",
            "SET GLOBAL rpl_semi_sync_source_wait_no_replica=ON",
            "SET GLOBAL rpl_semi_sync_source_enabled=ON",
        ],
        Dialect::MariaDb => &[
            "SET GLOBAL rpl_semi_sync_master_timeout=18446744073709551615",
            "SET GLOBAL rpl_semi_sync_master_wait_no_slave=ON",
            "SET GLOBAL rpl_semi_sync_master_enabled=ON",
        ],
    }
}

/// What a replica says of its threads, for the message of a check that failed: a line for each that tells something.
pub async fn explained(replica: &Server) -> String {
    let status = match replica.dialect() {
        Dialect::MySql => "SHOW REPLICA STATUS",
        Dialect::MariaDb => "SHOW SLAVE STATUS",
    };
    let mut said = Vec::new();
    for query in [status, "SHOW FULL PROCESSLIST"] {
        match replica.query::<mysql_async::Row>(query).await {
            Ok(rows) => said.extend(rows.iter().map(told)),
            Err(error) => said.push(format!("{query}: {error:#}")),
        }
    }
    said.join("\n")
}

fn told(row: &mysql_async::Row) -> String {
    let values = row.columns_ref().iter().enumerate().filter_map(|(index, column)| {
        let value = row.get_opt::<Option<String>, _>(index)?.ok()??;
        (!value.is_empty()).then(|| format!("{}={value}", column.name_str()))
    });
    values.collect::<Vec<_>>().join(", ")
}
