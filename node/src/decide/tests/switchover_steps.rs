//! The plan of a switchover, as the dry run shows it.

use super::super::adoption::PlannedChange;
use super::super::seen::ProxySeen;
use super::super::switchover::{Statements, stages, steps};
use super::*;
use crate::state::Planned;

fn said(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| (*line).to_owned()).collect()
}

/// As the nodes of db1 to db3 say.
fn statements() -> Statements {
    Statements {
        rotate: Some(said(&["FLUSH NO_WRITE_TO_BINLOG BINARY LOGS;"])),
        close: Some(said(&[
            "SET GLOBAL super_read_only=ON;",
            "KILL <id>; -- each client's session that is left",
        ])),
        rest: Some(said(&["SET GLOBAL event_scheduler=OFF;"])),
        apply: Some(said(&["SELECT WAIT_FOR_EXECUTED_GTID_SET('<what db1 has once it is closed>', 0.500);"])),
        open: Some(said(&["STOP REPLICA;", "SET GLOBAL super_read_only=OFF;"])),
        events: Some(Vec::new()),
        prove: Some(said(&["DROP TABLE IF EXISTS baton.proof_<n>;"])),
        follow: ["db1", "db3"].map(|node| (name(node), said(&["START REPLICA;"]))).into(),
        proxies: BTreeMap::new(),
    }
}

fn told(steps: &[PlannedChange]) -> String {
    let mut text = String::new();
    for (step, number) in steps.iter().zip(1..) {
        text += &format!("{number} {} {}\n", step.node, step.what);
        text += &step.statement.lines().map(|line| format!("    {line}\n")).collect::<String>();
    }
    text
}

#[test]
fn the_steps_close_the_writer_first_and_move_the_others_last() {
    let state = cluster("db1 db2 db3");
    let seen = Seen::healthy(&state, &my("1:1-9")).look();
    let steps = steps(&state, &seen, (&name("db1"), &name("db2")), &statements());
    let at = |words: &str| {
        steps.iter().position(|s| s.what.contains(words) || s.statement.contains(words)).unwrap()
    };
    assert!(at("super_read_only=ON") < at("granted epoch 2"));
    assert!(at("granted epoch 2") < at("super_read_only=OFF"));
    assert_eq!(steps[steps.len() - 2].node, name("db3"), "before the commit that shows it is lossless");
    assert!(!steps.iter().any(|s| s.what.contains("ProxySQL")), "{steps:?}");
    insta::assert_snapshot!("plan", told(&steps));
}

#[test]
fn what_a_node_has_not_said_is_no_empty_step() {
    let state = cluster("db1 db2 db3");
    let seen = Seen::healthy(&state, &my("1:1-9")).look();
    let silent = Statements { close: None, follow: BTreeMap::new(), events: None, ..statements() };
    let steps = steps(&state, &seen, (&name("db1"), &name("db2")), &silent);
    let gaps: Vec<&str> =
        steps.iter().filter(|s| s.statement.contains("has not said")).map(|s| s.what.as_str()).collect();
    assert_eq!(
        gaps,
        [
            "is closed, read back, its clients' sessions are ended",
            "runs the events that ran at the writer",
            "follows db2 and acknowledges its commits",
            "follows db2"
        ]
    );
}

/// Where there are some: before the writer is closed, or writes that are at it would fail.
#[test]
fn the_steps_drain_every_proxysql_before_the_writer_is_closed() {
    let state = cluster("db1 db2 db3");
    let mut seen = Seen::healthy(&state, &my("1:1-9"));
    let proxy = |name: &str, trouble: Option<&str>| ProxySeen {
        name: name.into(),
        trouble: trouble.map(ToOwned::to_owned),
        repairs: 0,
        read_took: ms(2),
    };
    seen.reports.get_mut(&name("db1")).unwrap().0.routing =
        vec![proxy("app1", None), proxy("app2", Some("it is silent"))];
    let sent =
        || vec![said(&["UPDATE … status='OFFLINE_SOFT';"]), said(&["UPDATE … status='ONLINE';"]), Vec::new()];
    let of_one = Statements { proxies: [("app1".to_owned(), sent())].into(), ..statements() };
    let seen = seen.look();
    let of = |statements: &Statements| steps(&state, &seen, (&name("db1"), &name("db2")), statements);
    let plan = of(&of_one);
    let at = |words: &str| {
        plan.iter().position(|s| s.what.contains(words) || s.statement.contains(words)).unwrap()
    };
    assert!(plan[at("OFFLINE_SOFT")].what.contains("2 ProxySQL (1 of them not right now)"), "{plan:?}");
    assert!(
        plan[at("OFFLINE_SOFT")].statement.ends_with("\n-- app2 has not said which statements"),
        "{plan:?}"
    );
    assert!(at("OFFLINE_SOFT") < at("super_read_only=ON"));
    assert!(at("super_read_only=OFF") < at("every node's router and 2 ProxySQL"));

    let differ = [("app1".to_owned(), sent()), ("app2".to_owned(), vec![said(&["DELETE …;"])])];
    let plan = of(&Statements { proxies: differ.into(), ..statements() });
    let each: Vec<String> = plan
        .iter()
        .filter(|s| s.what.starts_with("at "))
        .map(|s| format!("{} {}", s.what, s.statement))
        .collect();
    assert_eq!(each, ["at app2 DELETE …;", "at app1 UPDATE … status='OFFLINE_SOFT';"], "each its own");
}

#[test]
fn the_stages_are_those_that_the_group_would_agree_on() {
    let state = cluster("db1 db2 db3");
    let seen = Seen::healthy(&state, &my("1:1-9")).look();
    let planned = Planned { max_pause_ms: 500, kill_blockers: false };
    let ends = (&name("db1"), &name("db2"));
    let stages_of = stages(&state, &seen, ends, planned).unwrap();
    assert!(
        stages_of.frozen.operation.as_ref().unwrap().is_frozen() && stages_of.frozen.is_writer(&name("db1"))
    );
    assert!(stages_of.opened.is_writer(&name("db2")) && stages_of.opened.ackers == names("db1 db3"));
    assert!(stages_of.over.operation.is_none() && stages_of.over.epoch() == Epoch(2));
    let mut out = state;
    out.members.get_mut(&name("db2")).unwrap().excluded = true;
    assert!(stages(&out, &seen, ends, planned).is_none(), "as the state refuses it");
}
