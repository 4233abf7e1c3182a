use std::time::Duration;

use baton_proto::control::StatusReply;
use jiff::Timestamp;

use super::Scene;
use crate::decide::sample::{NOW_MS, Seen, managed, ms, name, observed, set};
use crate::decide::seen::{ProbeError, Process};
use crate::serve::check::{check, to_wire};
use crate::serve::history::history;
use crate::serve::status::status;
use crate::serve::why::{why_ended, why_now};
use crate::serve::{View, WithoutLeader};
use crate::state::{
    Begin, Change, ClusterState, Command, CommandId, DegradeReason, Durability, Ending, Epoch, Loss, Member,
    NextGrant, OperationId, Out, OutReason, Pause, Plan, Planned, Proof, ProofKind, Quarantine, Step,
};

/// What `batonctl status` prints of it: the words of both ends are tested together.
fn page(view: &View<'_>) -> String {
    shown(&status(view))
}

fn shown(reply: &StatusReply) -> String {
    let style = batonctl::render::Style { color: false, width: 80 };
    batonctl::render::status(reply, Timestamp::from_millisecond(NOW_MS).unwrap(), &style)
}

fn scene(of: fn() -> (ClusterState, Seen), spoil: impl FnOnce(&mut ClusterState, &mut Seen)) -> Scene {
    let (mut state, mut seen) = of();
    spoil(&mut state, &mut seen);
    Scene::new((state, seen))
}

/// db1's server has been seen to exit, and nobody's probe gets through.
fn crash(seen: &mut Seen) {
    let own = seen.own("db1");
    (own.process, own.pulse, own.guard.lease) = (Process::Gone { pid: 1000 }, None, None);
    for (_, report, _) in &mut seen.0 {
        let probe = report.probes.get_mut(&name("db1")).unwrap();
        (probe.error, probe.open, probe.silent_for) = (Some(ProbeError::Refused), None, ms(1200));
    }
}

#[test]
fn a_healthy_cluster_says_nothing_more() {
    let scene = scene(managed, |_, _| {});
    let reply = status(&scene.view());
    assert_eq!((reply.health.as_str(), reply.warnings.len()), ("healthy", 0), "{:?}", reply.warnings);
    insta::assert_snapshot!(shown(&reply));
    insta::assert_snapshot!("status_json", serde_json::to_string_pretty(&reply).unwrap());
}

#[test]
fn observed_only() {
    let scene = scene(observed, |_, _| {});
    insta::assert_snapshot!(page(&scene.view()));
}

/// db4 and app2 were dropped by a recovery; db4's server has come back.
#[test]
fn what_was_left_behind_is_shown_and_is_no_member() {
    let left_behind = |open: bool| {
        scene(managed, move |state, seen| {
            let member =
                |server: Option<&str>| Member { server: server.map(Into::into), ..Member::default() };
            state.left_behind.insert(name("db4"), member(Some("10.0.0.4:3306")));
            state.left_behind.insert(name("app2"), member(None));
            for (_, report, _) in &mut seen.0 {
                let mut probe = report.probes[&name("db2")].clone();
                (probe.open, probe.silent_for) = (Some(open), ms(50));
                report.probes.insert(name("db4"), probe);
            }
        })
    };
    let closed = left_behind(false);
    let reply = status(&closed.view());
    assert_eq!(reply.health, "healthy", "{:?}", reply.warnings);
    insta::assert_snapshot!(shown(&reply));
    let open = status(&left_behind(true).view());
    assert_eq!(open.health, "degraded");
    assert!(open.warnings[0].starts_with("LeftBehindOpen: db4"), "{:?}", open.warnings);
}

#[test]
fn a_failover_under_way() {
    let scene = scene(managed, |state, seen| {
        crash(seen);
        apply(state, begin());
    });
    let reply = status(&scene.view());
    assert_eq!(reply.health, "no_writer");
    insta::assert_snapshot!(shown(&reply));
}

