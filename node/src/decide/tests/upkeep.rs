//! What a cluster with a serving writer still needs.

use super::*;
use crate::decide::upkeep::{Upkeep, upkeep};
use crate::state::{Forced, Maintenance, WithoutAckers};

/// What is due in a cluster of db1 (the writer), db2, db3 and app1, which leads, after this change.
fn after(change: impl FnOnce(&mut ClusterState, &mut Seen)) -> Option<Upkeep> {
    let mut state = cluster("db1 db2 db3 app1");
    let mut seen = Seen::healthy(&state, &my("1:1-9"));
    change(&mut state, &mut seen);
    upkeep(&state, &seen.look(), &name("app1"))
}

#[track_caller]
fn assert_ackers(upkeep: Option<Upkeep>, expected: &str) {
    assert!(
        matches!(&upkeep, Some(Upkeep::Ackers { ackers, .. }) if *ackers == names(expected)),
        "{upkeep:?}"
    );
}

#[test]
fn a_healthy_cluster_needs_nothing() {
    assert_eq!(after(|_, _| ()), None);
    assert_eq!(after(|state, _| state.revoked_through = Epoch(1)), None, "an operation is under way");
}

/// What a group was recovered without is nobody's to write to.
#[test]
fn an_open_server_that_was_left_behind_is_closed() {
    let found = |open| {
        after(|state, seen| {
            state.left_behind.insert(name("db4"), Member { server: Some("x".into()), ..Member::default() });
            seen.probe("db3", "db4", answered(open));
        })
    };
    assert_eq!(found(false), None);
    assert_eq!(found(true), Some(Upkeep::CloseLeftBehind(name("db4"))));
}

#[test]
fn it_degrades_at_once_for_dead_servers_and_after_a_while_for_silent_ones() {
    let dead = |seen: &mut Seen| {
        seen.gone("db2", 50);
        seen.gone("db3", 50);
    };
    assert_eq!(after(|_, seen| dead(seen)), Some(Upkeep::Degrade(DegradeReason::NoAcker)));
    assert_eq!(after(|_, seen| seen.short_for = Some(ms(1900))), None);
    let silent = after(|_, seen| seen.short_for = Some(ms(2000)));
    assert_eq!(silent, Some(Upkeep::Degrade(DegradeReason::AckersUnreachable)));
    assert_eq!(after(|_, seen| seen.gone("db2", 50)), None, "db3 still acknowledges");
    let block = after(|state, seen| {
        dead(seen);
        state.safety.without_ackers = WithoutAckers::Block;
    });
    assert_eq!(block, None, "policy: block");
    let unopened = after(|state, seen| {
        dead(seen);
        state.grant.as_mut().unwrap().opened_ms = None;
    });
    assert_eq!(unopened, None, "nothing waits yet");
    let again = after(|state, seen| {
        dead(seen);
        state.durability = degraded(None);
    });
    assert_eq!(again, None, "it has been let go already");
}

/// As when the ackers of an adopted writer still receive what they lack: the first trial to become lossless fails.
#[test]
fn a_writer_that_waits_before_anything_was_promised_is_let_go() {
    let unsure = |waits: bool, short_for| {
        after(|state, seen| {
            state.durability = Durability::Unknown;
            seen.pulse("db1").waits = waits;
            seen.short_for = Some(ms(short_for));
            for acker in ["db2", "db3"] {
                seen.pulse(acker).acks = false;
            }
        })
    };
    assert_eq!(unsure(true, 2000), Some(Upkeep::Degrade(DegradeReason::AckersUnreachable)));
    assert_eq!(unsure(true, 1900), None);
    assert_eq!(unsure(false, 60_000), None, "nobody waits");
}

