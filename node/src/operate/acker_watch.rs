//! Clocks can stop with a paused machine, so a lease alone cannot bind a writer: an acker receives from it only while a
//! majority of the voters says that it still grants the writer's epoch.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::action::Hands;
use super::still;
use crate::consensus::Group;
use crate::guard::repeated;
use crate::state::{ClusterState, Epoch, NodeName};

/// Rounds per lease: as often as the writer's guard asks.
const ROUNDS_PER_LEASE: u32 = 5;

/// What the voters say of the writer's epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Granting {
    /// Nothing that counts yet: a receiver is neither started nor stopped.
    #[default]
    Unknown,
    /// A majority has said within `lease_ttl` that it still grants this epoch: the receiver may run.
    Granted(Epoch),
    /// For `lease_ttl` no majority has: the receiver stops.
    Refused(Epoch),
}

/// Asks the voters, on behalf of the replica beside this node.
pub struct AckerWatch {
    /// This node.
    pub me: NodeName,
    /// The group.
    pub group: Group,
    /// The voters.
    pub hands: Arc<dyn Hands>,
    /// The replicated state, as applied here.
    pub states: watch::Receiver<Arc<ClusterState>>,
}

/// The voters' answers about one epoch. Pure but for the instants it is given.
#[derive(Debug)]
struct Said {
    epoch: Epoch,
    /// Since when this epoch is asked about.
    since: Instant,
    /// When the latest question that each voter answered with yes was asked.
    yes: BTreeMap<NodeName, Instant>,
    /// A majority said yes in the round before.
    in_step: bool,
}

impl Said {
    fn new(epoch: Epoch, now: Instant) -> Self {
        Self { epoch, since: now, yes: BTreeMap::new(), in_step: false }
    }

    /// A first question that nobody has answered yet refuses nothing: only `ttl` without a majority does.
    fn judge(
        &self,
        ttl: Duration,
        now: Instant,
        is_majority: impl Fn(&mut dyn Iterator<Item = &NodeName>) -> bool,
    ) -> Granting {
        let mut fresh = self.yes.iter().filter(|(_, at)| now.duration_since(**at) < ttl).map(|(n, _)| n);
        if is_majority(&mut fresh) {
            Granting::Granted(self.epoch)
        } else if now.duration_since(self.since) >= ttl {
            Granting::Refused(self.epoch)
        } else {
            Granting::Unknown
        }
    }
}

impl AckerWatch {
    /// Watches for ever.
    pub async fn run(mut self, granting: watch::Sender<Granting>) {
        let mut said: Option<Said> = None;
        loop {
            let state = self.states.borrow_and_update().clone();
            let every = state.safety.lease_ttl() / ROUNDS_PER_LEASE;
            let began = Instant::now();
            match state.live_grant().filter(|g| g.node != self.me).map(|g| g.epoch) {
                Some(epoch) => {
                    let of_epoch = said.take().filter(|s| s.epoch == epoch);
                    let of_epoch = said.insert(of_epoch.unwrap_or_else(|| Said::new(epoch, began)));
                    if state.pause.is_some() {
                        // In a pause the voters' daemons may all stop without a receiver stopping for it.
                        of_epoch.since = began;
                    }
                    self.round(of_epoch, state.safety.lease_ttl(), every, &granting).await;
                }
                None => {
                    said = None;
                    tell(&granting, Granting::Unknown);
                }
            }
            let rest = every.saturating_sub(began.elapsed()).max(Duration::from_millis(20));
            let epoch = said.as_ref().map(|s| s.epoch);
            tokio::select! {
                () = sleep(rest) => {}
                // Whoever follows a new writer waits for the first answer.
                ended = another(&mut self.states, epoch) => if ended { return },
            }
        }
    }

