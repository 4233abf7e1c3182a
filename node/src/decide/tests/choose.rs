//! Who becomes the writer, case by case; each is a schedule that once went wrong or must not.

use super::*;
use crate::decide::choose::{Held, choose};
use crate::decide::tried::{Disk, Tried};
use crate::state::{
    BackupKind, BackupTask, BackupWork, Loss, OnClosedByHand, OnLoss, OperationId, Recovered, WithoutAckers,
};

fn nobody_seen() -> Observations {
    Observations::default()
}

fn none_lost(by: &str) -> Loss {
    Loss::None { proven_by: list(by) }
}

#[test]
fn the_acker_with_everything_becomes_the_writer_on_either_dialect() {
    for (all, less) in [(my("1:1-9"), my("1:1-7")), (maria("0-1-9"), maria("0-1-7"))] {
        let answers = [has("db2", less), has("db3", all.clone())];
        let choice = choose(&cluster("db1 db2 db3"), &failover("x"), &nobody_seen(), &answers).unwrap();
        assert_eq!((choice.node, choice.must_apply), (name("db3"), all));
        assert_eq!(choice.loss, none_lost("db2 db3"));
        assert_eq!(choice.ackers, names("db2"));
    }
}

#[test]
fn what_is_in_the_relay_log_counts_and_must_be_applied() {
    let mut ahead = has("db3", my("1:1-9"));
    ahead.executed = my("1:1-2");
    let answers = [has("db2", my("1:1-7")), ahead];
    let choice = choose(&cluster("db1 db2 db3"), &failover("x"), &nobody_seen(), &answers).unwrap();
    assert_eq!((choice.node, choice.must_apply), (name("db3"), my("1:1-9")));
}

#[test]
fn with_an_acker_missing_the_policy_decides() {
    let mut state = cluster("db1 db2 db3");
    let answers = [has("db2", my("1:1-7"))];
    let held = choose(&state, &failover("x"), &nobody_seen(), &answers).unwrap_err();
    assert_eq!(held, Held::AckersMissing(list("db3")));
    state.safety.on_loss = OnLoss::Promote;
    let choice = choose(&state, &failover("x"), &nobody_seen(), &answers).unwrap();
    assert_eq!((choice.node, choice.loss), (name("db2"), Loss::Unknown));
}

#[test]
fn an_answer_that_may_still_change_is_none() {
    let mut receiving = has("db3", my("1:1-7"));
    receiving.still = false;
    let answers = [has("db2", my("1:1-7")), receiving];
    let held = choose(&cluster("db1 db2 db3"), &failover("x"), &nobody_seen(), &answers).unwrap_err();
    assert_eq!(held, Held::AckersMissing(list("db3")));
}

#[test]
fn with_a_wait_count_of_two_one_of_three_ackers_may_be_missing() {
    let mut state = cluster("db1 db2 db3 db4");
    state.safety.wait_count = 2;
    let two = [has("db2", my("1:1-7")), has("db3", my("1:1-8"))];
    let choice = choose(&state, &failover("x"), &nobody_seen(), &two).unwrap();
    assert_eq!((choice.node, choice.loss), (name("db3"), none_lost("db2 db3")));
    let held = choose(&state, &failover("x"), &nobody_seen(), &two[..1]).unwrap_err();
    assert_eq!(held, Held::AckersMissing(list("db3 db4")));
}

/// db2 acknowledged 9, restarted without its relay log, and answers with 7.
#[test]
fn an_acker_whose_set_shrank_has_not_answered() {
    for (had, left) in [(my("1:1-9"), my("1:1-7")), (maria("0-1-9"), maria("0-1-7"))] {
        let state = cluster("db1 db2");
        let seen = Seen::healthy(&state, &had);
        let held = choose(&state, &failover("x"), &seen.look(), &[has("db2", left)]).unwrap_err();
        assert_eq!(held, Held::AckersMissing(list("db2")));
    }
}

