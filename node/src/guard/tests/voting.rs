//! What a voter grants, and when it says that nothing of it is left.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::world::{TTL, granted};
use crate::guard::clock::{Boottime, Clock, ManualClock};
use crate::guard::{Applied, Electorate, ExpiryAnswer, Judged, LeaseAnswer, LeaseRequest, Notes, Voter};
use crate::state::{ClusterState, Epoch};

struct Log {
    state: ClusterState,
    electorate: Electorate,
    membership_since: Boottime,
    installing: bool,
    note: Option<String>,
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
    fn get(&self, _: &'static str) -> BoxFuture<'_, Result<Option<String>, String>> {
        async { Ok(self.0.lock().unwrap().note.clone()) }.boxed()
    }
    fn put(&self, _: &'static str, value: String) -> BoxFuture<'_, Result<(), String>> {
        async {
            self.0.lock().unwrap().note = Some(value);
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
    let log = Log { state, electorate, membership_since, installing: false, note: None };
    let node = Node(Arc::new(Mutex::new(log)));
    let voter = voter(&node, &clock).await;
    clock.advance(TTL * 10);
    Case { node, clock, voter }
}

async fn voter(node: &Node, clock: &Arc<ManualClock>) -> Voter {
    Voter::new(clock.clone(), Arc::new(node.clone()), Arc::new(node.clone())).await.unwrap()
}

fn request() -> LeaseRequest {
    LeaseRequest { epoch: Epoch(2), membership: 5, length: TTL, keeper_armed: true, hand_over: false }
}

impl Case {
    async fn ask(&self, by: &str, request: LeaseRequest) -> LeaseAnswer {
        self.voter.grant(&by.into(), &request).await
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
    assert_eq!(case.node.0.lock().unwrap().note.as_deref(), Some("15000"), "on disk before it is granted");
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
    assert_eq!(case.left(), Some(stretched(TTL) - TTL / 3), "not from when it was first asked");
    case.clock.advance(TTL);
    assert_eq!(case.left(), None);
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
