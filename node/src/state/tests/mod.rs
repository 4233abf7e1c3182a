#![allow(clippy::unwrap_used)]

mod backup;
mod maintenance;
mod promises;
mod quarantine;
mod rebuild;
mod recovery;
mod retention;
mod schedule;
mod settings;
mod switchover;

use std::collections::BTreeSet;

use super::*;

fn name(text: &str) -> NodeName {
    NodeName::from(text)
}

/// Applies changes one after the other, as a log does.
struct Log {
    state: ClusterState,
    index: u64,
}

impl Log {
    fn formed() -> Self {
        let member = |server: Option<&str>| Member { server: server.map(str::to_owned), ..Member::default() };
        let mut log = Self { state: ClusterState::default(), index: 0 };
        let members = [("db1", Some("a")), ("db2", Some("b")), ("db3", Some("c")), ("app1", None)];
        let form = Change::Form {
            cluster: Cluster { name: "shop".into(), id: "1".into() },
            members: members.into_iter().map(|(n, s)| (name(n), member(s))).collect(),
            safety: Safety::default(),
        };
        log.does(form).unwrap();
        log
    }

    fn adopted() -> Self {
        let mut log = Self::formed();
        log.does(Change::Adopt { operation: id("a"), node: name("db1"), by: "me".into() }).unwrap();
        log
    }

    fn does(&mut self, change: Change) -> Result<(), Refusal> {
        self.by("db1", change)
    }

    fn by(&mut self, by: &str, change: Change) -> Result<(), Refusal> {
        self.index += 1;
        let id = CommandId(self.index.to_string());
        let before = self.state.clone();
        let command = Command { id, by: name(by), at_ms: self.index as i64, change };
        let outcome = self.state.apply(self.index, &command).into_result();
        if outcome.is_err() {
            let mut after = self.state.clone();
            after.remembered = before.remembered.clone();
            assert_eq!(after, before, "a refused command changes nothing");
        }
        outcome
    }
}

fn id(text: &str) -> OperationId {
    OperationId(text.into())
}

fn begin(op: &str, epoch: u64) -> Change {
    Change::Begin(Begin {
        operation: id(op),
        epoch: Epoch(epoch),
        diagnosis: "WriterCrashed".into(),
        evidence: vec![],
        forced: None,
        wanted: None,
        last_seen: None,
    })
}

fn grant(op: &str, from: u64, node: &str) -> Change {
    Change::Grant(NextGrant {
        operation: id(op),
        from: Epoch(from),
        node: name(node),
        proof: Proof { kind: ProofKind::Gone, detail: "exited".into() },
        loss: Loss::None { proven_by: vec![] },
        durability: Durability::Unknown,
        ackers: BTreeSet::from([name("db1"), name("db2"), name("db3")]),
    })
}

#[test]
fn an_epoch_is_granted_only_after_its_predecessor_is_revoked() {
    let mut log = Log::adopted();
    assert_eq!(log.does(grant("x", 1, "db2")), Err(Refusal::NotRevoked(Epoch(1))));
    log.does(begin("x", 1)).unwrap();
    assert!(log.state.is_revoked(Epoch(1)) && log.state.live_grant().is_none());
    log.does(grant("x", 1, "db2")).unwrap();
    assert_eq!(log.state.live_grant().unwrap().epoch, Epoch(2));
    assert_eq!(
        log.state.ackers,
        BTreeSet::from([name("db1"), name("db3")]),
        "the writer is not its own acker"
    );
}

#[test]
fn one_epoch_names_one_node() {
    let mut log = Log::adopted();
    log.does(begin("x", 1)).unwrap();
    log.does(grant("x", 1, "db2")).unwrap();
    let second = log.does(grant("x", 1, "db3"));
    assert_eq!(second, Err(Refusal::OtherEpoch { have: Epoch(2), given: Epoch(1) }));
    assert_eq!(log.state.grant.as_ref().unwrap().node, name("db2"));
}

#[test]
fn nobody_starts_a_second_failover_of_one_epoch() {
    let mut log = Log::adopted();
    log.does(begin("x", 1)).unwrap();
    assert_eq!(log.does(begin("y", 1)), Err(Refusal::Revoked(Epoch(1))));
    assert_eq!(log.does(grant("y", 1, "db2")), Err(Refusal::NotUnderWay(id("y"))));
}

#[test]
fn a_failover_whose_candidate_is_lost_is_superseded_by_the_next() {
    let mut log = Log::adopted();
    log.does(begin("x", 1)).unwrap();
    log.does(grant("x", 1, "db2")).unwrap();
    log.does(begin("y", 2)).unwrap();
    assert_eq!(log.state.history.back().unwrap().ending, Ending::Superseded);
    assert_eq!(log.state.operation.as_ref().unwrap().id, id("y"));
}

