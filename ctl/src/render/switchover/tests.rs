use super::*;
use crate::render::fixtures::PLAIN;

fn finding(level: &str, node: &str, what: &str, mend: &str) -> Finding {
    Finding { level: level.into(), node: node.into(), what: what.into(), mend: mend.into() }
}

fn step(node: &str, what: &str, statement: &str) -> Change {
    Change { node: node.into(), what: what.into(), statement: statement.into() }
}

fn plan() -> SwitchoverReply {
    SwitchoverReply {
        from: "db1".into(),
        to: "db2".into(),
        epoch: 7,
        pause_ms: 62,
        findings: vec![
            finding(
                "wait",
                "db1",
                "transaction of session 421388, app@10.0.0.9, open for 34 s: UPDATE orders SET state = 3",
                "it is rolled back by the close, or holds it up until --max-pause: then nothing is moved, unless \
                 --kill-blockers",
            ),
            finding("ok", "db2", "follows db1, version 9.7.4, its settings are right", ""),
            finding("ok", "db2", "has everything, lag 3 ms", ""),
            finding("ok", "db2", "has ackers: db3, db1 (the old writer)", ""),
        ],
        steps: vec![
            step("db1", "routers hold new connections, and end its sessions between two replies", ""),
            step(
                "db1",
                "is closed, read back, its clients' sessions are ended",
                "SET SESSION lock_wait_timeout=1; SET GLOBAL super_read_only=ON;\n\
                 KILL <id>; -- each client's session that is left\n\
                 SET GLOBAL offline_mode=ON; -- where a prepared XA transaction could still be committed",
            ),
            step(
                "db2",
                "forgets its source and opens, under a lease: no commit returns before an acker has it",
                "STOP REPLICA IO_THREAD;\nKILL <id>; -- the applier\nSTOP REPLICA;\nRESET REPLICA ALL;\n\
                 SET GLOBAL rpl_semi_sync_source_timeout=4294967295, GLOBAL \
                 rpl_semi_sync_source_wait_point=AFTER_SYNC, GLOBAL rpl_semi_sync_source_wait_for_replica_count=1, \
                 GLOBAL rpl_semi_sync_source_wait_no_replica=ON, GLOBAL rpl_semi_sync_source_enabled=ON;\n\
                 SET GLOBAL super_read_only=OFF;\nSET GLOBAL read_only=OFF;",
            ),
            step(
                "db1",
                "follows db2 and acknowledges its commits",
                "SET GLOBAL rpl_semi_sync_replica_enabled=ON;\nSET GLOBAL replica_net_timeout=4;\n\
                 CHANGE REPLICATION SOURCE TO SOURCE_HOST='10.0.0.2', SOURCE_PORT=3306, SOURCE_USER='repl', \
                 SOURCE_PASSWORD='…', SOURCE_CONNECT_RETRY=1, SOURCE_RETRY_COUNT=86400, \
                 SOURCE_HEARTBEAT_PERIOD=0.5, GET_SOURCE_PUBLIC_KEY=1, SOURCE_AUTO_POSITION=1, SOURCE_SSL=0, \
                 SOURCE_SSL_CA='', SOURCE_SSL_CERT='', SOURCE_SSL_KEY='', SOURCE_SSL_VERIFY_SERVER_CERT=0;\n\
                 START REPLICA;",
            ),
        ],
        ..SwitchoverReply::default()
    }
}

fn fits(text: &str) {
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
}

#[test]
fn a_dry_run_shows_what_was_found_and_each_step_with_its_statement() {
    let text = switchover(&plan(), "shop", &PLAIN);
    fits(&text);
    insta::assert_snapshot!(text);
}

#[test]
fn an_appointment_says_when_and_how_it_is_ended() {
    let text = switchover(&SwitchoverReply { appointed_ms: 1_795_165_200_000, ..plan() }, "shop", &PLAIN);
    fits(&text);
    insta::assert_snapshot!(text);
}

#[test]
fn a_refusal_names_what_stands_in_the_way_and_the_mend() {
    let stop = finding(
        "stop",
        "db2",
        "lags: it has not applied what the writer had a second ago",
        "wait until it has caught up: batonctl status",
    );
    let refused =
        SwitchoverReply { refused: true, findings: vec![stop], steps: Vec::new(), pause_ms: 0, ..plan() };
    let text = switchover(&refused, "shop", &PLAIN);
    fits(&text);
    insta::assert_snapshot!(text);
}

#[test]
fn the_end_says_how_long_writes_paused_and_each_step() {
    let line = |at_ms, node: &str, name: &str, detail: &str| Step {
        at_ms,
        node: node.into(),
        name: name.into(),
        detail: detail.into(),
    };
    let moved = SwitchoverReply {
        tried: true,
        moved: true,
        epoch: 8,
        pause_ms: 84,
        message: "nothing lost, proven by db1".into(),
        started_ms: 1_000,
        journal: vec![
            line(1_004, "db3", "intent", "db1 to db2: asked for by ada"),
            line(1_019, "db3", "freeze", "db1 is closed, new connections wait"),
            line(1_103, "db2", "open", ""),
        ],
        ..plan()
    };
    let text = switchover(&moved, "shop", &PLAIN);
    fits(&text);
    insta::assert_snapshot!(text);
    let undone = SwitchoverReply {
        moved: false,
        epoch: 7,
        pause_ms: 0,
        message: "db1 could not be closed within 440 ms: close timed out; db1 stays the writer".into(),
        journal: Vec::new(),
        ..moved
    };
    let text = switchover(&undone, "shop", &PLAIN);
    fits(&text);
    insta::assert_snapshot!(text);
}
