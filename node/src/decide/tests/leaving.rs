//! Who leaves the list of ackers, whatever the order in which the nodes are heard.

use super::*;
use crate::decide::leaving::waits_until;
use crate::decide::seen::Left;
use crate::decide::upkeep::{Upkeep, upkeep};
use crate::state::{LeavesFor, Maintenance};

/// From one report to the next, whosever it is; all are sent with a pulse that is [`PULSE_MS`] old.
const STEP_MS: u64 = 60;
const PULSE_MS: u64 = 50;
/// Both ways in which three nodes that report equally often can follow one another.
const ORDERS: [[&str; 3]; 2] = [["db2", "db1", "db3"], ["db2", "db3", "db1"]];

fn maintained(state: &mut ClusterState, node: &str) {
    let word = forced().unwrap();
    state.maintenance.insert(name(node), Maintenance { until_ms: 10, since_ms: 0, word });
}

fn left(received: GtidSet) -> Option<Left> {
    Some(Left { epoch: Epoch(1), cause: LeavesFor::Maintenance, received })
}

/// db2 in maintenance, its receiver stopped.
fn stopped(state: &mut ClusterState, seen: &mut Seen) {
    maintained(state, "db2");
    (seen.pulse("db2").acks, seen.channel("db2").io_running) = (false, false);
}

/// The list that is due once the nodes have reported in this order again and again, with a write between any two reports.
/// It is looked for after each report. `change` says what db2 reports all the time.
fn due(order: [&str; 3], change: fn(&mut ClusterState, &mut Seen)) -> Option<BTreeSet<NodeName>> {
    let mut state = cluster("db1 db2 db3 app1");
    let mut seen = Seen::healthy(&state, &my("1:1-9"));
    change(&mut state, &mut seen);
    // When each was heard last, and before that.
    let mut heard: BTreeMap<&str, (u64, Option<u64>)> = BTreeMap::new();
    for (step, node) in (0..100_u64).zip(order.into_iter().cycle()) {
        let now = step * STEP_MS;
        let last = heard.get(node).map(|(at, _)| *at);
        heard.insert(node, (now, last));
        let said = seen.pulse(node).clone();
        seen.before.insert(name(node), (said, ms(0)));
        let committed = my(&format!("1:1-{}", 10 + step));
        match node {
            "db1" => seen.pulse("db1").executed = committed,
            "db3" => seen.pulse("db3").received = committed,
            _ => {}
        }
        for (node, (at, before)) in &heard {
            seen.unheard(node, now - at);
            if let Some(before) = before {
                seen.before.entry(name(node)).and_modify(|(_, age)| *age = ms(now - before + PULSE_MS));
            } else {
                seen.before.remove(&name(node));
            }
        }
        if seen.own("db2").is_gone() {
            seen.gone_for.insert(name("db2"), ms(now));
        }
        let upkeep = upkeep(&state, &seen.look(), &name("app1")).filter(|_| heard.len() == order.len());
        if let Some(Upkeep::Ackers { ackers, .. }) = upkeep {
            return Some(ackers);
        }
    }
    None
}

/// db2 stops, db3 is heard, then the writer: the writer's set has one more than db3's, and the next that is heard of db3
/// comes after the next of db2. So the writer's set is never both younger than db2's word and older than db3's.
#[test]
fn an_acker_that_says_it_has_left_leaves_in_whatever_order_the_nodes_are_heard() {
    for order in ORDERS {
        let leaves = due(order, |state, seen| {
            stopped(state, seen);
            seen.own("db2").guard.left = left(my("1:1-9"));
        });
        assert_eq!(leaves, Some(names("db3")), "{order:?}");
    }
    for order in ORDERS {
        assert_eq!(due(order, stopped), Some(names("db3")), "{order:?}, of a run that it cannot speak for");
    }
}

#[test]
fn an_acker_whose_server_is_gone_leaves_in_whatever_order_the_nodes_are_heard() {
    for order in ORDERS {
        assert_eq!(due(order, |_, seen| seen.gone("db2", 10_000)), Some(names("db3")), "{order:?}");
    }
}