#[test]
fn health_and_the_worst_warning() {
    type Spoil = fn(&mut ClusterState, &mut Seen);
    let cases: &[(&str, &str, Spoil)] = &[
        ("no_writer", "WriterCrashed: db1: the server's process exited", |_, seen| crash(seen)),
        ("no_writer", "no failover: ann has paused automatic failovers: disks", |state, seen| {
            crash(seen);
            state.pause = Some(pause(NOW_MS + 60_000));
        }),
        ("no_writer", "no failover: [failover] automatic is off", |state, seen| {
            crash(seen);
            state.safety.live.automatic = false;
        }),
        ("degraded", "NodeDown: db2 does not answer", |_, seen| {
            seen.silent("db2");
            seen.unreachable("db2");
        }),
        ("degraded", "NodeDownServerUp: db2: its server answers, its Baton node does not", |_, seen| {
            seen.silent("db2")
        }),
        ("degraded", "NodeDown: app1 does not answer", |_, seen| seen.silent("app1")),
        ("degraded", "QuorumLost: 1 of 3 voters answer", |_, seen| {
            seen.silent("db1");
            seen.silent("db2");
        }),
        (
            "degraded",
            "WriterUnreachableButReplicating: the writer does not answer, but db2 still receive",
            |_, seen| {
                seen.silent("db1");
                seen.unreachable("db1");
            },
        ),
        ("degraded", "ReplicaLagging: db2 is 41 s behind", |_, seen| {
            seen.channel("db2").behind = Some(ms(41_000))
        }),
        ("degraded", "TwoWritersSeen: more than one server is open: db1, db2", |_, seen| {
            seen.pulse("db2").open = true
        }),
        ("degraded", "NotLossless: no acker's server is running", |state, _| {
            state.durability = Durability::Degraded {
                since_ms: 0,
                reason: DegradeReason::NoAcker,
                upto: None,
                may_let_go: true,
                index: 1,
            };
        }),
        ("degraded", "NotLossless: no acker has acknowledged", |state, _| {
            state.durability = Durability::Unknown
        }),
        ("degraded", "ServerOut: db2 is out: quarantined, 2 transactions", |state, _| {
            let extra = set("6-7");
            state.out.insert(
                name("db2"),
                Out { reason: OutReason::Quarantine(Quarantine::of(extra, Epoch(1))), since_ms: 0 },
            );
        }),
    ];
    for (health, warning, spoil) in cases {
        let reply = status(&scene(managed, spoil).view());
        assert_eq!(reply.health, *health, "{warning}: {:?}", reply.warnings);
        let found = reply.warnings.iter().filter(|w| w.starts_with(warning)).count();
        assert_eq!(found, 1, "{warning} in {:?}", reply.warnings);
    }
}

#[test]
fn who_answers_is_not_counted_as_silent() {
    let mut scene = scene(managed, |_, seen| seen.silent("db2"));
    scene.me = name("db2");
    let reply = status(&scene.view());
    assert_eq!((reply.voters, reply.voters_answering), (3, 3));
}

#[test]
fn candidates() {
    type Spoil = fn(&mut ClusterState, &mut Seen);
    let cases: &[(&str, bool, Spoil)] = &[
        ("healthy", true, |_, _| {}),
        ("lagging", false, |_, seen| seen.channel("db2").behind = Some(ms(10_000))),
        ("not applying", false, |_, seen| seen.channel("db2").sql_running = false),
        ("delayed", false, |_, seen| seen.channel("db2").delayed = true),
        ("excluded", false, |state, _| state.members.get_mut(&name("db2")).unwrap().excluded = true),
        ("silent", false, |_, seen| seen.silent("db2")),
        ("of another source", false, |_, seen| seen.channel("db2").source = "10.0.0.9:3306".into()),
        ("receivers stopped for a failover", true, |state, seen| {
            crash(seen);
            (seen.channel("db2").io_running, seen.channel("db2").behind) = (false, None);
            apply(state, begin());
        }),
    ];
    for (what, candidate, spoil) in cases {
        let reply = status(&scene(managed, spoil).view());
        let db2 = reply.nodes.iter().find(|n| n.name == "db2").unwrap();
        assert_eq!(db2.candidate, *candidate, "{what}");
    }
}

#[test]
fn without_a_leader_it_says_so_and_is_never_healthy() {
    let mut scene = scene(managed, |_, seen| {
        seen.silent("db1");
        seen.silent("app1");
    });
    scene.me = name("db2");
    let without = WithoutLeader::default();
    let view = View { without_leader: Some(&without), ..scene.view() };
    let reply = status(&view);
    assert_eq!(reply.health, "degraded");
    assert_eq!(reply.leader, "");
    assert_eq!(
        reply.warnings,
        ["QuorumLost: 1 of 3 voters answer; nothing is promoted until a majority is back"]
    );
    assert!(reply.writer_open, "its own probe finds db1 open");

    let answered = [name("app1")].into();
    let without = WithoutLeader { answered, formation: None };
    let view = View { without_leader: Some(&without), ..scene.view() };
    assert_eq!(status(&view).warnings, ["no leader: 2 of 3 voters answer; one is being elected"]);
}

