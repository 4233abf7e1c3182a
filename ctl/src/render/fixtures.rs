//! Replies for the golden tests: a healthy cluster, which each test spoils in its own way.

use baton_proto::control::{LastFailover, NodeStatus, StatusReply};
use jiff::Timestamp;

use super::Style;

/// 2026-11-20 09:00:00 UTC.
pub(crate) const NOW_MS: i64 = 1_795_165_200_000;

pub(crate) fn now() -> Timestamp {
    Timestamp::from_millisecond(NOW_MS).unwrap_or_default()
}

/// No colour, 80 columns.
pub(crate) const PLAIN: Style = Style { color: false, width: 80 };

/// Three servers and a witness; db1 writes, db2 and db3 acknowledge.
pub(crate) fn healthy() -> StatusReply {
    StatusReply {
        cluster: "shop".into(),
        phase: "managed".into(),
        epoch: 7,
        durability: "lossless".into(),
        automation: "automatic".into(),
        writer: "db1".into(),
        writer_open: true,
        nodes: vec![writer("db1"), replica("db2"), replica("db3"), witness("app1")],
        leader: "db2".into(),
        term: 12,
        voters: 4,
        voters_answering: 4,
        last_failover: Some(LastFailover {
            at_ms: NOW_MS - 12 * 86_400_000,
            outage_ms: 318,
            from: "db3".into(),
            to: "db1".into(),
        }),
        health: "healthy".into(),
        answered_by: "db2".into(),
        ..StatusReply::default()
    }
}

pub(crate) fn writer(name: &str) -> NodeStatus {
    NodeStatus {
        role: "writer".into(),
        open: true,
        lease_left_ms: 840,
        acker: false,
        follows: String::new(),
        replicating: false,
        candidate: false,
        ..replica(name)
    }
}

pub(crate) fn replica(name: &str) -> NodeStatus {
    NodeStatus {
        name: name.into(),
        role: "replica".into(),
        health: "ok".into(),
        server: "MySQL 9.7.4".into(),
        node_answers: true,
        server_answers: true,
        acker: true,
        voter: true,
        follows: "db1".into(),
        replicating: true,
        candidate: true,
        ..NodeStatus::default()
    }
}

pub(crate) fn witness(name: &str) -> NodeStatus {
    NodeStatus {
        name: name.into(),
        role: "witness".into(),
        health: "none".into(),
        node_answers: true,
        voter: true,
        ..NodeStatus::default()
    }
}