#[test]
fn a_replica_becomes_an_acker_once_it_has_caught_up() {
    let unlisted = |state: &mut ClusterState, seen: &mut Seen| {
        state.ackers = names("db2");
        seen.pulse("db3").acks = false;
    };
    assert_ackers(after(unlisted), "db2 db3");
    type Change = fn(&mut ClusterState, &mut Seen);
    let not: [(&str, Change); 8] = [
        ("lags", |_, seen| seen.channel("db3").behind = Some(ms(6000))),
        ("unknown lag", |_, seen| seen.channel("db3").behind = None),
        ("delayed", |_, seen| seen.channel("db3").delayed = true),
        ("receives nothing", |_, seen| seen.channel("db3").received_ago = Some(ms(3000))),
        ("applies nothing", |_, seen| seen.channel("db3").sql_running = false),
        ("excluded", |state, _| state.members.get_mut(&name("db3")).unwrap().excluded = true),
        ("unheard", |_, seen| seen.unheard("db3", 1500)),
        // Its applier is idle, so its own estimate is nought; the backlog is still at the writer.
        ("has much to receive", |_, seen| {
            *seen.pulse("db1") = Pulse { ackers: 1, ..writes(&my("1:1-90000")) };
            seen.pulse("db2").received = my("1:1-90000");
        }),
    ];
    for (what, change) in not {
        let due = after(|state, seen| {
            unlisted(state, seen);
            change(state, seen);
        });
        assert_eq!(due, None, "{what}");
    }
}

/// It applies slower than the writer commits and receives everything: while nobody else acknowledges, that is enough.
#[test]
fn a_replica_that_lags_in_applying_becomes_an_acker_where_there_are_too_few() {
    let lags = after(|state, seen| {
        state.ackers = names("db2");
        seen.pulse("db3").acks = false;
        seen.channel("db3").behind = Some(ms(6000));
        seen.pulse("db2").acks = false;
        seen.channel("db2").io_running = false;
    });
    assert_ackers(lags, "db2 db3");
}

/// db2 may have acknowledged the newest write alone: it leaves only when db3 has all that the writer had after db2 died.
#[test]
fn a_dead_acker_leaves_once_the_others_have_all_that_it_had() {
    let gone = |seen: &mut Seen, for_ms| {
        seen.gone("db2", for_ms);
        seen.unheard("db1", 20);
    };
    assert_ackers(after(|_, seen| gone(seen, 4000)), "db3");
    let just_died = after(|_, seen| gone(seen, 500));
    assert_eq!(just_died, None, "the writer's set may be older than its death");
    let writers_word_is_older = after(|_, seen| {
        gone(seen, 4000);
        seen.unheard("db1", 300);
    });
    assert_eq!(writers_word_is_older, None);
    let db3_lacks_one = after(|_, seen| {
        gone(seen, 4000);
        seen.pulse("db3").received = my("1:1-8");
    });
    assert_eq!(db3_lacks_one, None);
    let of_two = after(|state, seen| {
        state.safety.wait_count = 2;
        state.durability = degraded(None);
        gone(seen, 4000);
    });
    assert_eq!(of_two, None, "a commit waits for two, and one would be left");
}

#[test]
fn an_acker_that_is_to_leave_does_so_once_its_receiver_has_stopped() {
    let leaves = |state: &mut ClusterState, seen: &mut Seen| {
        state.members.get_mut(&name("db2")).unwrap().excluded = true;
        (seen.pulse("db2").acks, seen.channel("db2").io_running) = (false, false);
        seen.unheard("db2", 100);
    };
    assert_ackers(after(leaves), "db3");
    type Change = fn(&mut ClusterState, &mut Seen);
    let not: [(&str, Change); 5] = [
        ("stays", |state, _| state.members.get_mut(&name("db2")).unwrap().excluded = false),
        ("still receives", |_, seen| seen.channel("db2").io_running = true),
        ("still acknowledges", |_, seen| seen.pulse("db2").acks = true),
        ("the writer's set may be older than its last word", |_, seen| seen.unheard("db1", 300)),
        ("the other lacks one", |_, seen| seen.pulse("db3").received = my("1:1-8")),
    ];
    for (what, change) in not {
        let due = after(|state, seen| {
            leaves(state, seen);
            change(state, seen);
        });
        assert_eq!(due, None, "{what}");
    }
}