/// Two data nodes: db1 crashes, restarts with a tail that was never acknowledged, and is back before anyone is promoted.
#[test]
fn a_crashed_writer_that_is_back_is_opened_again() {
    let answers = [has("db2", my("1:1-8")), has("db1", my("1:1-9"))];
    let choice = choose(&cluster("db1 db2"), &failover("WriterCrashed"), &nobody_seen(), &answers).unwrap();
    assert_eq!((choice.node, choice.loss), (name("db1"), none_lost("db1")));
    assert_eq!(
        choice.runners_up,
        list(""),
        "db2 lacks what db1 may have acknowledged: this choice is not for it"
    );
    assert_eq!(choice.ackers, names("db2"));
}

/// MariaDB truncates the tail that no acker acknowledged: then the acker is ahead of the old writer.
#[test]
fn an_old_writer_that_lacks_what_an_acker_has_is_not_opened_again() {
    let answers = [has("db1", maria("0-1-8")), has("db2", maria("0-1-9"))];
    let choice = choose(&cluster("db1 db2"), &failover("WriterCrashed"), &nobody_seen(), &answers).unwrap();
    assert_eq!(choice.node, name("db2"));
}

/// db2's guard could not open it. Given the grant again and again, it would keep the cluster without a writer for ever.
#[test]
fn a_writer_that_never_opened_or_lost_its_lease_comes_last() {
    for diagnosis in ["WriterNeverOpened", "WriterSelfClosed"] {
        let state = cluster("db1 db2 db3");
        let answers = [has("db1", my("1:1-9")), has("db2", my("1:1-9")), has("db3", my("1:1-9"))];
        let choice = choose(&state, &failover(diagnosis), &nobody_seen(), &answers).unwrap();
        assert_eq!((choice.node, choice.runners_up), (name("db2"), list("db3 db1")));
    }
}

/// An operator moves the writer, and then the other server dies.
#[test]
fn a_forced_move_that_finds_nobody_else_gives_the_role_back() {
    let state = cluster("db1 db2");
    let operation = Operation { forced: forced(), ..failover("Forced") };
    let mut seen = Seen::healthy(&state, &my("1:1-9"));
    let answers = [has("db1", my("1:1-9"))];
    let early = choose(&state, &operation, &seen.look(), &answers).unwrap_err();
    assert_eq!(early, Held::NoCandidate, "db2 is alive and will answer");
    seen.gone("db2", 2000);
    assert_eq!(choose(&state, &operation, &seen.look(), &answers).unwrap().node, name("db1"));
}

#[test]
fn a_wanted_server_binds_only_while_it_can_be_had() {
    let state = cluster("db1 db2 db3");
    let operation = Operation { forced: forced(), wanted: Some(name("db3")), ..failover("Forced") };
    let mut seen = Seen::healthy(&state, &my("1:1-9"));
    let both = [has("db2", my("1:1-9")), has("db3", my("1:1-9"))];
    assert_eq!(choose(&state, &operation, &seen.look(), &both).unwrap().node, name("db3"));
    let early = choose(&state, &operation, &seen.look(), &both[..1]).unwrap_err();
    assert_eq!(early, Held::WantedUnfit(name("db3")));
    let behind = [has("db2", my("1:1-9")), has("db3", my("1:1-8"))];
    seen.channel("db3").received_ago = None;
    seen.pulse("db3").received = my("1:1-8");
    let fetches = choose(&state, &operation, &seen.look(), &behind).unwrap_err();
    assert_eq!(fetches, Held::MustCatchUp { node: name("db3"), from: name("db2"), missing: my("1:9") });
    let [db2, db3] = behind;
    let in_vain = [db2, Answer { stuck: true, ..db3 }];
    assert_eq!(choose(&state, &operation, &seen.look(), &in_vain).unwrap().node, name("db2"));
    let mut state = state;
    state.ackers = names("db2");
    seen.unheard("db3", 5000);
    assert_eq!(choose(&state, &operation, &seen.look(), &both[..1]).unwrap().node, name("db2"), "db3 died");
}

