//! What a voter grants, and when it says that nothing of it is left.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::world::{TTL, granted};
use crate::guard::clock::{Boottime, Clock, ManualClock};
use crate::guard::{Applied, Electorate, ExpiryAnswer, Judged, LeaseAnswer, LeaseRequest, Notes, Voter};
use crate::state::{ClusterState, Epoch, OPEN_ENDED, Pause};

const HAND_OVER: Duration = Duration::from_secs(15);

struct Log {
    state: ClusterState,
    electorate: Electorate,
    membership_since: Boottime,
    installing: bool,
    notes: BTreeMap<&'static str, String>,
}

#[derive(Clone)]
struct Node(Arc<Mutex<Log>>);

impl Applied for Node {
    fn with(&self, judge: &mut dyn FnMut(Judged<'_>)) -> Option<()> {
        let log = self.0.lock().unwrap();
        let (state, electorate) = (&log.state, &log.electorate);
        (!log.installing).then(|| judge(Judged { state, electorate, membership_since: log.membership_since }))
    }
}

impl Notes for Node {
    fn get(&self, key: &'static str) -> BoxFuture<'_, Result<Option<String>, String>> {
        async move { Ok(self.0.lock().unwrap().notes.get(key).cloned()) }.boxed()
    }
    fn put(&self, key: &'static str, value: String) -> BoxFuture<'_, Result<(), String>> {
        async move {
            self.0.lock().unwrap().notes.insert(key, value);
            Ok(())
        }
        .boxed()
    }
}

/// A voter of a group whose epoch 2 is a's, long after its start.
struct Case {
    node: Node,
    clock: Arc<ManualClock>,
    voter: Voter,
}

async fn case() -> Case {
    let mut state = granted(2);
    state.revoked_through = Epoch(1);
    let electorate = Electorate { index: 5, sets: vec![vec!["a".into(), "b".into(), "c".into()]] };
    let clock = Arc::new(ManualClock::at(Boottime::BOOT + Duration::from_secs(100)));
    let membership_since = clock.now();
    let log = Log { state, electorate, membership_since, installing: false, notes: BTreeMap::new() };
    let node = Node(Arc::new(Mutex::new(log)));
    let voter = voter(&node, &clock).await;
    clock.advance(HAND_OVER * 2);
    Case { node, clock, voter }
}

async fn voter(node: &Node, clock: &Arc<ManualClock>) -> Voter {
    Voter::new(clock.clone(), Arc::new(node.clone()), Arc::new(node.clone())).await.unwrap()
}

fn request() -> LeaseRequest {
    LeaseRequest {
        epoch: Epoch(2),
        membership: 5,
        length: TTL,
        keeper_armed: true,
        hand_over: false,
        settled: false,
        round: Boottime::BOOT,
    }
}

impl Case {
    async fn ask(&self, by: &str, request: LeaseRequest) -> LeaseAnswer {
        self.voter.grant(&by.into(), &request).await
    }

    /// A request of the moment, for a hand-over.
    fn hand_over(&self) -> LeaseRequest {
        LeaseRequest { length: HAND_OVER, hand_over: true, round: self.clock.now(), ..request() }
    }

    /// One for a pause.
    fn open_end(&self) -> LeaseRequest {
        LeaseRequest { length: OPEN_ENDED, round: self.clock.now(), ..request() }
    }

    /// One that says that nothing longer is held.
    fn settled(&self) -> LeaseRequest {
        LeaseRequest { settled: true, round: self.clock.now(), ..request() }
    }

    fn note(&self, key: &'static str) -> Option<String> {
        self.node.0.lock().unwrap().notes.get(key).cloned()
    }

    fn state(&self, change: impl FnOnce(&mut ClusterState)) {
        change(&mut self.node.0.lock().unwrap().state);
    }

    fn pause(&self) {
        let pause = Pause { until_ms: 1, by: "ann".into(), reason: "disks".into() };
        self.state(|s| {
            s.pause = Some(pause);
            s.grant.as_mut().unwrap().paused_at = Some(6);
        });
    }

    fn resume(&self) {
        self.state(|s| s.pause = None);
    }

    /// The same voter, its process started again.
    async fn restarted(self) -> Self {
        Self { voter: voter(&self.node, &self.clock).await, ..self }
    }

    fn revoke(&self) {
        self.node.0.lock().unwrap().state.revoked_through = Epoch(2);
    }

    fn left(&self) -> Option<Duration> {
        match self.voter.expired(Epoch(2)) {
            ExpiryAnswer::Expired => None,
            ExpiryAnswer::Left(left) => Some(left),
            ExpiryAnswer::NotRevoked => panic!("not revoked"),
        }
    }
}

fn stretched(length: Duration) -> Duration {
    length.mul_f64(1.002)
}

#[tokio::test]
async fn only_the_grants_own_guard_gets_a_lease() {
    let case = case().await;
    assert_eq!(case.ask("a", request()).await, LeaseAnswer::Granted);
    let refused = [
        ("b", request()),
        ("a", LeaseRequest { epoch: Epoch(1), ..request() }),
        ("a", LeaseRequest { epoch: Epoch(3), ..request() }),
        ("a", LeaseRequest { keeper_armed: false, ..request() }),
        ("a", LeaseRequest { length: TTL + Duration::from_millis(1), ..request() }),
        ("a", LeaseRequest { length: Duration::from_secs(16), hand_over: true, ..request() }),
    ];
    for (by, request) in refused {
        let answer = case.ask(by, request.clone()).await;
        assert!(
            matches!(answer, LeaseAnswer::Refused { membership: None, .. }),
            "{by} {request:?} {answer:?}"
        );
    }
    let hand_over = LeaseRequest { length: Duration::from_secs(15), hand_over: true, ..request() };
    assert_eq!(case.ask("a", hand_over).await, LeaseAnswer::Granted);
}

#[tokio::test]
async fn a_guard_with_an_older_membership_is_sent_the_newer_one() {
    let case = case().await;
    let newer = case.node.0.lock().unwrap().electorate.clone();
    let answer = case.ask("a", LeaseRequest { membership: 4, ..request() }).await;
    assert!(matches!(answer, LeaseAnswer::Refused { membership: Some(m), .. } if m == newer));
}

#[tokio::test]
async fn a_revoked_epoch_is_granted_no_more() {
    let case = case().await;
    assert_eq!(case.voter.expired(Epoch(2)), ExpiryAnswer::NotRevoked);
    assert!(case.voter.still_grants(Epoch(2)));
    case.revoke();
    assert!(matches!(case.ask("a", request()).await, LeaseAnswer::Refused { .. }));
    assert!(!case.voter.still_grants(Epoch(2)));
}

#[tokio::test]
async fn while_a_snapshot_is_installed_nothing_is_granted_and_nothing_has_expired() {
    let case = case().await;
    case.revoke();
    case.node.0.lock().unwrap().installing = true;
    assert!(matches!(case.ask("a", request()).await, LeaseAnswer::Refused { .. }));
    assert_eq!(case.voter.expired(Epoch(2)), ExpiryAnswer::NotRevoked);
    assert!(!case.voter.still_grants(Epoch(2)));
}

#[tokio::test]
async fn a_lease_has_expired_once_it_has_run_out_stretched_by_drift() {
    let case = case().await;
    case.ask("a", request()).await;
    case.clock.advance(TTL / 3);
    case.ask("a", request()).await;
    case.revoke();
    assert_eq!(case.left(), Some(stretched(TTL)));
    case.clock.advance(TTL);
    assert_eq!(case.left(), Some(stretched(TTL) - TTL));
    case.clock.advance(stretched(TTL) - TTL);
    assert_eq!(case.left(), None);
}

#[tokio::test]
async fn one_that_granted_nothing_has_nothing_to_wait_for() {
    let case = case().await;
    case.revoke();
    assert_eq!(case.left(), None);
}

#[tokio::test]
async fn a_restarted_voter_counts_the_longest_length_it_ever_granted() {
    let case = case().await;
    let hand_over = LeaseRequest { length: Duration::from_secs(15), hand_over: true, ..request() };
    case.ask("a", hand_over).await;
    assert_eq!(case.note("voter.longest_grant_ms").as_deref(), Some("15000"), "on disk before it is granted");
    case.revoke();
    let again = Case { voter: voter(&case.node, &case.clock).await, ..case };
    assert_eq!(again.left(), Some(stretched(Duration::from_secs(15))));
    again.clock.advance(stretched(Duration::from_secs(15)));
    assert_eq!(again.left(), None);
}

/// The voters of the membership before may have granted up to the change; one that has just joined never granted anything
/// and knows nothing of theirs.
#[tokio::test]
async fn a_change_of_membership_is_waited_out_from_when_it_was_applied() {
    let case = case().await;
    case.revoke();
    case.node.0.lock().unwrap().membership_since = case.clock.now();
    case.clock.advance(TTL / 3);
    assert_eq!(case.left(), Some(stretched(HAND_OVER) - TTL / 3), "not from when it was first asked");
    case.clock.advance(HAND_OVER);
    assert_eq!(case.left(), None);
}

/// The guard's own word, under the new membership, is worth more than what others may have granted.
#[tokio::test]
async fn a_settled_lease_shortens_what_is_waited_for_after_a_change_of_membership() {
    let case = case().await;
    case.node.0.lock().unwrap().membership_since = case.clock.now();
    case.ask("a", case.settled()).await;
    case.revoke();
    assert_eq!(case.left(), Some(stretched(TTL)));
}

#[tokio::test]
async fn a_hand_over_is_forgotten_once_the_guard_says_that_its_lease_is_ordinary() {
    let case = case().await;
    case.ask("a", case.hand_over()).await;
    let before = case.settled();
    case.clock.advance(TTL);
    case.ask("a", case.hand_over()).await;
    case.ask("a", request()).await;
    case.ask("a", before).await;
    assert_eq!(case.note("voter.longest_grant_ms").as_deref(), Some("15000"));
    let long = Case { voter: voter(&case.node, &case.clock).await, ..case };
    long.clock.advance(TTL);
    // What an older request says, one that was overtaken by the hand-over, counts for nothing.
    long.ask("a", long.hand_over()).await;
    long.ask("a", LeaseRequest { round: Boottime::BOOT, ..long.settled() }).await;
    long.revoke();
    assert_eq!(long.left(), Some(stretched(HAND_OVER)));
    long.state(|s| s.revoked_through = Epoch(1));
    long.clock.advance(TTL);
    long.ask("a", long.settled()).await;
    assert_eq!(long.note("voter.longest_grant_ms").as_deref(), Some("1500"), "off the disk too");
    long.revoke();
    assert_eq!(long.left(), Some(stretched(TTL)));
}

#[tokio::test]
async fn an_open_end_is_granted_in_a_pause_alone_and_kept_on_disk() {
    let case = case().await;
    assert!(matches!(case.ask("a", case.open_end()).await, LeaseAnswer::Refused { .. }));
    case.pause();
    assert_eq!(case.ask("a", case.open_end()).await, LeaseAnswer::Granted);
    assert_eq!(case.note("voter.open_ended_epoch").as_deref(), Some("2"), "on disk before it is granted");
    let case = case.restarted().await;
    case.clock.advance(HAND_OVER * 1000);
    case.revoke();
    assert!(case.left().is_some(), "it never expires");
}

/// The guard asks for less long before its keeper has a deadline again, and the end of the pause may be known to it first.
#[tokio::test]
async fn an_open_end_is_forgotten_once_the_end_of_the_pause_is_applied_and_the_guard_has_settled() {
    let case = case().await;
    case.pause();
    case.ask("a", case.open_end()).await;
    case.clock.advance(TTL);
    assert_eq!(case.ask("a", case.settled()).await, LeaseAnswer::Granted);
    case.resume();
    case.ask("a", LeaseRequest { settled: false, ..case.settled() }).await;
    case.revoke();
    assert!(case.left() > Some(HAND_OVER));
    case.state(|s| s.revoked_through = Epoch(1));
    case.ask("a", case.settled()).await;
    assert_eq!(case.note("voter.open_ended_epoch").as_deref(), Some("0"));
    let again = case.restarted().await;
    again.revoke();
    assert_eq!(again.left(), Some(stretched(TTL)));
}

/// Voters that have left may have granted an open end, and one that has just joined knows nothing of it.
#[tokio::test]
async fn after_a_pause_a_changed_membership_needs_the_guards_word() {
    let case = case().await;
    case.pause();
    case.resume();
    case.node.0.lock().unwrap().electorate.index = 7;
    case.clock.advance(HAND_OVER * 2);
    case.revoke();
    assert!(case.left() > Some(HAND_OVER));
    case.state(|s| s.revoked_through = Epoch(1));
    case.ask("a", LeaseRequest { membership: 7, ..case.settled() }).await;
    case.revoke();
    assert_eq!(case.left(), Some(stretched(TTL)));
}

/// The voters of the membership before granted 15 s just before the lease was shortened.
#[tokio::test]
async fn a_voter_of_a_new_membership_counts_the_longest_lease_that_ever_was_in_force() {
    let case = case().await;
    {
        let mut log = case.node.0.lock().unwrap();
        log.state.longest_lease_ms = 15_000;
        log.membership_since = case.clock.now();
    }
    case.revoke();
    case.clock.advance(TTL * 2);
    assert!(case.left().is_some(), "the old membership's lease may still run");
    case.clock.advance(Duration::from_millis(15_100) - TTL * 2);
    assert_eq!(case.left(), None);
}