#[test]
fn an_acker_whose_host_is_cut_off_for_long_leaves() {
    let cut = |seen: &mut Seen, for_ms| {
        seen.unheard("db2", for_ms);
        for by in ["db1", "db3", "app1"] {
            seen.probe(by, "db2", silent(for_ms, ProbeError::Silent));
        }
    };
    assert_ackers(after(|_, seen| cut(seen, 10_000)), "db3");
    assert_eq!(after(|_, seen| cut(seen, 9_000)), None);
    let answers_others = after(|_, seen| {
        cut(seen, 10_000);
        seen.probe("db1", "db2", answered(false));
    });
    assert_eq!(answers_others, None, "it may still acknowledge what the writer sends");
}

#[test]
fn a_server_with_extra_transactions_is_quarantined() {
    let strays =
        |seen: &mut Seen| *seen.pulse("db2") = Pulse { acks: false, ..follows("db9", &my("1:1-8 2:1")) };
    let extra = || my("2:1");
    let unlisted = after(|state, seen| {
        state.ackers = names("db3");
        strays(seen);
    });
    assert_eq!(unlisted, Some(Upkeep::Quarantine { node: name("db2"), extra: extra() }));
    // While it is an acker of a lossless cluster, the state refuses to take it out: it leaves the list first.
    assert_ackers(after(|_, seen| strays(seen)), "db3");
    let stale = after(|state, seen| {
        state.ackers = names("db3");
        strays(seen);
        seen.unheard("db1", 300);
    });
    assert_eq!(stale, None, "what the writer committed meanwhile would look errant");
    let always_after_the_writers = after(|state, seen| {
        state.ackers = names("db3");
        strays(seen);
        seen.unheard("db1", 300);
        let before = (seen.pulse("db2").clone(), ms(400));
        seen.before.insert(name("db2"), before);
    });
    assert_eq!(always_after_the_writers, Some(Upkeep::Quarantine { node: name("db2"), extra: extra() }));
}

#[test]
fn a_quarantine_grows_with_its_server_and_ends_when_the_writer_has_everything() {
    let known = |extra: &str, has: &str| {
        let (extra, has) = (my(extra), my(has));
        after(move |state, seen| {
            quarantine(state, "db2", extra);
            *seen.pulse("db2") = Pulse { acks: false, ..follows("db9", &has) };
        })
    };
    assert_eq!(known("2:1", "1:1-8 2:1"), None, "nothing new");
    let more = known("2:1", "1:1-8 2:1-2");
    assert_eq!(more, Some(Upkeep::Quarantine { node: name("db2"), extra: my("2:1-2") }));
    assert_eq!(known("2:1", "1:1-8"), Some(Upkeep::TakeBack(name("db2"))));
    assert_eq!(known("2:1-2", "1:1-8 2:1"), None, "some of them are at the writer, not all");
    let elsewhere = after(|state, seen| {
        quarantine(state, "db2", my("2:1"));
        seen.unheard("db2", 5_000);
    });
    assert_eq!(elsewhere, None, "what is not heard is not judged");
}

#[test]
fn lossless_comes_back_with_an_acker_that_acknowledges() {
    let back = |change: fn(&mut ClusterState, &mut Seen)| {
        after(|state, seen| {
            state.durability = degraded(None);
            change(state, seen);
        })
    };
    assert_eq!(back(|_, _| ()), Some(Upkeep::RegainLossless { after: 7 }));
    let none_acknowledges = back(|_, seen| {
        seen.pulse("db2").acks = false;
        seen.channel("db3").received_ago = Some(ms(3000));
    });
    assert_eq!(none_acknowledges, None);
    let far_behind = back(|_, seen| *seen.pulse("db1") = writes(&my("1:1-90000")));
    assert_eq!(far_behind, None, "the writer would stand still until they have received all that");
    let new = after(|state, _| state.durability = Durability::Unknown);
    assert_eq!(new, Some(Upkeep::RegainLossless { after: 0 }));
}