    /// One question to every voter, or to a majority of them while that is enough ([`still`]); an answer counts from before
    /// it was asked, and as soon as it is there.
    async fn round(
        &self,
        said: &mut Said,
        ttl: Duration,
        bound: Duration,
        granting: &watch::Sender<Granting>,
    ) {
        let (began, epoch) = (Instant::now(), said.epoch);
        let membership = self.group.membership();
        let judged =
            |said: &Said| said.judge(ttl, Instant::now(), |nodes| self.group.membership().is_majority(nodes));
        let voters = membership.voter_names();
        // When the membership changes, others may be the majority of the next: nobody's yes grows old.
        let is_young = |voter: &NodeName| {
            said.yes.get(voter).is_some_and(|asked| began.saturating_duration_since(*asked) < ttl / 2)
        };
        let (first, rest) = if said.in_step && voters.iter().all(is_young) {
            still::in_turns(voters, &self.me, &said.yes, |nodes| membership.is_majority(nodes))
        } else {
            (voters.into_iter().collect(), Vec::new())
        };
        let question = |voter: NodeName| async move { still_grants(&*self.hands, &voter, epoch).await };
        // Half of the round is left to the others.
        let all = still::ask(first, rest, bound / 2, question, |voter, asked| {
            said.yes.insert(voter, asked);
            tell(granting, judged(said));
        });
        let _late_ones_are_asked_again = tokio::time::timeout(bound, all).await;
        let mut in_step = said.yes.iter().filter(|(_, asked)| **asked >= began).map(|(voter, _)| voter);
        said.in_step = membership.is_majority(&mut in_step);
        tell(granting, judged(said));
    }
}

/// Asked as the guard asks for its lease: a stall inside one TCP stream stops no receiver.
async fn still_grants(hands: &dyn Hands, voter: &NodeName, epoch: Epoch) -> Option<bool> {
    repeated(|lane| hands.still_grants(voter.clone(), epoch, lane)).await
}

fn tell(granting: &watch::Sender<Granting>, now: Granting) {
    granting.send_if_modified(|g| std::mem::replace(g, now) != now);
}

/// Waits until another epoch is granted; true when the states have ended.
async fn another(states: &mut watch::Receiver<Arc<ClusterState>>, epoch: Option<Epoch>) -> bool {
    let is_another =
        |s: &Arc<ClusterState>| s.live_grant().map(|g| g.epoch).is_some_and(|e| Some(e) != epoch);
    loop {
        if states.changed().await.is_err() {
            return true;
        }
        if is_another(&states.borrow_and_update()) {
            return false;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use futures::future::{BoxFuture, pending};

    use super::*;
    use crate::guard::ExpiryAnswer;
    use crate::operate::action::{Acted, Action, Order};

    const TTL: Duration = Duration::from_millis(1500);

    fn judge(said: &Said, now: Instant) -> Granting {
        said.judge(TTL, now, |nodes| nodes.count() >= 2)
    }

    #[test]
    fn a_first_round_without_answers_refuses_nothing() {
        let start = Instant::now();
        let said = Said::new(Epoch(3), start);
        assert_eq!(judge(&said, start + TTL / 5), Granting::Unknown);
        assert_eq!(judge(&said, start + TTL), Granting::Refused(Epoch(3)));
    }

    #[test]
    fn a_majority_counts_for_a_lease_from_its_question_and_again_when_it_is_back() {
        let start = Instant::now();
        let mut said = Said::new(Epoch(3), start);
        said.yes.insert("a".into(), start);
        assert_eq!(judge(&said, start), Granting::Unknown, "one of three is none");
        said.yes.insert("b".into(), start + TTL / 5);
        assert_eq!(judge(&said, start + TTL / 5), Granting::Granted(Epoch(3)));
        assert_eq!(judge(&said, start + TTL), Granting::Refused(Epoch(3)), "a's answer is too old now");
        said.yes.insert("a".into(), start + TTL);
        assert_eq!(judge(&said, start + TTL), Granting::Granted(Epoch(3)));
    }

    /// The first connection to every voter is stalled.
    struct Stalled;

    impl Hands for Stalled {
        fn act(&self, _: NodeName, _: Order, _: Action, _: Duration) -> BoxFuture<'_, Option<Acted>> {
            pending().boxed()
        }
        fn expired(&self, _: NodeName, _: Epoch, _: Duration) -> BoxFuture<'_, Option<ExpiryAnswer>> {
            pending().boxed()
        }
        fn still_grants(&self, _: NodeName, _: Epoch, lane: usize) -> BoxFuture<'static, Option<bool>> {
            async move { if lane == 0 { pending().await } else { Some(true) } }.boxed()
        }
        fn close_over_sql(&self, _: NodeName, _: Duration) -> BoxFuture<'_, Result<String, String>> {
            pending().boxed()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stalled_connection_is_answered_for_by_the_other_within_the_round() {
        let round = TTL / ROUNDS_PER_LEASE;
        let voter = NodeName::from("a");
        let said = tokio::time::timeout(round, still_grants(&Stalled, &voter, Epoch(3))).await;
        assert_eq!(said, Ok(Some(true)));
    }
}
