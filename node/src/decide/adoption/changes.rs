//! What adoption changes on each server, in the words of its dialect and version.

use super::{PlannedChange, about};
use crate::decide::seen::{About, Observations};
use crate::gtid::Dialect;
use crate::state::{ClusterState, NodeName};

/// What a dialect and version calls the things that are set.
struct Words {
    source: &'static str,
    wait_no_replica: &'static str,
    wait_count: Option<&'static str>,
    timeout: &'static str,
    replica: &'static str,
    net_timeout: &'static str,
    stop: &'static str,
    change: &'static str,
    start: &'static str,
}

const MYSQL: Words = Words {
    source: "rpl_semi_sync_source",
    wait_no_replica: "rpl_semi_sync_source_wait_no_replica",
    wait_count: Some("rpl_semi_sync_source_wait_for_replica_count"),
    timeout: "4294967295",
    replica: "rpl_semi_sync_replica",
    net_timeout: "replica_net_timeout",
    stop: "STOP REPLICA IO_THREAD;",
    change: "CHANGE REPLICATION SOURCE TO SOURCE_HEARTBEAT_PERIOD=0.5, SOURCE_CONNECT_RETRY=1;",
    start: "START REPLICA IO_THREAD;",
};
/// Before 8.0.26.
const OLDER_MYSQL: Words = Words {
    source: "rpl_semi_sync_master",
    wait_no_replica: "rpl_semi_sync_master_wait_no_slave",
    wait_count: Some("rpl_semi_sync_master_wait_for_slave_count"),
    replica: "rpl_semi_sync_slave",
    net_timeout: "slave_net_timeout",
    ..MYSQL
};
const MARIADB: Words = Words {
    wait_count: None,
    timeout: "18446744073709551615",
    stop: "STOP SLAVE;",
    change: "CHANGE MASTER TO MASTER_HEARTBEAT_PERIOD=0.5, MASTER_CONNECT_RETRY=1;",
    start: "START SLAVE;",
    ..OLDER_MYSQL
};

fn words(about: &About) -> &'static Words {
    match about.dialect {
        Dialect::Mariadb => &MARIADB,
        Dialect::Mysql if about.number >= (8, 0, 26) => &MYSQL,
        Dialect::Mysql => &OLDER_MYSQL,
    }
}

/// Replicas first, as it is done: nothing waits before somebody acknowledges.
pub(super) fn changes(
    state: &ClusterState,
    seen: &Observations,
    writer: Option<&NodeName>,
) -> Vec<PlannedChange> {
    let Some(writer) = writer else { return Vec::new() };
    let mut changes = vec![PlannedChange {
        node: writer.clone(),
        what: "becomes the writer of the first epoch under a lease; it stays open throughout".into(),
        statement: String::new(),
    }];
    for (node, _) in state.data_nodes().filter(|(n, _)| *n != writer) {
        changes.extend(about(seen, node).into_iter().flat_map(|about| of_replica(node, words(about))));
    }
    let wait = state.safety.wait_count;
    changes.extend(about(seen, writer).map(|about| of_writer(writer, words(about), wait)));
    changes
}

fn of_replica(node: &NodeName, words: &Words) -> [PlannedChange; 3] {
    let change =
        |what: &str, statement: String| PlannedChange { node: node.clone(), what: what.into(), statement };
    let Words { stop, change: heartbeat, start, .. } = words;
    [
        change(
            "notices within 4 s that its source is silent",
            format!("SET GLOBAL {}=4;", words.net_timeout),
        ),
        change("hears from its source every half second", format!("{stop} {heartbeat} {start}")),
        change(
            "acknowledges commits, once they are on its disk",
            format!("SET GLOBAL sync_relay_log=1, GLOBAL {}_enabled=ON; {stop} {start}", words.replica),
        ),
    ]
}

fn of_writer(node: &NodeName, words: &Words, wait: u32) -> PlannedChange {
    let Words { source, wait_no_replica, timeout, .. } = words;
    let count = words.wait_count.map(|name| format!("GLOBAL {name}={wait}, ")).unwrap_or_default();
    PlannedChange {
        node: node.clone(),
        what: "lets each commit wait for an acker, once one has caught up".into(),
        statement: format!(
            "SET GLOBAL {source}_timeout={timeout}, GLOBAL {source}_wait_point=AFTER_SYNC, {count}\
             GLOBAL {wait_no_replica}=ON, GLOBAL {source}_enabled=ON;"
        ),
    }
}