#[test]
fn whoever_may_not_be_the_writer_is_not() {
    let all = || my("1:1-9");
    let answers = || vec![has("db2", all()), has("db3", all()), has("app1", all()), has("db9", all())];
    let mut state = cluster("db1 db2 db3 app1");
    let chosen = |state: &ClusterState, answers: &[Answer]| {
        choose(state, &failover("x"), &Observations::default(), answers).map(|c| (c.node, c.runners_up))
    };
    let mut delayed = answers();
    delayed[0].delayed = true;
    assert_eq!(chosen(&state, &delayed).unwrap(), (name("db3"), list("")), "delayed");
    state.members.get_mut(&name("db2")).unwrap().excluded = true;
    assert_eq!(chosen(&state, &answers()).unwrap(), (name("db3"), list("")), "excluded");
    quarantine(&mut state, "db3", my("3:1"));
    assert_eq!(chosen(&state, &answers()).unwrap_err(), Held::NoCandidate, "excluded and out");
}

#[test]
fn among_equals_priority_decides() {
    let mut state = cluster("db1 db2 db3");
    state.members.get_mut(&name("db3")).unwrap().priority = 5;
    let answers = [has("db2", my("1:1-9")), has("db3", my("1:1-9"))];
    let choice = choose(&state, &failover("x"), &nobody_seen(), &answers).unwrap();
    assert_eq!((choice.node, choice.runners_up), (name("db3"), list("db2")));
}

/// Both have a little to apply; which has less matters, and not only that both have some.
#[test]
fn among_equals_the_one_with_less_to_apply_comes_first() {
    let behind = |node: &str, executed: &str| {
        let mut answer = has(node, my("1:1-900"));
        answer.executed = my(executed);
        answer
    };
    let answers = [behind("db2", "1:1-2"), behind("db3", "1:1-899")];
    let choice = choose(&cluster("db1 db2 db3"), &failover("x"), &nobody_seen(), &answers).unwrap();
    assert_eq!((choice.node, choice.runners_up), (name("db3"), list("db2")));
}

/// A backup breaks ties, and outweighs a second's applying at most.
#[test]
fn one_that_is_being_backed_up_comes_after_its_equals() {
    let chosen = |priority: i32, executed: &str| {
        let mut state = cluster("db1 db2 db3");
        state.members.get_mut(&name("db2")).unwrap().priority = priority;
        state.backups.task = Some(BackupTask {
            id: OperationId("1".into()),
            node: name("db2"),
            work: BackupWork::Make {
                backup: "b1".into(),
                kind: BackupKind::Full,
                at_writer: false,
                full_speed: false,
            },
            by: "cron".into(),
            started_ms: 0,
            begun: true,
            slot: None,
        });
        let mut other = has("db3", my("1:1-9000"));
        other.executed = my(executed);
        let answers = [has("db2", my("1:1-9000")), other];
        choose(&state, &failover("x"), &nobody_seen(), &answers).unwrap().node
    };
    assert_eq!(chosen(0, "1:1-9000"), name("db3"));
    assert_eq!(chosen(0, "1:1-8900"), name("db3"), "a hundred are applied sooner than it is ended");
    assert_eq!(chosen(0, "1:1-5000"), name("db2"), "and four thousand are not");
    assert_eq!(chosen(5, "1:1-9000"), name("db2"), "priority comes first");
}

/// Three replicas with everything; what decides among them, one thing after the other.
#[test]
fn then_zone_version_and_disk_decide() {
    type Change = fn(&mut ClusterState, &mut Seen);
    let cases: [(&str, Change); 5] = [
        ("db2", |_, _| ()),
        ("db3", |state, _| zone(state, "db1 db3", "fsn1")),
        ("db3", |_, seen| seen.own("db2").about.as_mut().unwrap().number = (9, 8, 0)),
        ("db3", |_, seen| nearly_full(seen, "db2")),
        ("db2", |state, seen| {
            // Priority comes before all of them.
            state.members.get_mut(&name("db2")).unwrap().priority = 5;
            zone(state, "db1 db3 db4", "fsn1");
            nearly_full(seen, "db2");
        }),
    ];
    for (n, (expected, change)) in cases.into_iter().enumerate() {
        let mut state = cluster("db1 db2 db3 db4");
        let mut seen = Seen::healthy(&state, &my("1:1-9"));
        change(&mut state, &mut seen);
        let answers = ["db2", "db3", "db4"].map(|node| has(node, my("1:1-9")));
        let choice = choose(&state, &failover("x"), &seen.look(), &answers).unwrap();
        assert_eq!(choice.node, name(expected), "case {n}");
    }
}

