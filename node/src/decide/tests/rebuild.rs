//! From which server another one gets its data, what stands in the way, and what the leader does next.

use super::*;
use crate::decide::giving::{Asked, may_give};
use crate::decide::rebuild::{RebuildNext, choose_source, next, plan};
use crate::state::{Ending, Rebuild, RebuildPolicy, RebuildStep};

fn healthy(nodes: &str) -> (ClusterState, Seen) {
    let state = cluster(nodes);
    let seen = Seen::healthy(&state, &my("1:1-9"));
    (state, seen)
}

fn source_of(state: &ClusterState, seen: &Seen, node: &str) -> Result<(String, bool), String> {
    choose_source(state, &seen.look(), &name(node), None, &[]).map(|s| (s.node.to_string(), s.is_writer))
}

/// A rebuild of db3 at `step`, from db2 once there is a source.
fn rebuilding(state: &mut ClusterState, step: RebuildStep) {
    let source = (step > RebuildStep::Source).then(|| name("db2"));
    state.ackers.remove(&name("db3"));
    state.rebuild = Some(Rebuild {
        operation: Operation {
            id: OperationId("r".into()),
            kind: OperationKind::Rebuild,
            ..failover("by me")
        },
        node: name("db3"),
        wanted: None,
        source,
        failed: vec![],
        attempt: 1,
        step,
        step_ms: 1_000,
        discarded: step >= RebuildStep::Copy,
    });
}

#[test]
fn the_source_is_a_replica_and_the_writer_only_where_there_is_nobody_else() {
    let (mut state, mut seen) = healthy("db1 db2 db3 db4");
    assert_eq!(source_of(&state, &seen, "db4"), Ok(("db2".into(), false)));
    state.members.get_mut(&name("db2")).unwrap().priority = 100;
    assert_eq!(source_of(&state, &seen, "db4"), Ok(("db3".into(), false)), "the best candidate is spared");
    state.members.get_mut(&name("db2")).unwrap().zone = Some("a".into());
    state.members.get_mut(&name("db4")).unwrap().zone = Some("a".into());
    assert_eq!(source_of(&state, &seen, "db4"), Ok(("db2".into(), false)), "the own zone first");
    seen.gone("db2", 0);
    seen.channel("db3").delayed = true;
    assert_eq!(source_of(&state, &seen, "db4"), Ok(("db1".into(), true)));
    seen.gone("db1", 0);
    let why = source_of(&state, &seen, "db4").unwrap_err();
    assert!(why.contains("db1 does not answer") && why.contains("db3 does not receive"), "{why}");
}

#[test]
fn a_source_that_did_not_do_comes_last_and_other_versions_not_at_all() {
    let (state, mut seen) = healthy("db1 db2 db3 db4");
    let again = choose_source(&state, &seen.look(), &name("db4"), None, &[name("db2")]).unwrap();
    assert_eq!(again.node, name("db3"));
    for node in ["db1", "db2", "db3"] {
        seen.own(node).about.as_mut().unwrap().number = (9, 6, 0);
    }
    let why = source_of(&state, &seen, "db4").unwrap_err();
    assert!(why.contains("db2 runs"), "{why}");
}

#[test]
fn the_writer_is_no_source_by_name_while_a_replica_can_be() {
    let (state, seen) = healthy("db1 db2 db3");
    let by_name = |from: &str| choose_source(&state, &seen.look(), &name("db3"), Some(&name(from)), &[]);
    assert!(by_name("db1").unwrap_err().contains("is the writer"));
    assert_eq!(by_name("db2").unwrap().node, name("db2"));
    let (state, seen) = healthy("db1 db2");
    let alone = choose_source(&state, &seen.look(), &name("db2"), Some(&name("db1")), &[]).unwrap();
    assert!(alone.is_writer);
}

