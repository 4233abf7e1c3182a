//! Ackers that restarted.

use super::*;
use crate::decide::choose::{Held, choose};
use crate::decide::upkeep::{Upkeep, upkeep};
use crate::decide::vouched::{began, may_have_lost};
use crate::state::{Durability, Loss};

/// The hosts' clocks.
const NOW: i64 = 1_000_000_000;

/// db2 and db3 follow db1, on MariaDB; both began to run a minute ago and are vouched for.
fn vouched() -> (ClusterState, Seen) {
    let mut state = cluster("db1 db2 db3 app1");
    let mut seen = Seen::healthy(&state, &maria("0-1-9"));
    for node in ["db2", "db3"] {
        seen.reports.get_mut(&name(node)).unwrap().0.wall_ms = NOW;
        state.vouched.insert(name(node), NOW - 60_050);
    }
    (state, seen)
}

fn due(change: impl FnOnce(&mut ClusterState, &mut Seen)) -> Option<Upkeep> {
    let (mut state, mut seen) = vouched();
    change(&mut state, &mut seen);
    upkeep(&state, &seen.look(), &name("app1"))
}

/// db2's server has been up for so long.
fn up(seen: &mut Seen, seconds: u64) {
    seen.pulse("db2").uptime = Duration::from_secs(seconds);
}

fn db2(seconds: u64) -> Option<Upkeep> {
    let began_ms = NOW - 50 - i64::try_from(seconds).unwrap() * 1000;
    Some(Upkeep::Vouch { node: name("db2"), began_ms })
}

#[test]
fn an_acker_that_restarted_is_vouched_for_again_when_it_has_all_that_the_writer_had_since() {
    assert_eq!(due(|_, _| ()), None);
    assert_eq!(due(|_, seen| up(seen, 4)), db2(4));
    assert_eq!(due(|_, seen| up(seen, 2)), None, "the next run could not be told from this one");
    let lacks = |_: &mut ClusterState, seen: &mut Seen| {
        up(seen, 4);
        seen.pulse("db2").received = maria("0-1-8");
    };
    assert_eq!(due(lacks), None, "it lacks what it may have acknowledged");
    let early = |_: &mut ClusterState, seen: &mut Seen| {
        up(seen, 3);
        seen.own("db1").pulse_age = ms(800);
    };
    assert_eq!(due(early), None, "the writer's set may be from before it restarted");
    let elsewhere = |_: &mut ClusterState, seen: &mut Seen| {
        up(seen, 4);
        seen.channel("db2").source = "db9:3306".into();
    };
    assert_eq!(due(elsewhere), None);
}

#[test]
fn a_replica_is_vouched_for_before_it_is_listed() {
    let unlisted = |state: &mut ClusterState, seen: &mut Seen| {
        state.ackers = names("db3");
        up(seen, 4);
        seen.pulse("db2").received = maria("0-1-8");
    };
    assert_eq!(due(unlisted), db2(4), "it has acknowledged nothing that counts");
    let listed = due(|state, _| state.ackers = names("db3"));
    assert!(matches!(listed, Some(Upkeep::Ackers { .. })), "{listed:?}");
    let young = |state: &mut ClusterState, seen: &mut Seen| {
        state.ackers = names("db3");
        up(seen, 1);
    };
    assert_eq!(due(young), None, "not listed before");
}

#[test]
fn a_run_is_known_by_its_beginning() {
    let (state, _) = vouched();
    let lost = |began| may_have_lost(&state, &name("db2"), Dialect::Mariadb, began);
    assert!(!lost(Some(NOW - 60_050)) && !lost(Some(NOW - 59_000)) && !lost(Some(NOW - 61_000)));
    assert!(lost(Some(NOW - 10_000)) && lost(None));
    assert!(!may_have_lost(&state, &name("db2"), Dialect::Mysql, Some(NOW)), "its relay log stays");
    let nothing = |began| may_have_lost(&state, &name("db9"), Dialect::Mariadb, began);
    assert!(nothing(Some(NOW)), "listed, and never vouched for");
    assert!(!nothing(None), "of before there was a record");
    let at = |now| began(now, ms(300), Duration::from_secs(5));
    assert_eq!(at(NOW), NOW - 5_300);
}

#[test]
fn an_acker_that_restarted_has_not_answered() {
    let (mut state, seen) = vouched();
    state.durability = Durability::Lossless { since_ms: 0 };
    state.revoked_through = Epoch(1);
    let answers = [has("db2", maria("0-1-9")), has("db3", maria("0-1-9"))];
    let chosen = choose(&state, &failover("WriterCrashed"), &seen.look(), &answers).unwrap();
    assert_eq!(chosen.loss, Loss::None { proven_by: list("db2 db3") });
    let restarted = [answers[0].clone(), Answer { restarted: true, ..answers[1].clone() }];
    let held = choose(&state, &failover("WriterCrashed"), &seen.look(), &restarted);
    assert_eq!(held.unwrap_err(), Held::AckersMissing(list("db3")));
}