/// db3 left the list and its replica side is still on: a commit that it alone acknowledged is not at a listed acker.
#[test]
fn lossless_does_not_come_back_while_a_server_off_the_list_may_acknowledge() {
    let off_the_list = |change: fn(&mut ClusterState, &mut Seen)| {
        after(|state, seen| {
            state.durability = degraded(None);
            state.ackers = names("db2");
            seen.channel("db3").behind = None;
            change(state, seen);
        })
    };
    assert_eq!(off_the_list(|_, _| ()), None, "it acknowledges");
    let regain = Some(Upkeep::RegainLossless { after: 7 });
    assert_eq!(off_the_list(|_, seen| seen.pulse("db3").acks = false), regain);
    assert_eq!(off_the_list(|_, seen| seen.unheard("db3", 5000)), None, "the writer counts two");
    let silent = off_the_list(|_, seen| {
        seen.unheard("db3", 5000);
        seen.pulse("db1").ackers = 1;
    });
    assert_eq!(silent, regain, "the writer counts one, and that is db2");
}

#[test]
fn leadership_leaves_the_writers_node_for_a_witness_first() {
    let mut state = cluster("db1 db2 app1");
    let mut seen = Seen::healthy(&state, &my("1:1-9"));
    let due = |state: &ClusterState, seen: &Seen| upkeep(state, &seen.look(), &name("db1"));
    assert_eq!(due(&state, &seen), Some(Upkeep::MoveLeadership(name("app1"))));
    seen.unheard("app1", 5000);
    assert_eq!(due(&state, &seen), Some(Upkeep::MoveLeadership(name("db2"))));
    state.operation = Some(failover("x"));
    assert_eq!(due(&state, &seen), None, "not in the middle of an operation");
}

fn maintained(state: &mut ClusterState, nodes: &str) {
    for node in names(nodes) {
        let word = Forced { by: "ada".into(), reason: "new disks".into() };
        state.maintenance.insert(node, Maintenance { until_ms: 10, since_ms: 0, word });
    }
}

#[test]
fn a_server_in_maintenance_leaves_the_ackers_first_and_then_stands_aside() {
    let leaving = after(|state, _| maintained(state, "db2"));
    assert_eq!(leaving, None, "its node stops its receiver first");
    let stopped = after(|state, seen| {
        maintained(state, "db2");
        seen.pulse("db2").acks = false;
        seen.channel("db2").io_running = false;
    });
    assert_ackers(stopped, "db3");
    let not_yet = after(|state, seen| {
        maintained(state, "db2");
        state.ackers.remove(&name("db2"));
        seen.pulse("db2").acks = false;
        seen.channel("db2").io_running = false;
    });
    assert_eq!(not_yet, None, "it receives again first");
    let off = after(|state, seen| {
        maintained(state, "db2");
        state.ackers.remove(&name("db2"));
        seen.pulse("db2").acks = false;
    });
    assert_eq!(off, Some(Upkeep::StandAside(name("db2"))));
}

#[test]
fn the_last_acker_stands_aside_once_the_group_has_given_it_up_on_purpose() {
    let both = |state: &mut ClusterState| maintained(state, "db2 db3");
    assert_eq!(after(|state, _| both(state)), Some(Upkeep::Degrade(DegradeReason::Planned)));
    let block = after(|state, _| {
        both(state);
        state.safety.without_ackers = WithoutAckers::Block;
    });
    assert_eq!(block, None, "by that policy it stays one");
    let given_up = after(|state, _| {
        both(state);
        state.durability = degraded(None);
    });
    assert_eq!(given_up, Some(Upkeep::StandAside(name("db2"))));
}