#[test]
fn a_pause_ends_by_itself() {
    let scene = scene(managed, |state, _| state.pause = Some(pause(NOW_MS + 60_000)));
    let reply = status(&scene.view());
    assert_eq!((reply.automation.as_str(), reply.paused_until_ms), ("paused", NOW_MS + 60_000));
    let later = View { now_ms: NOW_MS + 60_000, ..scene.view() };
    assert_eq!((status(&later).automation.as_str(), status(&later).paused_until_ms), ("automatic", 0));
}

#[test]
fn the_history_of_a_failover() {
    let mut state = managed().0;
    fail_over(&mut state);
    let reply = history(&state, 0, 0, NOW_MS);
    assert_eq!(reply.operations.len(), 1);
    let style = batonctl::render::Style { color: false, width: 80 };
    insta::assert_snapshot!(batonctl::render::history(&reply, true, &style));

    let last = status(&Scene::new((state.clone(), managed().1)).view()).last_failover.unwrap();
    assert_eq!((last.outage_ms, last.from.as_str(), last.to.as_str()), (189, "db1", "db2"));
    for (epoch, found) in [(1, 1), (2, 1), (3, 0)] {
        assert_eq!(history(&state, 5, epoch, NOW_MS).operations.len(), found, "epoch {epoch}");
    }
}

#[test]
fn the_operation_under_way_comes_first_and_counts_on() {
    let mut state = managed().0;
    apply(&mut state, begin());
    let reply = history(&state, 1, 0, NOW_MS + 500);
    let running = &reply.operations[0];
    assert_eq!((running.outcome.as_str(), running.ended_ms, running.outage_ms), ("running", 0, 500));
    assert_eq!(running.steps[0].detail, "intent committed, epoch 1 is being revoked");
}

#[test]
fn the_same_node_again_is_a_reopening() {
    let mut state = managed().0;
    apply(&mut state, begin());
    apply(&mut state, grant("db1"));
    assert_eq!(history(&state, 1, 0, NOW_MS).operations[0].kind, "reopen");
}

#[test]
fn why_nothing_happens() {
    type Spoil = fn(&mut ClusterState, &mut Seen);
    let cases: &[(&str, Spoil)] = &[
        ("Healthy", |_, _| {}),
        ("WriterCrashed", |state, seen| {
            crash(seen);
            state.pause = Some(pause(NOW_MS + 1));
        }),
        ("WriterUnreachableButReplicating", |_, seen| {
            seen.silent("db1");
            seen.unreachable("db1");
        }),
        ("ReplicaLagging", |_, seen| seen.channel("db2").behind = Some(ms(11_000))),
    ];
    for (name, spoil) in cases {
        assert_eq!(why_now(&scene(managed, spoil).view()).diagnosis, *name);
    }
    let crashed = why_now(&scene(managed, cases[1].1).view());
    let sides: Vec<_> = crashed.reasons.iter().map(|r| r.side.as_str()).collect();
    assert!(sides.contains(&"for") && sides.contains(&"against"), "{crashed:?}");
    assert_eq!(why_now(&scene(observed, |_, _| {}).view()).diagnosis, "Observing");
}

#[test]
fn why_an_epoch_ended() {
    let mut state = managed().0;
    fail_over(&mut state);
    let style = batonctl::render::Style { color: false, width: 80 };
    let reply = why_ended(&state, Epoch(1), NOW_MS).unwrap();
    insta::assert_snapshot!(batonctl::render::why(&reply, &style));
    assert_eq!(why_ended(&state, Epoch(7), NOW_MS), None);
}

#[test]
fn checks() {
    let healthy = check(&scene(managed, |_, _| {}).view());
    assert!(healthy.iter().all(|f| f.level.as_str() == "ok"), "{healthy:?}");
    let spoilt = scene(managed, |state, seen| {
        seen.own("db1").guard.keeper = false;
        seen.about("db2").server_id = 1;
        seen.silent("app1");
        state.durability = Durability::Unknown;
    });
    let findings = check(&spoilt.view()).into_iter().map(to_wire).collect();
    let style = batonctl::render::Style { color: false, width: 80 };
    let reply = baton_proto::control::CheckReply { findings };
    insta::assert_snapshot!(batonctl::render::check(&reply, &style));
}

fn pause(until_ms: i64) -> Pause {
    Pause { until_ms, by: "ann".into(), reason: "disks".into() }
}

