//! The answer of `batonctl routing`.

use std::sync::Arc;

use super::super::routing::routing;
use crate::config::HostPort;
use crate::proxysql::{Actual, Condition, Desired, Difference, Groups, Placement, Row, Shown, Tuning, Want};
use crate::state::{ClusterState, Epoch, NodeName, Phase};

fn at(host: u8) -> HostPort {
    HostPort { host: format!("10.0.0.{host}"), port: 3306 }
}

fn row(hostgroup: u32, host: u8) -> Row {
    let tuning = Tuning { numbers: [0; 7], comment: String::new() };
    Row { hostgroup, address: at(host), status: "ONLINE".into(), tuning }
}

#[test]
fn what_is_wanted_stands_beside_what_is_there() {
    let place = |node: &str, writer, reader| (NodeName::from(node), Placement { writer, reader });
    let wanted = Desired {
        epoch: Epoch(7),
        writer: Some("db1".into()),
        draining: None,
        settling: None,
        servers: [
            (at(1), place("db1", Want::Online, Want::Absent)),
            (at(2), place("db2", Want::Absent, Want::Online)),
        ]
        .into(),
    };
    let shown = Shown {
        name: "app1".into(),
        admin: HostPort { host: "10.0.0.9".into(), port: 6032 },
        groups: Groups { writer: 10, reader: 20 },
        condition: Condition::Diverged("why".into()),
        in_effect: None,
        wanted: Some(Arc::new(wanted)),
        mark: "baton shop".into(),
        actual: Actual { runtime: vec![row(10, 1), row(10, 2), row(20, 77)], ..Actual::default() },
        differences: vec![Difference {
            address: at(2),
            hostgroup: 10,
            want: Want::Absent,
            have: Some("ONLINE".into()),
        }],
        read_ms: 5,
        read_took: std::time::Duration::ZERO,
        repairs: 1,
        repaired: Some("what".into()),
    };
    let mut state = ClusterState::default();
    state.phase = Phase::Managed;
    let reply = routing(&state, &[shown]);
    let [proxy] = reply.proxies.as_slice() else { panic!("{reply:?}") };
    assert_eq!((proxy.state.as_str(), proxy.note.as_str(), proxy.repairs), ("diverged", "why", 1));
    let shown: Vec<_> = proxy
        .servers
        .iter()
        .map(|s| {
            (
                s.node.as_str(),
                s.writer_wanted.as_str(),
                s.writer_status.as_str(),
                s.reader_status.as_str(),
                s.right,
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("db1", "online", "ONLINE", "", true),
            ("db2", "absent", "ONLINE", "", false),
            ("", "any", "", "ONLINE", true)
        ]
    );
}
