#![allow(clippy::unwrap_used)]

use super::*;
use crate::decide::sample::{Seen, managed, ms, name, observed, set};
use crate::decide::seen::LintFinding;

fn plan(spoil: impl FnOnce(&mut ClusterState, &mut Seen)) -> Adoption {
    let (mut state, mut seen) = observed();
    spoil(&mut state, &mut seen);
    plan_adoption(&state, &seen.observations(), None)
}

fn told(plan: &Adoption) -> String {
    let line = |f: &Finding| {
        let node = f.node.as_ref().map_or("cluster", NodeName::as_str);
        format!("{} {node}: {}\n    {}\n", f.level.as_str(), f.what, f.mend)
    };
    plan.findings.iter().filter(|f| f.level != Level::Ok).map(line).collect()
}

#[test]
fn a_running_cluster_is_adopted_as_it_is() {
    let plan = plan(|_, _| {});
    assert_eq!(plan.writer, Some(name("db1")));
    assert!(!plan.is_refused());
    assert_eq!(told(&plan), "");
    let closes = ["super_read_only", "read_only", "RESET", "KILL", "STOP REPLICA;"];
    for change in &plan.changes {
        assert!(!closes.iter().any(|word| change.statement.contains(word)), "closes nothing: {change:?}");
    }
    let changes: Vec<_> =
        plan.changes.iter().map(|c| format!("{}: {}\n    {}", c.node, c.what, c.statement)).collect();
    insta::assert_snapshot!(changes.join("\n"));
}

#[test]
fn mariadb_has_its_own_words() {
    let plan = plan(|_, seen| {
        for node in ["db1", "db2"] {
            (seen.about(node).dialect, seen.about(node).number) = (Dialect::Mariadb, (10, 11, 19));
        }
    });
    let changes: Vec<_> = plan.changes.iter().map(|c| format!("{}: {}", c.node, c.statement)).collect();
    insta::assert_snapshot!(changes.join("\n"));
}

/// Each stands in the way alone, by these words.
#[test]
fn what_stands_in_the_way() {
    type Spoil = fn(&mut ClusterState, &mut Seen);
    let cases: &[(&str, Spoil)] = &[
        ("no server accepts writes", |_, seen| seen.pulse("db1").open = false),
        ("db2: is open as well as db1", |_, seen| seen.pulse("db2").open = true),
        ("db2: does not replicate from db1", |_, seen| seen.pulse("db2").channel = None),
        ("db2: replicates from 10.0.0.7:3306, not from db1 at 10.0.0.1:3306", |_, seen| {
            seen.channel("db2").source = "10.0.0.7:3306".into();
        }),
        ("db2: its receiver has stopped: error 1045: denied", |_, seen| {
            let channel = seen.channel("db2");
            (channel.io_running, channel.io_error) = (false, Some((1045, "denied".into())));
        }),
        ("db2: its applier has stopped", |_, seen| seen.channel("db2").sql_running = false),
        ("db1: is open and replicates from 10.0.0.2:3306 itself", |_, seen| {
            let mut channel = seen.channel("db2").clone();
            channel.source = "10.0.0.2:3306".into();
            seen.pulse("db1").channel = Some(channel);
        }),
        ("db2: its node does not answer", |_, seen| seen.silent("db2")),
        ("db2: its server does not answer: connection refused", |_, seen| {
            (seen.own("db2").pulse, seen.own("db2").error) = (None, Some(crate::decide::sample::no_answer()));
        }),
        ("1 of 3 nodes answer: without a majority", |_, seen| {
            seen.silent("db2");
            seen.silent("app1");
        }),
        ("db1: its keeper may not end the server", |_, seen| seen.own("db1").guard.keeper = false),
        ("db1: its guard cannot do its work: no notes", |_, seen| {
            seen.own("db1").guard.trouble = Some("no notes".into());
        }),
        ("db2: gtid_mode is OFF", |_, seen| {
            seen.about("db2").findings = vec![LintFinding {
                error: true,
                what: "gtid_mode is OFF".into(),
                mend: "set it".into(),
                mend_here: None,
            }];
        }),
        ("db2: ReplicationUserRejected: 10.0.0.1:3306 does not let repl replicate", |_, seen| {
            let why = "10.0.0.1:3306 does not let repl replicate: access denied";
            seen.report("db2").sources_refused.insert(name("db1"), why.into());
        }),
        ("db2: its settings have not been read yet", |_, seen| seen.own("db2").about = None),
        ("under Baton's care already", |state, _| state.phase = Phase::Managed),
    ];
    for (words, spoil) in cases {
        let plan = plan(spoil);
        assert!(plan.is_refused(), "{words}");
        assert!(plan.changes.is_empty(), "{words}: nothing would change");
        let told = told(&plan);
        let errors: Vec<_> = told.lines().filter(|l| l.starts_with("error") && l.contains(words)).collect();
        assert_eq!(errors.len(), 1, "{words} in:\n{told}");
    }
}

#[test]
fn what_is_said_and_does_not_stand_in_the_way() {
    type Spoil = fn(&mut ClusterState, &mut Seen);
    let cases: &[(&str, Spoil)] = &[
        ("app1: its node does not answer", |_, seen| seen.silent("app1")),
        ("db2: its keeper may not end", |_, seen| seen.own("db2").guard.keeper = false),
        ("db2: is 41 s behind", |_, seen| seen.channel("db2").behind = Some(ms(41_000))),
        ("db2: replicates with a delay on purpose", |_, seen| seen.channel("db2").delayed = true),
        ("db2: has 1 transaction that db1 lacks", |_, seen| seen.pulse("db2").executed = set("1-6")),
        ("commits shall wait for 2 ackers, but there are 1 replicas", |state, _| state.safety.wait_count = 2),
        ("db1: its configuration file differs from what the group agreed on: lease_ttl", |_, seen| {
            seen.report("db1").config_differs = vec!["lease_ttl".into()];
        }),
    ];
    for (words, spoil) in cases {
        let plan = plan(spoil);
        let told = told(&plan);
        assert!(!plan.is_refused(), "{words}: {told}");
        assert!(
            told.contains(&format!("warning {words}")) || told.contains(&format!("warning cluster: {words}")),
            "{words} in:\n{told}"
        );
    }
}

#[test]
fn a_set_older_than_the_replicas_shows_nothing_extra() {
    let plan = plan(|_, seen| {
        seen.pulse("db2").executed = set("1-6");
        seen.own("db1").pulse_age = ms(300);
    });
    assert_eq!(told(&plan), "");
}

#[test]
fn adoption_never_moves_the_writer() {
    let (state, seen) = observed();
    let seen = seen.observations();
    let plan = plan_adoption(&state, &seen, Some(&name("db2")));
    assert!(plan.is_refused());
    assert!(told(&plan).contains("db2: is closed; db1 is open"), "{}", told(&plan));
    assert!(plan_adoption(&state, &seen, Some(&name("app1"))).is_refused());
    assert!(!plan_adoption(&state, &seen, Some(&name("db1"))).is_refused());
}

#[test]
fn of_two_open_servers_the_named_one_stays() {
    let (state, mut seen) = observed();
    seen.pulse("db2").open = true;
    let plan = plan_adoption(&state, &seen.observations(), Some(&name("db2")));
    assert!(told(&plan).contains("error db1: is open as well as db2\n    SET GLOBAL super_read_only = ON;"));
    assert_eq!(plan.writer, None);
}

#[test]
fn a_managed_cluster_is_not_adopted_twice() {
    let (state, seen) = managed();
    assert!(plan_adoption(&state, &seen.observations(), None).is_refused());
}