fn zone(state: &mut ClusterState, nodes: &str, zone: &str) {
    for node in list(nodes) {
        state.members.get_mut(&node).unwrap().zone = Some(zone.into());
    }
}

fn nearly_full(seen: &mut Seen, node: &str) {
    let disk = Some(Disk { free: 1 << 20, size: 1 << 40, read_only: false });
    seen.reports.get_mut(&name(node)).unwrap().0.tried = Some(Tried { disk, ..Tried::default() });
}

#[test]
fn the_zone_rule_forbids_an_automatic_move_and_no_other() {
    let mut state = cluster("db1 db2 db3");
    zone(&mut state, "db1", "fsn1");
    zone(&mut state, "db2", "hel1");
    let far = [has("db2", my("1:1-9")), has("db3", my("1:1-9"))];
    let chosen = |state: &ClusterState, operation: &Operation, answers: &[Answer]| {
        choose(state, operation, &nobody_seen(), answers).map(|c| c.node)
    };
    assert_eq!(chosen(&state, &failover("x"), &far), Ok(name("db2")), "allowed unless forbidden");
    state.safety.live.other_zone = false;
    let held = Held::OtherZone(list("db2 db3"));
    assert_eq!(chosen(&state, &failover("x"), &far), Err(held), "db3's zone is not known");
    zone(&mut state, "db3", "fsn1");
    assert_eq!(chosen(&state, &failover("x"), &far), Ok(name("db3")));
    zone(&mut state, "db3", "hel1");
    let back = [has("db1", my("1:1-9")), has("db2", my("1:1-9")), has("db3", my("1:1-9"))];
    assert_eq!(chosen(&state, &failover("x"), &back), Ok(name("db1")), "it is back");
    let wanted = Operation { wanted: Some(name("db3")), forced: forced(), ..failover("x") };
    assert_eq!(chosen(&state, &wanted, &far), Ok(name("db3")), "an operator's word");
    zone(&mut state, "db1 db2", "");
    state.members.get_mut(&name("db1")).unwrap().zone = None;
    assert_eq!(chosen(&state, &failover("x"), &far), Ok(name("db2")), "no zone, no other zone");
}

/// The leader that saw the old writer with 9 died with it; the next one has been told nothing of that.
#[test]
fn what_the_first_leader_saw_is_not_forgotten_by_the_next() {
    let mut state = cluster("db1 db2");
    state.durability = degraded(Some(my("1:1-5")));
    let answers = [has("db2", my("1:1-8"))];
    let unknown = choose(&state, &failover("x"), &Observations::default(), &answers).unwrap_err();
    assert_eq!(unknown, Held::WouldLose("an unknown set".into()));
    let begun = |upto| Operation { last_seen: Some(my(upto)), ..failover("x") };
    let held = choose(&state, &begun("1:1-9"), &Observations::default(), &answers).unwrap_err();
    assert_eq!(held, Held::WouldLose(my("1:9").to_string()));
    let choice = choose(&state, &begun("1:1-8"), &Observations::default(), &answers).unwrap();
    assert_eq!(choice.loss, Loss::NoneSeen);
}

#[test]
fn a_writer_closed_by_hand_is_left_where_it_was_unless_the_policy_moves_it() {
    let mut state = cluster("db1 db2");
    let answers = [has("db1", my("1:1-9")), has("db2", my("1:1-9"))];
    let by_hand = failover("WriterClosedByHand");
    assert_eq!(choose(&state, &by_hand, &nobody_seen(), &answers).unwrap().node, name("db1"));
    state.safety.live.on_closed_by_hand = OnClosedByHand::Move;
    assert_eq!(choose(&state, &by_hand, &nobody_seen(), &answers).unwrap().node, name("db2"));
    let crashed = failover("WriterCrashed");
    assert_eq!(choose(&state, &crashed, &nobody_seen(), &answers).unwrap().node, name("db1"));
}

