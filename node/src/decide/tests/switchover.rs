//! Whether a healthy writer can be moved, to whom, and what the next epoch says.

use super::super::seen::LintFinding;
use super::super::switchover::{
    Due, EventScheduler, Inspected, Lock, Measured, Preflight, Transaction, Wish, due, next_grant, preflight,
};
use super::super::tried::{Disk, Tried};
use super::*;
use crate::decide::finding::Level;
use crate::state::{
    Appointment, BackupKind, BackupTask, BackupWork, DegradeReason, Member, OperationId, Out, OutReason,
    Pause, Planned, Proof, ProofKind,
};

fn measured() -> Measured {
    let looked_at = Some(Inspected::default());
    Measured {
        lag: Some(ms(3)),
        asked: true,
        extra: Some(my("")),
        writer: looked_at.clone(),
        target: looked_at,
        pause: None,
    }
}

fn found(to: Option<&str>, asked: &Measured, change: impl FnOnce(&mut ClusterState, &mut Seen)) -> Preflight {
    let mut state = cluster("db1 db2 db3 app1");
    let mut seen = Seen::healthy(&state, &my("1:1-9"));
    change(&mut state, &mut seen);
    let wish = Wish { to: to.map(name), ..Wish::default() };
    preflight(&state, &seen.look(), &wish, asked, 1_000)
}

fn stops(found: &Preflight) -> Vec<String> {
    found.findings.iter().filter(|f| f.level == Level::Error).map(|f| f.what.clone()).collect()
}

#[test]
fn a_healthy_cluster_moves_its_writer_to_the_best_replica() {
    let all_well = found(None, &measured(), |_, _| {});
    assert!(!all_well.is_refused(), "{all_well:#?}");
    assert_eq!((all_well.from, all_well.to), (Some(name("db1")), Some(name("db2"))));
    let preferred = found(None, &measured(), |state, _| {
        state.members.get_mut(&name("db3")).unwrap().priority = 10;
    });
    assert_eq!(preferred.to, Some(name("db3")));
    let unfit = found(None, &measured(), |_, seen| seen.channel("db2").io_running = false);
    assert_eq!(unfit.to, Some(name("db3")), "the best that is fit");
    let named = found(Some("db3"), &measured(), |_, _| {});
    assert_eq!(named.to, Some(name("db3")));
}

#[test]
fn each_thing_that_stands_in_the_way_is_named() {
    type Change = fn(&mut ClusterState, &mut Seen);
    let cases: [(&str, Change, &str); 16] = [
        ("db1", |_, _| {}, "is the writer already"),
        ("db9", |_, _| {}, "is not a member"),
        ("app1", |_, _| {}, "is a witness"),
        (
            "db2",
            |state, _| {
                state.ackers.remove(&name("db2"));
                state.out.insert(name("db2"), Out { reason: OutReason::Maintenance, since_ms: 0 });
            },
            "is out: maintenance",
        ),
        ("db2", |state, _| state.members.get_mut(&name("db2")).unwrap().excluded = true, "is excluded"),
        ("db2", |_, seen| seen.unheard("db2", 2_000), "its node does not answer"),
        ("db2", |_, seen| seen.gone("db2", 50), "its server is down"),
        ("db2", |_, seen| seen.channel("db2").delayed = true, "is a delayed replica"),
        ("db2", |_, seen| seen.channel("db2").sql_running = false, "its applier has stopped"),
        ("db2", |_, seen| seen.channel("db2").received_ago = Some(ms(3_000)), "its receiver has stopped"),
        ("db2", |_, seen| seen.channel("db2").source = "db3:3306".into(), "does not replicate from db1"),
        ("db2", |_, seen| seen.own("db2").guard.keeper = false, "its keeper may not end the server"),
        (
            "db2",
            |_, seen| seen.own("db2").about.as_mut().unwrap().number = (9, 6, 0),
            "older than the writer's",
        ),
        (
            "db2",
            |_, seen| {
                let finding = LintFinding {
                    error: true,
                    what: "no GTID".into(),
                    mend: "gtid_mode".into(),
                    mend_here: None,
                };
                seen.own("db2").about.as_mut().unwrap().findings = vec![finding];
            },
            "no GTID",
        ),
        ("db2", |state, _| state.durability = degraded(None), "is not lossless"),
        (
            "db2",
            |state, _| {
                state.pause = Some(Pause { until_ms: 2_000, by: "ada".into(), reason: "work".into() });
            },
            "ada has paused Baton",
        ),
    ];
    for (to, change, why) in cases {
        let found = found(Some(to), &measured(), change);
        assert!(found.is_refused(), "{why}");
        let stops = stops(&found);
        assert!(stops.iter().any(|s| s.contains(why)), "{why}: {stops:?}");
        let mends = found.findings.iter().filter(|f| f.level == Level::Error).all(|f| !f.mend.is_empty());
        assert!(mends, "each names its mend: {found:#?}");
    }
    let full = found(Some("db2"), &measured(), |_, seen| {
        let disk = Disk { free: 1 << 20, size: 1 << 40, read_only: false };
        let tried = Tried { disk: Some(disk), ..Tried::default() };
        seen.reports.get_mut(&name("db2")).unwrap().0.tried = Some(tried);
    });
    assert!(stops(&full).iter().any(|s| s.contains("disk")), "{full:#?}");
}

