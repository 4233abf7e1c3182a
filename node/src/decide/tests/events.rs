//! Events follow the writer.

use super::*;
use crate::decide::events::{Event, EventsDue, due};
use crate::state::{EventName, Events};

fn named(name: &str) -> EventName {
    EventName { schema: "app".into(), name: name.into() }
}

fn event(name: &str, enabled: bool, from_elsewhere: bool) -> Event {
    Event { name: named(name), enabled, from_elsewhere }
}

fn known(epoch: u64, enabled: &str) -> Events {
    Events { epoch: Epoch(epoch), enabled: enabled.split_whitespace().map(named).collect() }
}

fn at(node: &str, known: Events, seen: &[Event], given_up: &str) -> Option<EventsDue> {
    let mut state = cluster("db1 db2 db3");
    state.events = known;
    due(&state, &name(node), seen, &given_up.split_whitespace().map(named).collect())
}

#[test]
fn what_ran_at_the_last_writer_is_enabled_at_the_new_one_and_nothing_else() {
    // As a replica has them: whether they ran at their source does not show.
    let seen = [event("ran", false, true), event("rested", false, true), event("own", false, false)];
    let due = at("db1", known(0, "ran own gone"), &seen, "");
    assert_eq!(due, Some(EventsDue::Enable([named("ran")].into())), "one that is disabled by hand stays so");
    let done = [event("ran", true, false), event("rested", false, true), event("own", false, false)];
    assert_eq!(at("db1", known(0, "ran own"), &done, ""), Some(EventsDue::Record(known(1, "ran"))));
    assert_eq!(at("db1", known(1, "ran"), &done, ""), None);
    assert_eq!(at("db1", known(0, "ran"), &seen, "ran"), Some(EventsDue::Record(known(1, ""))), "given up");
}

#[test]
fn the_writers_node_alone_keeps_the_record() {
    let seen = [event("new", true, false)];
    assert_eq!(at("db2", known(1, ""), &seen, ""), None);
    assert_eq!(at("db1", known(1, ""), &seen, ""), Some(EventsDue::Record(known(1, "new"))));
    assert_eq!(at("db1", known(0, ""), &[event("off", false, false)], ""), None, "nothing runs anywhere");
    let by_hand = [event("new", false, true)];
    assert_eq!(
        at("db1", known(1, "new"), &by_hand, ""),
        Some(EventsDue::Record(known(1, ""))),
        "within an epoch"
    );
}
