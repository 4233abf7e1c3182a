//! What a guard holds, from the voters' answers. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use super::clock::Boottime;
use super::ports::{Electorate, LeaseRequest};
use crate::mutation::mutate;
use crate::state::{NodeName, OPEN_ENDED};

/// The rounds of requests of one epoch. Every answer counts for its own round: a voter that answered the round begun at
/// `t` keeps its word until after `t` + the length, whenever the answer came in.
#[derive(Clone, Debug)]
pub struct Rounds {
    electorate: Electorate,
    /// The end of each voter's word, and the length it was given for.
    granted_until: BTreeMap<NodeName, (Boottime, Duration)>,
}

impl Rounds {
    /// No answer yet.
    pub fn new(electorate: Electorate) -> Self {
        Self { electorate, granted_until: BTreeMap::new() }
    }

    /// Who is asked.
    pub fn electorate(&self) -> &Electorate {
        &self.electorate
    }

    /// A newer membership: the answers of its voters stay, and now need its majorities.
    pub fn adopt(&mut self, newer: Electorate) {
        if newer.index > self.electorate.index || self.electorate.sets.is_empty() {
            self.electorate = newer;
        }
    }

    /// A voter granted a request: from its round on, for its length. One without an end is [`Boottime::NEVER`].
    pub fn granted(&mut self, voter: NodeName, request: &LeaseRequest) {
        let length = if mutate!(LeaseTooLong) { request.length + request.length / 5 } else { request.length };
        let end = if request.length == OPEN_ENDED { Boottime::NEVER } else { request.round + length };
        let until = self.granted_until.entry(voter).or_insert((Boottime::BOOT, request.length));
        *until = (*until).max((end, request.length));
    }

    /// Until when a majority of every set keeps its word; `None` before a first majority.
    pub fn until(&self) -> Option<Boottime> {
        self.held().map(|(until, _)| until)
    }

    /// [`Self::until`], and the length for which that was granted.
    pub fn held(&self) -> Option<(Boottime, Duration)> {
        self.electorate.sets.iter().map(|set| self.majority(set)).min()?
    }

    fn majority(&self, set: &[NodeName]) -> Option<(Boottime, Duration)> {
        let mut ends: Vec<(Boottime, Duration)> =
            set.iter().filter_map(|v| self.granted_until.get(v).copied()).collect();
        ends.sort_unstable();
        // With the ends rising, the last `majority` of them all reach at least this one.
        let majority = set.len() / 2 + 1;
        ends.len().checked_sub(majority).and_then(|at| ends.get(at).copied())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::state::Epoch;

    const TTL: Duration = Duration::from_millis(1500);

    fn at(ms: u64) -> Boottime {
        Boottime::BOOT + Duration::from_millis(ms)
    }

    fn request(round_ms: u64) -> LeaseRequest {
        LeaseRequest {
            epoch: Epoch(1),
            membership: 1,
            length: TTL,
            keeper_armed: true,
            hand_over: false,
            settled: true,
            round: at(round_ms),
        }
    }

    fn rounds(sets: &[&[&str]]) -> Rounds {
        let sets = sets.iter().map(|s| s.iter().map(|n| NodeName::from(*n)).collect()).collect();
        Rounds::new(Electorate { index: 1, sets })
    }

    #[test]
    fn a_lease_needs_a_majority_and_lasts_as_long_as_its_weakest_member() {
        let mut rounds = rounds(&[&["a", "b", "c"]]);
        rounds.granted("a".into(), &request(300));
        assert_eq!(rounds.until(), None, "one of three is none");
        rounds.granted("b".into(), &request(0));
        assert_eq!(rounds.until(), Some(at(1500)), "the majority holds only until its earlier round ends");
        rounds.granted("c".into(), &request(200));
        assert_eq!(rounds.until(), Some(at(1700)));
    }

    #[test]
    fn a_late_answer_to_an_old_round_shortens_nothing() {
        let mut rounds = rounds(&[&["a", "b", "c"]]);
        rounds.granted("a".into(), &request(300));
        rounds.granted("b".into(), &request(300));
        rounds.granted("b".into(), &request(0));
        assert_eq!(rounds.until(), Some(at(1800)));
    }

    #[test]
    fn two_of_four_are_no_majority() {
        let mut rounds = rounds(&[&["a", "b", "c", "d"]]);
        rounds.granted("a".into(), &request(0));
        rounds.granted("b".into(), &request(0));
        assert_eq!(rounds.until(), None);
    }

    #[test]
    fn a_joint_membership_needs_both_majorities() {
        let mut rounds = rounds(&[&["a", "b", "c"], &["c", "d", "e"]]);
        rounds.granted("a".into(), &request(0));
        rounds.granted("b".into(), &request(0));
        assert_eq!(rounds.until(), None);
        rounds.granted("d".into(), &request(100));
        rounds.granted("e".into(), &request(100));
        assert_eq!(rounds.until(), Some(at(1500)));
    }

    #[test]
    fn no_voters_grant_nothing() {
        assert_eq!(rounds(&[]).until(), None);
        assert_eq!(rounds(&[&[]]).until(), None);
    }
}