/// db3, which may not be the writer, acknowledged 9 alone. Lossless means that 9 is not to be lost; but somebody has it.
#[test]
fn a_server_that_may_not_be_the_writer_and_is_ahead_is_to_be_caught_up_from() {
    let mut state = cluster("db1 db2 db3");
    state.members.get_mut(&name("db3")).unwrap().excluded = true;
    let answers = [has("db2", my("1:1-8")), has("db3", my("1:1-9"))];
    let held = choose(&state, &failover("x"), &nobody_seen(), &answers).unwrap_err();
    let must = || Held::MustCatchUp { node: name("db2"), from: name("db3"), missing: my("1:9") };
    assert_eq!(held, must());
    state.safety.on_loss = OnLoss::Promote;
    let held = choose(&state, &failover("x"), &nobody_seen(), &answers).unwrap_err();
    assert_eq!(held, must(), "what db3 has is not lost yet");
    let stuck = [Answer { stuck: true, ..answers[0].clone() }, answers[1].clone()];
    let choice = choose(&state, &failover("x"), &nobody_seen(), &stuck).unwrap();
    assert_eq!((choice.node, choice.loss), (name("db2"), Loss::Ranges(my("1:9"))));
}

/// db4 is no acker and excluded; what it alone has of the writer's tail was acknowledged to nobody.
#[test]
fn while_lossless_what_no_acker_has_holds_nobody_up() {
    let mut state = cluster("db1 db2 db3 db4");
    state.ackers = names("db2 db3");
    state.members.get_mut(&name("db4")).unwrap().excluded = true;
    let answers = [has("db2", my("1:1-8")), has("db3", my("1:1-8")), has("db4", my("1:1-9"))];
    let choice = choose(&state, &failover("x"), &nobody_seen(), &answers).unwrap();
    assert_eq!((choice.node, choice.loss), (name("db2"), none_lost("db2 db3")));
}

/// Somebody ran FLUSH on db2: a transaction of its own must neither hold the failover up nor make it the first choice.
#[test]
fn an_errant_transaction_sets_no_mark_and_comes_last() {
    let cases = [
        (my("1:1-9"), my("1:1-9 2:1"), my("1:1-8 2:1")),
        (maria("0-1-9"), maria("0-1-9,0-2-10"), maria("0-1-8,0-2-9")),
    ];
    for (all, with_errant, behind) in cases {
        let state = cluster("db1 db2 db3");
        let mut seen = Seen::healthy(&state, &all);
        let answers = [has("db2", with_errant.clone()), has("db3", all.clone())];
        let choice = choose(&state, &failover("x"), &seen.look(), &answers).unwrap();
        assert_eq!((choice.node, choice.loss), (name("db3"), none_lost("db2 db3")));
        seen.pulse("db2").received = behind.clone();
        let answers = [has("db2", behind), has("db3", all)];
        assert_eq!(choose(&state, &failover("x"), &seen.look(), &answers).unwrap().node, name("db3"));
        let two = cluster("db1 db2");
        let choice = choose(&two, &failover("x"), &seen.look(), &[has("db2", with_errant)]).unwrap();
        assert_eq!(choice.node, name("db2"), "the only one with everything, FLUSH or not");
    }
}

/// Epoch 1 was db2's: it crashed with a tail (2:5) of its own. Now db1 dies while db2 is back and not yet quarantined.
#[test]
fn an_earlier_writer_that_returns_in_the_middle_holds_nobody_up() {
    for (all, tail) in [(my("2:1-4 1:1-9"), my("2:1-5")), (maria("0-2-4,0-1-13"), maria("0-2-5"))] {
        let mut state = cluster("db1 db2 db3");
        state.ackers = names("db3");
        let mut seen = Seen::healthy(&state, &all);
        *seen.pulse("db2") = follows("db2", &tail);
        let answers = [has("db2", tail), has("db3", all)];
        let choice = choose(&state, &failover("x"), &seen.look(), &answers).unwrap();
        assert_eq!((choice.node, choice.loss), (name("db3"), none_lost("db3")));
        assert_eq!(choice.ackers, names(""), "db2 is not promised to hold anything");
    }
}

