//! Settings change as a whole, by whoever saw the ones before.

use super::*;

fn configure(seen: u64, change: impl FnOnce(&mut Safety)) -> Change {
    let mut safety = Safety::default();
    change(&mut safety);
    let (placements, by, what) = (BTreeMap::new(), "me".into(), "lease_ttl".into());
    Change::Configure { seen, safety, placements, by, what }
}

#[test]
fn what_an_operator_did_not_see_is_not_overwritten() {
    let mut log = Log::adopted();
    let seen = log.state.safety_index;
    log.does(configure(seen, |s| s.lease_ttl_ms = 3000)).unwrap();
    assert_eq!(log.state.safety.lease_ttl_ms, 3000);
    assert_eq!(log.does(configure(seen, |s| s.lease_ttl_ms = 2000)), Err(Refusal::SettingsChanged));
    assert_eq!(log.state.decisions.back().unwrap().why, "me: lease_ttl");
}

#[test]
fn a_lease_that_was_shortened_is_remembered() {
    let mut log = Log::adopted();
    for ms in [15_000, 1000, 2000] {
        log.does(configure(log.state.safety_index, |s| s.lease_ttl_ms = ms)).unwrap();
    }
    assert_eq!(log.state.longest_lease(), Duration::from_secs(15));
    assert_eq!(log.state.safety.lease_ttl(), Duration::from_secs(2));
}

#[test]
fn how_many_ackers_a_commit_waits_for_changes_only_while_nothing_rests_on_it() {
    let mut log = Log::adopted();
    let two = |log: &Log| configure(log.state.safety_index, |s| s.wait_count = 2);
    assert_eq!(log.does(two(&log)), Err(Refusal::WaitCountInUse));
    let word = Forced { by: "me".into(), reason: "settings".into() };
    log.does(Change::Release { operation: id("r"), word }).unwrap();
    log.does(two(&log)).unwrap();
    assert_eq!(log.state.safety.wait_count, 2);
}

#[test]
fn the_leaders_own_values_stay() {
    let mut log = Log::adopted();
    let live = Live { automatic: false, ..Live::default() };
    log.does(Change::Live(live)).unwrap();
    log.does(configure(log.state.safety_index, |s| s.drift = 0.01)).unwrap();
    assert_eq!((log.state.safety.live, log.state.safety.drift), (live, 0.01));
}

#[test]
fn a_file_places_members_and_nobody_else() {
    let mut log = Log::formed();
    let mut place = |node: &str| {
        let Change::Configure { seen, safety, by, what, .. } = configure(log.state.safety_index, |_| ())
        else {
            unreachable!()
        };
        let placement = Placement { zone: Some("north".into()), priority: 7 };
        let placements = BTreeMap::from([(name(node), placement)]);
        log.does(Change::Configure { seen, safety, placements, by, what })
    };
    assert_eq!(place("db9"), Err(Refusal::NoSuchNode(name("db9"))));
    place("db2").unwrap();
    let db2 = &log.state.members[&name("db2")];
    assert_eq!((db2.zone.as_deref(), db2.priority, db2.server.as_deref()), (Some("north"), 7, Some("b")));
}
