use baton_proto::control::{Decision, Reason};

use super::*;
use crate::render::fixtures::{NOW_MS, PLAIN};

#[test]
fn reasons_and_decisions() {
    let reason = |side: &str, text: &str| Reason { side: side.into(), text: text.into() };
    let reply = WhyReply {
        diagnosis: "WriterUnreachableButReplicating".into(),
        summary: "two of three voters cannot reach db1, but db2 still receives from it: no failover".into(),
        reasons: vec![
            reason("fact", "db2 received 14 heartbeats in the last 7 s"),
            reason("for", "db2 and app1 have had no answer from db1's port 3306 for 2.1 s"),
            reason(
                "against",
                "db2 still receives from db1, so clients beside db1 may still be writing to it now",
            ),
        ],
        decisions: vec![Decision {
            at_ms: NOW_MS,
            what: "nothing is promoted".into(),
            why: "a replica still receives".into(),
        }],
    };
    insta::assert_snapshot!(why(&reply, &PLAIN));
}

#[test]
fn a_healthy_cluster_in_one_line() {
    let reply = WhyReply {
        diagnosis: "Healthy".into(),
        summary: "db1 is open and acked by db2".into(),
        ..WhyReply::default()
    };
    assert_eq!(why(&reply, &PLAIN), "Healthy   db1 is open and acked by db2\n");
}