#[test]
fn a_writer_that_is_lost_or_moving_is_no_planned_matter() {
    let lost = found(None, &measured(), |_, seen| seen.gone("db1", 50));
    assert!(stops(&lost).iter().any(|s| s.contains("WriterCrashed")), "{lost:#?}");
    let moving = found(None, &measured(), |state, _| state.operation = Some(failover("WriterCrashed")));
    assert!(stops(&moving).iter().any(|s| s.contains("a failover is under way")), "{moving:#?}");
    let unopened = found(None, &measured(), |state, _| state.grant.as_mut().unwrap().opened_ms = None);
    assert!(unopened.is_refused());
}

#[test]
fn its_own_operation_is_no_reason_against_it() {
    let mut state = cluster("db1 db2 db3");
    let own = Operation { kind: OperationKind::Switchover, ..failover("asked for by ada") };
    let running = Some(own.id.clone());
    state.operation = Some(own);
    let seen = Seen::healthy(&state, &my("1:1-9")).look();
    let wish = Wish { to: Some(name("db2")), running, ..Wish::default() };
    assert!(!preflight(&state, &seen, &wish, &Measured::default(), 0).is_refused());
    let another = Wish { running: None, ..wish };
    assert!(preflight(&state, &seen, &another, &Measured::default(), 0).is_refused());
}

#[test]
fn lag_waits_or_stops_and_a_set_of_its_own_stops() {
    let lags = |lag| found(Some("db2"), &Measured { lag, ..measured() }, |_, _| {});
    assert!(lags(Some(ms(50))).findings.iter().all(|f| f.level == Level::Ok));
    let waits = lags(Some(ms(400)));
    assert!(!waits.is_refused() && waits.findings[0].level == Level::Warning, "{waits:#?}");
    assert!(stops(&lags(None)).iter().any(|s| s.starts_with("lags")));
    let extra = Measured { extra: Some(my("2:1")), ..measured() };
    assert!(
        stops(&found(Some("db2"), &extra, |_, _| {}))
            .iter()
            .any(|s| s.contains("1 transaction that db1 lacks"))
    );
}

#[test]
fn long_transactions_are_named_and_stop_nothing() {
    let account = || "app@10.0.0.9".to_owned();
    let one = |id, statement: &str| Transaction {
        id,
        account: account(),
        age: ms(34_000),
        statement: statement.into(),
        rows_locked: 3,
    };
    let lock = Lock { id: 8, account: account(), age: ms(5_000), tables: vec!["app.orders".into()] };
    let writer =
        Inspected { long: vec![one(7, ""), one(8, "SELECT 1")], locks: vec![lock], ..Inspected::default() };
    let found = found(None, &Measured { writer: Some(writer), ..measured() }, |_, _| {});
    assert!(!found.is_refused());
    let what: Vec<&str> = found.findings.iter().map(|f| f.what.as_str()).collect();
    assert_eq!(
        what[..2],
        [
            "session 8, app@10.0.0.9, has held a lock on app.orders for 5 s",
            "transaction of session 7, app@10.0.0.9, open for 34 s, 3 rows locked: idle"
        ],
        "a session is named once"
    );
}

#[test]
fn what_replication_leaves_out_stops_it_and_events_are_named() {
    let with = |writer: Inspected, target: Inspected| {
        let asked = Measured { writer: Some(writer), target: Some(target), ..measured() };
        found(Some("db2"), &asked, |_, _| {})
    };
    let filtered = || Inspected { binlog_filters: vec!["binlog_do_db=app".into()], ..Inspected::default() };
    let of_writer = with(filtered(), Inspected::default());
    assert!(stops(&of_writer).iter().any(|s| s.contains("does not pass on everything: binlog_do_db=app")));
    let replica =
        || Inspected { replica_filters: vec!["replicate_do_db=app".into()], ..Inspected::default() };
    let of_target = with(Inspected::default(), replica());
    assert!(stops(&of_target).iter().any(|s| s.contains("leaves out what it should have: replicate_do_db")));
    assert!(!with(replica(), Inspected::default()).is_refused(), "the old writer's concern");
    let events = |on, visible| {
        let events = EventScheduler { on, enabled: 2, visible };
        with(Inspected { events, ..Inspected::default() }, Inspected::default())
    };
    let ends =
        |f: &crate::decide::finding::Finding| f.what == "runs 2 events, which end when the writer moves";
    assert!(events(true, true).findings.iter().any(|f| f.level == Level::Warning && ends(f)));
    let inspected =
        Inspected { events: EventScheduler { on: true, enabled: 2, visible: true }, ..Inspected::default() };
    let follow = found(None, &Measured { writer: Some(inspected), ..measured() }, |state, _| {
        state.events.epoch = state.epoch();
    });
    assert!(follow.findings.iter().any(|f| f.level == Level::Ok && f.what == "runs 2 events"));
    assert!(events(true, false).findings.iter().any(|f| f.mend.contains("EVENT")));
    let silent = found(Some("db2"), &Measured { writer: None, ..measured() }, |_, _| {});
    assert!(!silent.is_refused() && silent.findings[0].what.contains("has not said who holds locks"));
}