/// What its node said last of it may be over: a server that is started again acknowledges, whoever hears of that.
#[test]
fn an_acker_whose_node_has_fallen_silent_is_not_gone_by_its_last_word() {
    let state = cluster("db1 db2 db3 app1");
    let due = |unheard_ms: u64| {
        let mut seen = Seen::healthy(&state, &my("1:1-9"));
        seen.gone("db2", 10_000);
        seen.unheard("db2", unheard_ms);
        upkeep(&state, &seen.look(), &name("app1"))
    };
    assert!(matches!(due(900), Some(Upkeep::Ackers { .. })));
    assert_eq!(due(4_000), None);
}

#[test]
fn an_acker_of_another_source_leaves_in_whatever_order_the_nodes_are_heard() {
    for order in ORDERS {
        let strays = due(order, |_, seen| {
            *seen.pulse("db2") = Pulse { acks: false, ..follows("db9", &my("1:1-9")) };
        });
        assert_eq!(strays, Some(names("db3")), "{order:?}");
    }
}

/// What is due once db2 has said that it has left. The writer's set is older than its word, and says nothing of it.
fn after(change: impl FnOnce(&mut ClusterState, &mut Seen)) -> (Option<Upkeep>, Option<String>) {
    let mut state = cluster("db1 db2 db3 app1");
    let mut seen = Seen::healthy(&state, &my("1:1-9"));
    stopped(&mut state, &mut seen);
    seen.own("db2").guard.left = left(my("1:1-9"));
    seen.unheard("db1", 300);
    change(&mut state, &mut seen);
    let seen = seen.look();
    (upkeep(&state, &seen, &name("app1")), waits_until(&state, &seen, &name("db2")))
}

#[test]
fn the_word_of_one_that_left_counts_for_what_it_is() {
    let (due, waits) = after(|_, _| ());
    assert!(matches!(due, Some(Upkeep::Ackers { ackers, .. }) if ackers == names("db3")));
    assert_eq!(waits, None);
    type Change = fn(&mut ClusterState, &mut Seen);
    let stopped = "db2 has stopped receiving";
    let covered = "db3 acknowledges and has all that it had";
    let not: [(&str, Change, &str); 9] = [
        ("it says nothing", |_, seen| seen.own("db2").guard.left = None, stopped),
        ("of another epoch", |state, _| state.grant.as_mut().unwrap().epoch = Epoch(2), stopped),
        (
            "for another reason",
            |state, _| state.members.get_mut(&name("db2")).unwrap().excluded = true,
            stopped,
        ),
        ("its maintenance is over", |state, _| state.maintenance.clear(), stopped),
        ("it receives again", |_, seen| seen.channel("db2").io_running = true, stopped),
        ("it had more before", |_, seen| seen.pulse("db2").received = my("1:1-10"), stopped),
        ("it is not heard", |_, seen| seen.unheard("db2", 1500), "db2's node is heard"),
        ("the other lacks one", |_, seen| seen.pulse("db3").received = my("1:1-8"), covered),
        ("the other does not acknowledge", |_, seen| seen.pulse("db3").acks = false, covered),
    ];
    for (what, change, until) in not {
        let (due, waits) = after(change);
        assert_eq!(due, None, "{what}");
        assert_eq!(waits.as_deref(), Some(until), "{what}");
    }
}

/// MariaDB throws away what it has not applied when it is started: what it had acknowledged is not in its word any more.
#[test]
fn the_word_of_another_run_of_the_server_does_not_count() {
    let due = |began_ms: i64| {
        let mut state = cluster("db1 db2 db3 app1");
        let mut seen = Seen::healthy(&state, &maria("0-1-9"));
        stopped(&mut state, &mut seen);
        for node in ["db2", "db3"] {
            // Both have been up for a minute.
            seen.reports.get_mut(&name(node)).unwrap().0.wall_ms = 1_000_000;
            state.vouched.insert(name(node), 1_000_000 - 60_050);
        }
        state.vouched.insert(name("db2"), began_ms);
        seen.own("db2").guard.left = left(maria("0-1-9"));
        seen.unheard("db1", 300);
        // One that it cannot be vouched for by.
        seen.pulse("db1").executed = maria("0-1-10");
        upkeep(&state, &seen.look(), &name("app1"))
    };
    assert!(matches!(due(1_000_000 - 60_050), Some(Upkeep::Ackers { .. })));
    assert_eq!(due(1_000_000 - 90_000), None);
}