#[test]
fn a_quarantined_server_holds_nobody_up() {
    let mut state = cluster("db1 db2 db3");
    quarantine(&mut state, "db2", my("1:10"));
    let answers = [has("db2", my("1:1-8 1:10")), has("db3", my("1:1-9"))];
    assert_eq!(choose(&state, &failover("x"), &nobody_seen(), &answers).unwrap().node, name("db3"));
}

#[test]
fn servers_that_parted_while_not_lossless_wait_for_the_policy() {
    let mut state = cluster("db1 db2 db3");
    state.durability = degraded(None);
    let answers = [has("db2", my("1:1-8")), has("db3", my("1:1-7 1:9"))];
    let held = choose(&state, &failover("x"), &nobody_seen(), &answers).unwrap_err();
    assert_eq!(held, Held::Diverged(list("db2 db3")));
    state.safety.on_loss = OnLoss::Promote;
    let choice = choose(&state, &failover("x"), &nobody_seen(), &answers).unwrap();
    assert_eq!((choice.node, choice.loss), (name("db2"), Loss::Ranges(my("1:9"))));
}

#[test]
fn while_degraded_the_last_sight_of_the_old_writer_counts() {
    let mut state = cluster("db1 db2");
    state.durability = degraded(Some(my("1:1-5")));
    let mut seen = Seen::healthy(&state, &my("1:1-9"));
    let choose = |seen: &Observations, set| choose(&state, &failover("x"), seen, &[has("db2", set)]);
    assert_eq!(choose(&seen.look(), my("1:1-9")).unwrap().loss, Loss::NoneSeen);
    seen.pulse("db2").received = my("1:1-8");
    assert_eq!(choose(&seen.look(), my("1:1-8")), Err(Held::WouldLose(my("1:9").to_string())));
    let unseen = choose(&Observations::default(), my("1:1-9"));
    assert_eq!(unseen, Err(Held::WouldLose("an unknown set".into())), "a leader that never saw it");
}

#[test]
fn while_degraded_an_old_writer_that_answers_is_compared_as_it_is_now() {
    let mut state = cluster("db1 db2");
    state.durability = degraded(Some(my("1:1-5")));
    quarantine(&mut state, "db1", my("1:9"));
    let answers = [has("db1", my("1:1-9")), has("db2", my("1:1-8"))];
    let held = choose(&state, &failover("x"), &nobody_seen(), &answers).unwrap_err();
    assert_eq!(held, Held::WouldLose(my("1:9").to_string()));
}

/// Lossless under db1. db2 is promoted with everything and dies at once; db3 was behind and acknowledged nothing. The last
/// sight of db2, from before it applied 9, would let db3 pass; what the epoch began with does not.
#[test]
fn what_an_epoch_began_with_binds_the_next_candidate() {
    let mut state = cluster("db1 db2 db3");
    state.ackers = names("db2");
    let answers = [has("db2", my("1:1-9")), has("db3", my("1:1-7"))];
    let first = choose(&state, &failover("x"), &nobody_seen(), &answers).unwrap();
    assert_eq!(first.durability.upto(), Some(&my("1:1-9")));

    state.grant.as_mut().unwrap().node = name("db2");
    (state.durability, state.ackers) = (first.durability, first.ackers);
    let seen = Seen::healthy(&state, &my("1:1-7"));
    let second = Operation { from: Epoch(2), from_node: Some(name("db2")), ..failover("x") };
    let held = choose(&state, &second, &seen.look(), &[has("db3", my("1:1-7"))]).unwrap_err();
    assert_eq!(held, Held::WouldLose(my("1:8-9").to_string()));
}

