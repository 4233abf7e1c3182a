#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use super::judge::{Wrong, judge};
use super::*;
use crate::consensus::{Binding, Member as Voter, MembershipView};
use crate::state::{
    Cluster, ClusterState, DegradeReason, Durability, Epoch, Grant, Member, Out, OutReason, Phase,
    WithoutAckers,
};

const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

fn set(numbers: &str) -> GtidSet {
    GtidSet::parse_mysql(&format!("{UUID}:{numbers}")).unwrap()
}

/// db1 is the writer of epoch 7 and db2 its acker; app1 is the witness. Looked at on db2.
fn facts() -> Facts {
    let mut state = ClusterState::default();
    state.cluster = Some(Cluster { name: "shop".into(), id: "1".into() });
    for (node, server) in [("db1", Some("a:1")), ("db2", Some("b:1")), ("app1", None)] {
        state.members.insert(node.into(), Member { server: server.map(str::to_owned), ..Member::default() });
    }
    state.phase = Phase::Managed;
    state.generation = 1;
    state.grant = Some(Grant {
        epoch: Epoch(7),
        node: "db1".into(),
        since_ms: 0,
        unleased: false,
        opened_ms: Some(1),
        paused_at: None,
    });
    state.ackers = BTreeSet::from(["db2".into()]);
    state.durability = Durability::Lossless { since_ms: 1 };
    let voters = (1..).zip(["db1", "db2", "app1"]).map(|(id, name)| (id, Voter::new(name.into(), "p", "s")));
    let members: BTreeMap<u64, Voter> = voters.collect();
    let membership = MembershipView {
        voters: vec![members.keys().copied().collect()],
        members,
        ..MembershipView::default()
    };
    let binding = Binding { cluster: "shop".into(), cluster_id: "1".into(), raft_id: 2, generation: 1 };
    let survey = Survey {
        binding,
        last_index: 1842,
        last_term: 12,
        unapplied: 0,
        last_command: Some((1_793_157_164_000, "db1".into())),
        membership,
        state,
        left_behind_by: None,
    };
    Facts { me: "db2".into(), survey, received: Ok(set("1-88123")) }
}

fn asked(keep: &str, drop: &[&str]) -> Wish {
    Wish {
        keep: keep.into(),
        drop: drop.iter().map(|name| NodeName::from(*name)).collect(),
        word: Forced { by: "ada@db2".into(), reason: "the site burnt down".into() },
        accepts_loss: false,
        command: CommandId("c".into()),
        operation: OperationId("o".into()),
        now: Timestamp::UNIX_EPOCH,
    }
}

fn page(facts: &Facts, wish: &Wish) -> String {
    let prospect = judge(facts, wish).unwrap();
    let page = paper::render(facts, wish, &prospect);
    for line in page.lines().filter(|line| !line.contains(UUID)) {
        assert!(line.chars().count() <= 80, "wider than 80: {line}");
    }
    page + &prospect.refused.unwrap_or_default()
}

#[test]
fn a_replica_that_had_everything() {
    insta::assert_snapshot!(page(&facts(), &asked("db2", &["db1", "app1"])));
}

#[test]
fn a_replica_that_may_lack_what_was_acknowledged() {
    let mut facts = facts();
    let state = &mut facts.survey.state;
    state.durability = Durability::Degraded {
        since_ms: 1,
        reason: DegradeReason::AckersUnreachable,
        upto: Some(set("1-88130")),
        may_let_go: true,
        index: 7,
    };
    state.safety.without_ackers = WithoutAckers::Block;
    facts.survey.unapplied = 2;
    insta::assert_snapshot!(page(&facts, &asked("db2", &["db1", "app1"])));
}

#[test]
fn a_cluster_that_was_only_observed() {
    let mut facts = facts();
    let state = &mut facts.survey.state;
    (state.phase, state.grant, state.durability) = (Phase::Observing, None, Durability::Unknown);
    state.ackers.clear();
    facts.received = Err("connection refused".into());
    insta::assert_snapshot!(page(&facts, &asked("db2", &["db1", "app1"])));
}