fn apply(state: &mut ClusterState, change: Change) {
    apply_at(state, NOW_MS, change);
}

fn apply_at(state: &mut ClusterState, at_ms: i64, change: Change) {
    let by = match &change {
        Change::Opened { .. } => name("db2"),
        _ => name("app1"),
    };
    let id = CommandId(format!("{at_ms} {change:?}"));
    let outcome = state.apply(1, &Command { id, by, at_ms, change });
    outcome.into_result().unwrap();
}

fn begin() -> Change {
    Change::Begin(Begin {
        operation: OperationId("op1".into()),
        epoch: Epoch(1),
        diagnosis: "WriterCrashed".into(),
        evidence: vec!["db1: the server's process exited and its port refuses".into()],
        forced: None,
        wanted: None,
        last_seen: None,
    })
}

fn grant(node: &str) -> Change {
    Change::Grant(NextGrant {
        operation: OperationId("op1".into()),
        from: Epoch(1),
        node: name(node),
        proof: Proof { kind: ProofKind::Gone, detail: "process exited, port 3306 refuses".into() },
        loss: Loss::None { proven_by: vec![name("db2")] },
        durability: Durability::Unknown,
        ackers: Default::default(),
    })
}

#[test]
fn a_switchover_counts_the_time_from_the_close_to_the_opening_or_to_its_end() {
    let operation = OperationId("op1".into());
    let line = |at_ms, word: &str| Change::Journal {
        operation: operation.clone(),
        step: Step { at_ms, node: name("db2"), name: word.into(), detail: String::new() },
    };
    let planned = |state: &mut ClusterState| {
        let planned = Planned { max_pause_ms: 500, kill_blockers: false };
        let (operation, by) = (operation.clone(), "asked for by ada".into());
        apply(state, Change::Plan(Plan { operation, epoch: Epoch(1), to: name("db2"), planned, by }));
        apply_at(state, NOW_MS + 1, line(NOW_MS + 1, "intent"));
        apply_at(state, NOW_MS + 20, line(NOW_MS + 20, "freeze"));
    };
    let (mut moved, _) = managed();
    planned(&mut moved);
    let revoke = Change::Revoke { operation: operation.clone(), epoch: Epoch(1) };
    apply_at(&mut moved, NOW_MS + 40, revoke);
    apply_at(&mut moved, NOW_MS + 50, grant("db2"));
    apply_at(&mut moved, NOW_MS + 104, Change::Opened { epoch: Epoch(2) });
    apply_at(&mut moved, NOW_MS + 900, Change::End { operation: operation.clone(), ending: Ending::Done });
    let shown = history(&moved, 1, 0, NOW_MS + 1_000).operations.remove(0);
    assert_eq!((shown.kind.as_str(), shown.outage_ms, shown.outcome.as_str()), ("switchover", 84, "done"));
    assert_eq!((shown.from_node.as_str(), shown.to_node.as_str()), ("db1", "db2"));

    let (mut undone, _) = managed();
    planned(&mut undone);
    apply_at(&mut undone, NOW_MS + 420, line(NOW_MS + 420, "undo"));
    apply_at(&mut undone, NOW_MS + 430, Change::End { operation: operation.clone(), ending: Ending::Failed });
    let shown = history(&undone, 1, 0, NOW_MS + 1_000).operations.remove(0);
    assert_eq!((shown.outage_ms, shown.outcome.as_str(), shown.to_epoch), (400, "failed", 0));
}

/// The crash was seen 4 ms before the leader began; the new writer opens 185 ms after that.
fn fail_over(state: &mut ClusterState) {
    let operation = OperationId("op1".into());
    let step = |at_ms, node: &str, word: &str, detail: &str| Change::Journal {
        operation: operation.clone(),
        step: Step { at_ms, node: name(node), name: word.into(), detail: detail.into() },
    };
    apply(state, begin());
    apply(state, step(NOW_MS - 4, "db1", "exited", "mysqld (pid 4123): signal 9"));
    apply_at(state, NOW_MS + 9, grant("db2"));
    apply_at(state, NOW_MS + 185, Change::Opened { epoch: Epoch(2) });
    apply_at(state, NOW_MS + 192, step(NOW_MS + 192, "db2", "route", "2 of 2 proxies"));
    let ended = NOW_MS + Duration::from_secs(2).as_millis() as i64;
    apply_at(state, ended, Change::End { operation, ending: Ending::Done });
}
