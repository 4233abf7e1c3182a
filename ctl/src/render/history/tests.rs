use baton_proto::control::Step;

use super::*;
use crate::render::fixtures::PLAIN;

/// 2026-11-08 03:12:44 UTC.
const AT_MS: i64 = 1_794_107_564_000;

fn failover() -> Operation {
    let steps = [
        (0, "db3", "mysqld (pid 4123) exited", "signal 9"),
        (4, "db2", "WriterCrashed", "intent committed, epoch 6 is being revoked"),
        (5, "db2", "revoked", "gone (process exited, port 3306 refuses)"),
        (
            9,
            "db2",
            "received",
            "db1 …:1-88123, db2 …:1-88121, so db1 is the most advanced and becomes the writer",
        ),
        (188, "db1", "open", ""),
        (1260, "db2", "", "db2 follows db1; lossless again"),
    ];
    let step = |(at, node, name, detail): (i64, &str, &str, &str)| Step {
        at_ms: AT_MS + at,
        node: node.into(),
        name: name.into(),
        detail: detail.into(),
    };
    Operation {
        kind: "failover".into(),
        from_epoch: 6,
        to_epoch: 7,
        from_node: "db3".into(),
        to_node: "db1".into(),
        started_ms: AT_MS,
        ended_ms: AT_MS + 1260,
        outcome: "done".into(),
        outage_ms: 318,
        loss: "nothing lost, proven by ackers db1, db2".into(),
        proof: "gone".into(),
        evidence: "db2, app1 agree; no replica was receiving".into(),
        steps: steps.map(step).into(),
        ..Operation::default()
    }
}

#[test]
fn one_operation_step_by_step() {
    let reply = HistoryReply { operations: vec![failover()] };
    insta::assert_snapshot!(history(&reply, true, &PLAIN));
}

#[test]
fn a_list_has_one_line_each() {
    let adopt = Operation { kind: "adopt".into(), to_epoch: 1, to_node: "db3".into(), ..plain() };
    let failed = Operation { outcome: "failed".into(), loss: String::new(), outage_ms: 0, ..failover() };
    let running = Operation { outcome: "running".into(), loss: String::new(), ..failover() };
    let reply = HistoryReply { operations: vec![running, failed, failover(), adopt] };
    insta::assert_snapshot!(history(&reply, false, &PLAIN));
}

fn plain() -> Operation {
    Operation { started_ms: AT_MS, outcome: "done".into(), ..Operation::default() }
}

#[test]
fn nothing_is_said_in_words() {
    assert_eq!(history(&HistoryReply::default(), false, &PLAIN), "nothing has happened yet\n");
}