/// db2 lacks what was fixed at the degrade, also as the old writer that is opened again.
#[test]
fn upto_binds_the_old_writer_too() {
    let mut state = cluster("db1 db2");
    state.durability = degraded(Some(my("1:1-5")));
    let held = choose(&state, &failover("x"), &nobody_seen(), &[has("db1", my("1:1-4"))]).unwrap_err();
    assert_eq!(held, Held::WouldLose(my("1:5").to_string()));
}

/// What was given up by policy does not hold the next failover up.
#[test]
fn a_loss_that_the_policy_accepted_is_not_asked_for_again() {
    let mut state = cluster("db1 db2");
    state.durability = degraded(Some(my("1:1-5")));
    state.safety.on_loss = OnLoss::Promote;
    let choice = choose(&state, &failover("x"), &nobody_seen(), &[has("db2", my("1:1-4"))]).unwrap();
    assert_eq!(choice.loss, Loss::Ranges(my("1:5")));
    assert_eq!(choice.durability.upto(), Some(&my("1:1-4")));
}

/// Forcing replaces the proof, not the rules about loss.
#[test]
fn a_forced_failover_waits_for_missing_ackers_too() {
    let operation = Operation { forced: forced(), ..failover("Forced") };
    let answers = [has("db2", my("1:1-9"))];
    let held = choose(&cluster("db1 db2 db3"), &operation, &nobody_seen(), &answers).unwrap_err();
    assert_eq!(held, Held::AckersMissing(list("db3")));
}

#[test]
fn an_epoch_without_an_acker_lets_go_only_if_the_policy_says_so() {
    let mut state = cluster("db1 db2");
    for (policy, lets_go) in [(WithoutAckers::Degrade, true), (WithoutAckers::Block, false)] {
        state.safety.without_ackers = policy;
        let choice = choose(&state, &failover("x"), &nobody_seen(), &[has("db2", my("1:1-9"))]).unwrap();
        assert_eq!(choice.durability.let_go_index().is_some(), lets_go);
    }
    let answers = [has("db2", my("1:1-9")), has("db3", my("1:1-9"))];
    let choice = choose(&cluster("db1 db2 db3"), &failover("x"), &nobody_seen(), &answers).unwrap();
    assert_eq!(choice.durability.let_go_index(), None, "commits wait for db3 from the first on");
}

/// A group that was recovered does not know what its majority went on to acknowledge.
#[test]
fn after_a_recovery_nothing_is_proven_to_be_there() {
    let mut operation = Operation { forced: forced(), ..failover("QuorumLost") };
    let answers = [has("db2", my("1:1-9"))];
    let proven = choose(&cluster("db1 db2"), &operation, &nobody_seen(), &answers).unwrap();
    assert_eq!(proven.loss, Loss::None { proven_by: list("db2") });
    operation.recovered = Some(Recovered { accepts_loss: false });
    let seen = choose(&cluster("db1 db2"), &operation, &nobody_seen(), &answers).unwrap();
    assert_eq!(seen.loss, Loss::NoneSeen);
}

#[test]
fn whoever_recovers_a_group_may_accept_a_loss_that_the_policy_would_not() {
    let mut operation = Operation { forced: forced(), ..failover("QuorumLost") };
    let answers = [has("db2", my("1:1-9"))];
    let mut state = cluster("db1 db2 db3");
    operation.recovered = Some(Recovered { accepts_loss: false });
    let held = choose(&state, &operation, &nobody_seen(), &answers).unwrap_err();
    assert_eq!(held, Held::AckersMissing(list("db3")));
    operation.recovered = Some(Recovered { accepts_loss: true });
    let choice = choose(&state, &operation, &nobody_seen(), &answers).unwrap();
    assert_eq!((choice.node, choice.loss), (name("db2"), Loss::Unknown));
    // The list of ackers still has a node that is no member any more.
    state.members.remove(&name("db3"));
    assert_eq!(choose(&state, &operation, &nobody_seen(), &answers).unwrap().loss, Loss::Unknown);
}