#[test]
fn an_appointment_is_begun_at_its_time_waits_a_little_and_is_refused_with_the_reason() {
    let appointment = Appointment {
        operation: OperationId("later".into()),
        at_ms: 60_000,
        to: None,
        planned: Planned { max_pause_ms: 500, kill_blockers: false },
        by: "ada".into(),
    };
    let well = found(None, &measured(), |_, _| {});
    let ill = found(None, &measured(), |_, seen| seen.gone("db1", 50));
    let long = ms(3_600_000);
    let at = |found: &Preflight, now_ms, leading| due(&appointment, found, now_ms, leading);
    assert_eq!(at(&well, 59_999, long), Due::NotYet);
    assert_eq!(at(&well, 60_000, long), Due::Begin(name("db2")));
    assert_eq!(at(&ill, 69_999, long), Due::Wait);
    let Due::Refuse(why) = at(&ill, 70_000, long) else { panic!() };
    assert!(why.contains("WriterCrashed"), "{why}");
    assert_eq!(at(&ill, 90_000, ms(500)), Due::Wait, "a new leader has not heard everybody");
    assert_eq!(at(&well, 300_000, ms(500)), Due::Begin(name("db2")));
    let Due::Refuse(why) = at(&well, 400_000, ms(500)) else { panic!() };
    assert!(why.contains("5 min ago"), "{why}");
}

#[test]
fn without_an_acker_for_the_next_writer_nothing_moves() {
    let alone = |change: fn(&mut Seen)| {
        let mut state = cluster("db1 db2 app1");
        state.members.insert(name("db2"), Member { ..state.members[&name("db2")].clone() });
        let mut seen = Seen::healthy(&state, &my("1:1-9"));
        change(&mut seen);
        preflight(&state, &seen.look(), &Wish::default(), &measured(), 0)
    };
    assert!(!alone(|_| {}).is_refused(), "the old writer is one");
    let unsound = alone(|seen| {
        let finding = LintFinding {
            error: true,
            what: "relay_log_recovery".into(),
            mend: "OFF".into(),
            mend_here: None,
        };
        seen.own("db1").about.as_mut().unwrap().findings = vec![finding];
    });
    assert!(stops(&unsound).iter().any(|s| s.contains("has 0 of the 1 ackers")), "{unsound:#?}");
}

#[test]
fn the_next_epoch_has_the_old_writer_among_its_ackers_and_commits_that_wait() {
    let mut state = cluster("db1 db2 db3");
    let seen = Seen::healthy(&state, &my("1:1-9")).look();
    let operation = Operation { kind: OperationKind::Switchover, ..failover("asked for by ada") };
    let proof = Proof { kind: ProofKind::Closed, detail: String::new() };
    let next = next_grant(&state, &seen, &operation, &name("db2"), &my("1:1-9"), proof.clone());
    assert_eq!(next.ackers, [name("db1"), name("db3")].into());
    let Durability::Degraded { reason, upto, may_let_go, .. } = next.durability else { panic!() };
    assert_eq!((reason, upto, may_let_go), (DegradeReason::NewEpoch, Some(my("1:1-9")), false));

    let undone = next_grant(&state, &seen, &operation, &name("db1"), &my("1:1-9"), proof.clone());
    assert_eq!(undone.ackers, [name("db2"), name("db3")].into(), "as before");

    state.ackers.clear();
    let mut seen = Seen::healthy(&state, &my("1:1-9"));
    seen.own("db1").about = None;
    let alone = next_grant(&state, &seen.look(), &operation, &name("db2"), &my("1:1-9"), proof);
    let Durability::Degraded { reason, may_let_go, .. } = alone.durability else { panic!() };
    assert_eq!((reason, may_let_go), (DegradeReason::NoAcker, true), "nobody is waited for who is not there");
}

#[test]
fn a_backup_under_way_is_named() {
    let told = |node: &str, at_writer| {
        let all = found(Some("db2"), &measured(), |state, _| {
            let work =
                BackupWork::Make { backup: "b".into(), kind: BackupKind::Full, at_writer, full_speed: false };
            let (id, by) = (OperationId("t".into()), "ann".to_owned());
            let task = BackupTask { id, node: name(node), work, by, started_ms: 0, begun: true, slot: None };
            state.backups.task = Some(task);
        });
        assert!(!all.is_refused(), "{all:#?}");
        let of_backup = all.findings.iter().find(|f| f.what.starts_with("a backup of it is under way: it "));
        of_backup.map(|f| f.what.clone()).unwrap_or_default()
    };
    assert!(told("db2", false).contains("ends when it becomes the writer"));
    assert!(told("db2", true).contains("goes on while"));
    assert!(told("db1", true).ends_with("goes on"));
    assert_eq!(told("db3", false), "");
}