#[test]
fn a_plan_says_everything_or_why_not() {
    let (mut state, mut seen) = healthy("db1 db2 db3 app1");
    let laid_out = plan(&state, &seen.look(), &name("db3"), None);
    let lines: Vec<String> = laid_out.steps.iter().map(|(node, what)| format!("{node}: {what}")).collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
    db3: leaves the list of ackers, once the others have all that it has
    db3: goes out: neither writer, candidate nor acker until this is over; it stays closed throughout
    db3: what only it has is compared with the writer; anything that is not archived ends this here
    db3: ITS DATA IS DISCARDED, and replaced by db2's with CLONE INSTANCE
    db2: is read; it serves on, a little slower
    db3: restarts with the new data, closed; [rebuild] start is used where nobody supervises it
    db3: forgets db2's own replication
    db3: is in again and follows db1
    ");
    let refusal = |state: &ClusterState, seen: &Seen, node: &str| {
        let plan = plan(state, &seen.look(), &name(node), None);
        assert!(plan.steps.is_empty(), "nothing is planned where something stands in the way");
        plan.refusals.join("; ")
    };
    assert!(refusal(&state, &seen, "db1").contains("a writer is never rebuilt"));
    assert!(refusal(&state, &seen, "app1").contains("has no server"));
    assert!(refusal(&state, &seen, "db9").contains("is not a member"));
    quarantine(&mut state, "db3", my("3:1"));
    assert!(refusal(&state, &seen, "db3").contains("not archived"));
    state.safety.live.rebuild = RebuildPolicy::Never;
    assert!(refusal(&state, &seen, "db3").contains("policy is never"));
    state.revoked_through = Epoch(1);
    assert!(
        refusal(&state, &seen, "db1").contains("a writer is never rebuilt"),
        "nor one that nobody has succeeded"
    );
    state.out.clear();
    assert!(refusal(&state, &seen, "db2").contains("is being replaced"));
    state.revoked_through = Epoch(0);
    seen.unheard("db3", 60_000);
    assert!(refusal(&state, &seen, "db3").contains("node does not answer"));
}

#[test]
fn on_mariadb_the_copy_comes_before_anything_is_discarded() {
    let state = cluster("db1 db2 db3");
    let seen = Seen::healthy(&state, &maria("0-1-9"));
    let laid_out = plan(&state, &seen.look(), &name("db3"), None);
    let lines: Vec<String> = laid_out.steps.iter().map(|(node, what)| format!("{node}: {what}")).collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
    db3: leaves the list of ackers, once the others have all that it has
    db3: goes out: neither writer, candidate nor acker until this is over; it stays closed throughout
    db2: is read; it serves on, a little slower
    db3: db2's data is copied beside its own, with mariadb-backup
    db3: what only it has is compared with the writer; anything that is not archived ends this here
    db3: is stopped ([rebuild] stop), and ITS DATA IS DISCARDED: the copy takes its place
    db3: starts with the new data, closed ([rebuild] start)
    db3: gets the copy's positions, and an empty binlog
    db3: is in again and follows db1
    ");
}

#[test]
fn on_mariadb_both_ends_need_its_programs() {
    let state = cluster("db1 db2 db3");
    let mut seen = Seen::healthy(&state, &maria("0-1-9"));
    seen.lacks_for_copy("db2", "has no mariadb-backup: apt-get install it");
    assert_eq!(source_of(&state, &seen, "db3"), Ok(("db1".into(), true)), "the only one that can give");
    seen.lacks_for_copy("db1", "has no mariadb-backup: apt-get install it");
    let refused = |seen: &Seen| plan(&state, &seen.look(), &name("db3"), None).refusals.join("; ");
    assert!(refused(&seen).contains("db2 has no mariadb-backup: apt-get install it"), "{}", refused(&seen));
    let mut seen = Seen::healthy(&state, &maria("0-1-9"));
    seen.lacks_for_copy("db3", "has no mariadb-backup: apt-get install it");
    assert_eq!(refused(&seen), "db3 has no mariadb-backup: apt-get install it");
    let mut seen = Seen::healthy(&state, &my("1:1-9"));
    seen.lacks_for_copy("db3", "has no mariadb-backup: apt-get install it");
    assert_eq!(refused(&seen), "", "MySQL needs none");
}

