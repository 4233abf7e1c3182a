//! What a switchover does, step by step, each with its statement: the dry run shows it. Pure.

use super::super::adoption::PlannedChange;
use super::super::finding::proxies;
use super::super::seen::Observations;
use crate::gtid::Dialect;
use crate::state::{ClusterState, NodeName};

/// On an admin interface, where they are two statements.
const DRAIN: &str = "UPDATE mysql_servers SET status='OFFLINE_SOFT' WHERE …; LOAD MYSQL SERVERS TO RUNTIME";

const ROTATE: &str = "FLUSH NO_WRITE_TO_BINLOG BINARY LOGS";

/// The steps from `from` to `to`, in their order.
pub fn steps(
    state: &ClusterState,
    seen: &Observations,
    from: &NodeName,
    to: &NodeName,
) -> Vec<PlannedChange> {
    let about = seen.own(from).and_then(|own| own.about.as_ref());
    let dialect = about.map_or(Dialect::Mysql, |about| about.dialect);
    let words = Words::of(dialect, about.is_some_and(|a| a.number.0 >= 12));
    let step = |node: &NodeName, what: String, statement: &str| PlannedChange {
        node: node.clone(),
        what,
        statement: statement.to_owned(),
    };
    let next = state.next_epoch();
    let mut steps = vec![
        step(to, "begins a new binlog file, so that replicas that connect are served at once".into(), ROTATE),
        step(from, "routers hold new connections, and end its sessions between two replies".into(), ""),
    ];
    let (of, silent) = (proxies(seen).count(), proxies(seen).filter(|proxy| proxy.trouble.is_some()).count());
    if of > 0 {
        let but = if silent == 0 { String::new() } else { format!(" ({silent} of them not right now)") };
        let what = format!("is drained by {of} ProxySQL{but}: new writes wait there, those at it come back");
        steps.push(step(from, what, DRAIN));
    }
    let everywhere = match of {
        0 => "every router leads there".to_owned(),
        of => format!("every router and {of} ProxySQL lead there"),
    };
    steps.extend([
        step(from, "is closed, read back, its clients' sessions are ended".into(), words.close),
        step(to, "applies what it still has to; both sets are compared".into(), words.wait),
        step(to, format!("is granted epoch {next}"), ""),
        step(from, format!("follows {to} and acknowledges its commits"), words.follow),
        step(
            to,
            "meanwhile forgets its source and opens, under a lease: no commit returns before an acker has it"
                .into(),
            words.open,
        ),
        step(to, everywhere, ""),
    ]);
    let others = state.data_nodes().map(|(n, _)| n).filter(|n| *n != from && *n != to);
    steps.extend(
        others
            .filter(|n| !state.out.contains_key(*n))
            .map(|node| step(node, format!("follows {to}"), words.follow)),
    );
    steps
}

/// The statements of a dialect.
struct Words {
    close: &'static str,
    wait: &'static str,
    follow: &'static str,
    open: &'static str,
}

impl Words {
    fn of(dialect: Dialect, closes_to_all: bool) -> Self {
        match dialect {
            Dialect::Mysql => Self {
                close: "SET GLOBAL super_read_only=ON",
                wait: "SELECT WAIT_FOR_EXECUTED_GTID_SET(…)",
                follow: "CHANGE REPLICATION SOURCE TO …, SOURCE_AUTO_POSITION=1; START REPLICA",
                open: "STOP REPLICA; RESET REPLICA ALL; SET GLOBAL super_read_only=OFF, GLOBAL read_only=OFF",
            },
            Dialect::Mariadb => Self {
                close: if closes_to_all {
                    "SET GLOBAL read_only=NO_LOCK_NO_ADMIN"
                } else {
                    "SET GLOBAL read_only=ON"
                },
                wait: "SELECT MASTER_GTID_WAIT(…)",
                follow: "CHANGE MASTER TO …, MASTER_USE_GTID=slave_pos; START SLAVE",
                open: "STOP SLAVE; RESET SLAVE ALL; SET GLOBAL read_only=OFF",
            },
        }
    }
}