#[test]
fn a_failover_does_not_end_without_a_next_epoch() {
    let mut log = Log::adopted();
    log.does(begin("x", 1)).unwrap();
    let ended = log.does(Change::End { operation: id("x"), ending: Ending::Done });
    assert_eq!(ended, Err(Refusal::Revoked(Epoch(1))));
}

#[test]
fn out_and_the_grant_exclude_each_other() {
    let mut log = Log::adopted();
    let out = |node: &str| Change::TakeOut { node: name(node), reason: OutReason::Maintenance };
    assert_eq!(log.does(out("db1")), Err(Refusal::HoldsGrant(name("db1"))));
    log.does(out("db2")).unwrap();
    log.does(begin("x", 1)).unwrap();
    assert_eq!(log.does(grant("x", 1, "db2")), Err(Refusal::IsOut(name("db2"))));
    log.does(grant("x", 1, "db3")).unwrap();
    assert!(!log.state.ackers.contains(&name("db2")), "a server that is out is no acker");
}

#[test]
fn a_witness_is_neither_writer_nor_acker() {
    let mut log = Log::adopted();
    let ackers =
        Change::Ackers { epoch: Epoch(1), ackers: BTreeSet::from([name("app1")]), why: String::new() };
    assert_eq!(log.does(ackers), Err(Refusal::Witness(name("app1"))));
    log.does(begin("x", 1)).unwrap();
    assert_eq!(log.does(grant("x", 1, "app1")), Err(Refusal::Witness(name("app1"))));
}

#[test]
fn a_late_lossless_ends_nothing_newer() {
    let mut log = Log::adopted();
    let ackers =
        Change::Ackers { epoch: Epoch(1), ackers: BTreeSet::from([name("db2")]), why: String::new() };
    log.does(ackers).unwrap();
    let degrade = || Change::Degrade { epoch: Epoch(1), reason: DegradeReason::NoAcker, upto: None };
    log.does(degrade()).unwrap();
    let first = log.index;
    log.does(degrade()).unwrap();
    let late = log.does(Change::Lossless { epoch: Epoch(1), after: first });
    assert_eq!(late, Err(Refusal::DurabilityChanged));
    log.does(Change::Lossless { epoch: Epoch(1), after: log.index - 1 }).unwrap();
    assert!(log.state.durability.is_lossless());
}

#[test]
fn a_repeat_is_applied_once_and_answered_alike() {
    let mut log = Log::adopted();
    let command = Command { id: CommandId("r".into()), by: name("db1"), at_ms: 5, change: begin("x", 1) };
    assert_eq!(log.state.apply(90, &command), Outcome::Applied);
    let after = log.state.clone();
    assert_eq!(log.state.apply(91, &command), Outcome::Applied);
    assert_eq!(log.state, after);
}

#[test]
fn only_its_own_node_reports_a_server_open() {
    let mut log = Log::adopted();
    log.does(begin("x", 1)).unwrap();
    log.does(grant("x", 1, "db2")).unwrap();
    assert!(log.by("db3", Change::Opened { epoch: Epoch(2) }).is_err());
    log.by("db2", Change::Opened { epoch: Epoch(2) }).unwrap();
    assert!(log.state.grant.as_ref().unwrap().opened_ms.is_some());
}

#[test]
fn a_pause_holds_the_automation_but_not_an_operator() {
    let mut log = Log::adopted();
    let word = Forced { by: "me".into(), reason: "work".into() };
    log.does(Change::Pause { until_ms: 1_000, word: word.clone() }).unwrap();
    assert_eq!(log.does(begin("x", 1)), Err(Refusal::Paused));
    let Change::Begin(mut forced) = begin("x", 1) else { unreachable!() };
    forced.forced = Some(word);
    log.does(Change::Begin(forced)).unwrap();
}

#[test]
fn release_and_adopt_again_never_reuses_an_epoch() {
    let mut log = Log::adopted();
    let word = Forced { by: "me".into(), reason: "enough".into() };
    log.does(Change::Release { operation: id("r"), word }).unwrap();
    assert_eq!(log.state.phase, Phase::Observing);
    log.does(Change::Adopt { operation: id("a2"), node: name("db2"), by: "me".into() }).unwrap();
    assert_eq!(log.state.epoch(), Epoch(2));
}

#[test]
fn the_state_survives_json() {
    let mut log = Log::adopted();
    log.does(begin("x", 1)).unwrap();
    log.does(grant("x", 1, "db2")).unwrap();
    let text = serde_json::to_string(&log.state).unwrap();
    assert_eq!(serde_json::from_str::<ClusterState>(&text).unwrap(), log.state);
}