#[test]
fn a_copy_is_given_for_the_committed_attempt_alone() {
    let mut state = cluster("db1 db2 db3");
    rebuilding(&mut state, RebuildStep::Prepare);
    state.out.insert(name("db3"), Out { reason: OutReason::Rebuild, since_ms: 1 });
    let asked = Asked { by: name("db3"), operation: OperationId("r".into()), attempt: 1, epoch: Epoch(1) };
    let gives = |state: &ClusterState, me: &str, asked: &Asked| may_give(state, &name(me), asked);
    assert_eq!(gives(&state, "db2", &asked), Ok(()));
    assert!(gives(&state, "db1", &asked).unwrap_err().contains("db1 is not the source"));
    let other = |change: fn(&mut Asked)| {
        let mut other = asked.clone();
        change(&mut other);
        gives(&state, "db2", &other).unwrap_err()
    };
    assert!(other(|a| a.by = name("db1")).contains("no such rebuild of db1"));
    assert!(other(|a| a.operation = OperationId("s".into())).contains("no such rebuild"));
    assert!(other(|a| a.attempt = 2).contains("has moved on"));
    assert!(other(|a| a.epoch = Epoch(0)).contains("has yet to hear of epoch"));
    let mut later = state.clone();
    later.rebuild.as_mut().unwrap().step = RebuildStep::Copy;
    assert!(gives(&later, "db2", &asked).unwrap_err().contains("has moved on"));
    state.out.clear();
    assert!(gives(&state, "db2", &asked).unwrap_err().contains("is not out"));
}

#[test]
fn the_leader_finds_a_source_and_sees_the_end() {
    let (mut state, mut seen) = healthy("db1 db2 db3");
    let now = 2_000;
    rebuilding(&mut state, RebuildStep::Source);
    let chosen = next(&state, &seen.look(), now);
    assert!(
        matches!(&chosen, Some(RebuildNext::Source { source, .. }) if *source == name("db2")),
        "{chosen:?}"
    );
    state.ackers.insert(name("db3"));
    assert_eq!(next(&state, &seen.look(), now), None, "an acker leaves the list first");
    let late = next(&state, &seen.look(), 2_000_000);
    assert!(matches!(late, Some(RebuildNext::End { ending: Ending::Failed, .. })), "nothing waits for ever");

    rebuilding(&mut state, RebuildStep::Copy);
    assert_eq!(next(&state, &seen.look(), now), None, "its node is at work");
    rebuilding(&mut state, RebuildStep::Follow);
    let done = next(&state, &seen.look(), now);
    assert!(matches!(done, Some(RebuildNext::End { ending: Ending::Done, .. })), "{done:?}");
    seen.channel("db3").io_running = false;
    assert_eq!(next(&state, &seen.look(), now), None, "it does not stream yet");
    state.operation = Some(failover("WriterCrashed"));
    assert_eq!(next(&state, &seen.look(), 2_000_000), None, "nothing while the writer moves");
}

#[test]
fn a_writer_is_spared_once_a_replica_can_be_the_source() {
    let (mut state, seen) = healthy("db1 db2 db3 db4");
    rebuilding(&mut state, RebuildStep::Copy);
    state.rebuild.as_mut().unwrap().source = Some(name("db1"));
    assert!(matches!(next(&state, &seen.look(), 2_000), Some(RebuildNext::Failed { attempt: 1, .. })));
    state.rebuild.as_mut().unwrap().step = RebuildStep::Start;
    assert_eq!(next(&state, &seen.look(), 2_000), None, "the copy is made already");
}

#[test]
fn the_policy_decides_who_begins() {
    let (mut state, seen) = healthy("db1 db2 db3");
    quarantine(&mut state, "db3", my("3:1"));
    let begins =
        |state: &ClusterState| matches!(next(state, &seen.look(), 2_000), Some(RebuildNext::Begin { .. }));
    let settle = |state: &mut ClusterState, archive: Option<&str>, released: Option<Forced>| {
        if let OutReason::Quarantine(quarantine) = &mut state.out.get_mut(&name("db3")).unwrap().reason {
            quarantine.archive = archive.map(str::to_owned);
            quarantine.released = released;
        }
    };
    state.safety.live.rebuild = RebuildPolicy::Automatic;
    assert!(!begins(&state), "not archived");
    settle(&mut state, Some("q"), None);
    assert!(begins(&state));
    state.safety.live.rebuild = RebuildPolicy::Approve;
    settle(&mut state, Some("q"), forced());
    assert!(!begins(&state), "that is an operator's `batonctl rebuild`");
    state.safety.live.rebuild = RebuildPolicy::Never;
    assert!(!begins(&state));
    state.safety.live.rebuild = RebuildPolicy::Automatic;
    let operation =
        Operation { kind: OperationKind::Rebuild, wanted: Some(name("db3")), ..failover("by itself") };
    let finished = crate::state::Finished { operation, ended_ms: 1_500, ending: Ending::Failed };
    state.history.push_back(finished.into());
    assert!(!begins(&state), "one that has failed is left to a person");
}