#[test]
fn what_cannot_be_asked_for() {
    let wrong = |keep: &str, drop: &[&str]| judge(&facts(), &asked(keep, drop)).unwrap_err();
    let members = || "app1, db1 and db2".to_owned();
    assert_eq!(wrong("db9", &["db1", "db2", "app1"]), Wrong::NoMember("db9".into(), members()));
    assert_eq!(wrong("db2", &["db1", "ap1"]), Wrong::NoMember("ap1".into(), members()));
    assert_eq!(wrong("db2", &["db1", "db2", "app1"]), Wrong::Both("db2".into()));
    assert_eq!(wrong("db2", &["db1"]), Wrong::Neither("app1 is".into()));
    assert_eq!(wrong("db2", &[]), Wrong::Neither("app1 and db1 are".into()));
    assert_eq!(wrong("db1", &["db2", "app1"]), Wrong::Elsewhere { me: "db2".into(), keep: "db1".into() });
    let silent = Wish {
        word: Forced { reason: String::new(), ..asked("db2", &[]).word },
        ..asked("db2", &["db1", "app1"])
    };
    assert_eq!(judge(&facts(), &silent).unwrap_err(), Wrong::NoReason);

    let on = |me: &str, change: fn(&mut Facts)| {
        let mut facts = Facts { me: me.into(), ..facts() };
        change(&mut facts);
        let drop: Vec<&str> = ["db1", "db2", "app1"].into_iter().filter(|name| *name != me).collect();
        judge(&facts, &asked(me, &drop)).unwrap_err()
    };
    assert_eq!(on("app1", |_| ()), Wrong::Witness("app1".into()));
    let learner = |facts: &mut Facts| facts.survey.membership.voters = vec![BTreeSet::from([1, 3])];
    assert_eq!(on("db2", learner), Wrong::NoVote("db2".into()));
    let alone = |facts: &mut Facts| facts.survey.membership.voters = vec![BTreeSet::from([2])];
    assert_eq!(on("db2", alone), Wrong::HasMajority("db2".into()));
}

/// Whether an operator has to accept a loss: exactly where an acknowledged write may be on a dropped server alone, as
/// far as the kept member knows.
#[test]
fn a_loss_has_to_be_accepted_by_name() {
    let refused = |change: fn(&mut Facts)| {
        let mut facts = facts();
        change(&mut facts);
        let mut wish = asked("db2", &["db1", "app1"]);
        let refused = judge(&facts, &wish).unwrap().refused;
        wish.accepts_loss = true;
        assert_eq!(judge(&facts, &wish).unwrap().refused, None);
        refused.is_some_and(|why| why.contains("--accept-loss"))
    };
    let degraded = |upto| Durability::Degraded {
        since_ms: 1,
        reason: DegradeReason::NoAcker,
        upto,
        may_let_go: true,
        index: 7,
    };
    assert!(!refused(|_| ()));
    assert!(refused(|facts| facts.survey.state.ackers = BTreeSet::from(["app1".into()])));
    assert!(refused(|facts| facts.survey.state.ackers = BTreeSet::from(["app1".into(), "db2".into()])));
    assert!(!refused(|facts| {
        facts.survey.state.ackers = BTreeSet::from(["app1".into(), "db2".into()]);
        facts.survey.state.safety.wait_count = 2;
    }));
    let unacked = |facts: &mut Facts| facts.survey.state.durability = Durability::Unknown;
    assert!(refused(unacked));
    assert!(refused(|facts| facts.survey.left_behind_by = Some(2)));
    // The kept one was the writer itself.
    fn writes(facts: &mut Facts) {
        facts.survey.state.grant.as_mut().unwrap().node = "db2".into();
    }
    assert!(!refused(writes));
    let mut facts = facts();
    writes(&mut facts);
    facts.survey.state.durability = degraded(Some(set("1-88124")));
    assert!(judge(&facts, &asked("db2", &["db1", "app1"])).unwrap().refused.unwrap().contains(":88124"));
}

#[test]
fn a_generation_is_newer_than_all_that_are_known() {
    let mut facts = facts();
    facts.survey.left_behind_by = Some(4);
    let wish = Wish { accepts_loss: true, ..asked("db2", &["db1", "app1"]) };
    assert_eq!(judge(&facts, &wish).unwrap().generation, 5);
}

#[test]
fn a_kept_server_that_cannot_be_opened_is_named() {
    let mut facts = facts();
    let reason = OutReason::Maintenance;
    facts.survey.state.out.insert("db2".into(), Out { reason, since_ms: 0 });
    let prospect = judge(&facts, &asked("db2", &["db1", "app1"])).unwrap();
    assert!(prospect.warnings.iter().any(|warning| warning.contains("db2 is out (maintenance)")));
}
