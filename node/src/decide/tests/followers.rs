//! What becomes of a server without a node.

use super::super::followers::{Next, Said, foreign, next};
use super::*;

fn follows_db(number: u32) -> Said {
    Said {
        open: false,
        source: Some(format!("db{number}:3306")),
        runs: true,
        stopped_by_hand: false,
        behind: Some(ms(0)),
        acks: false,
        error: None,
    }
}

#[test]
fn one_that_follows_the_writer_is_left_and_one_that_follows_another_is_pointed_at_it() {
    let state = cluster("db1 db2 app1");
    assert_eq!(next(&state, &follows_db(1)), Next::Leave);
    assert_eq!(next(&state, &follows_db(2)), Next::Follow(Epoch(1), "db1:3306".into()));
}

#[test]
fn nothing_is_done_before_there_is_a_writer_and_the_others_come_first() {
    let mut state = cluster("db1 db2 app1");
    state.operation = Some(failover("WriterCrashed"));
    assert_eq!(next(&state, &follows_db(2)), Next::Leave);
    let mut state = cluster("db1 db2 app1");
    state.grant.as_mut().unwrap().opened_ms = None;
    assert_eq!(next(&state, &follows_db(2)), Next::Leave);
    let mut state = cluster("db1 db2 app1");
    state.phase = Phase::Observing;
    assert_eq!(next(&state, &follows_db(2)), Next::Leave);
}

#[test]
fn what_people_did_is_left_and_told() {
    let state = cluster("db1 db2 app1");
    type Spoil = fn(&mut Said);
    let cases: [(Spoil, &str); 4] = [
        (|s| s.source = None, "does not replicate"),
        (|s| (s.stopped_by_hand, s.runs) = (true, false), "was stopped by hand"),
        (|s| s.open = true, "set read_only"),
        (|s| (s.source, s.error) = (Some("db1:3306".into()), Some("1062: duplicate".into())), "1062"),
    ];
    for (spoil, why) in cases {
        let mut said = follows_db(2);
        spoil(&mut said);
        let Next::Told(told) = next(&state, &said) else { panic!("{why}") };
        assert!(told.contains(why), "{told}");
    }
}

#[test]
fn one_that_acknowledges_is_told_to_stop_that_first() {
    let state = cluster("db1 db2 app1");
    for source in [1, 2] {
        assert_eq!(next(&state, &Said { acks: true, ..follows_db(source) }), Next::AckNothing);
    }
}

#[test]
fn its_own_writes_are_its_own_affair_and_others_are_not() {
    let writer = my("1:1-9");
    assert_eq!(foreign(&my("1:1-5 4:1-3"), Some(&uuid(4)), &writer), Some(my("")));
    assert_eq!(foreign(&my("1:1-5 3:7 4:1-3"), Some(&uuid(4)), &writer), Some(my("3:7")));
    assert_eq!(foreign(&my("1:1-10"), Some(&uuid(4)), &writer), Some(my("1:10")));
}
