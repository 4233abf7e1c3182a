//! Answers as tables and golden pages, and the services on a group of one and of three.
#![allow(clippy::unwrap_used)]

mod answers;
mod peer;
mod quarantine;
mod routing;
mod service;
mod web;

use std::collections::{BTreeMap, BTreeSet};

use super::View;
use crate::consensus::{Leadership, Member, MembershipView};
use crate::decide::diagnose::Lasting;
use crate::decide::sample::{NOW_MS, Seen, name};
use crate::decide::seen::Observations;
use crate::operate::Followers;
use crate::state::{ClusterState, NodeName};

/// Everything a view borrows from.
struct Scene {
    state: ClusterState,
    seen: Observations,
    membership: MembershipView,
    leadership: Leadership,
    me: NodeName,
    followers: Followers,
}

impl Scene {
    /// Answered by app1, which leads.
    fn new((state, seen): (ClusterState, Seen)) -> Self {
        let members: BTreeMap<u64, Member> = state
            .members
            .iter()
            .zip(1..)
            .map(|((n, m), id)| (id, Member::new(n.clone(), &m.peer, "s")))
            .collect();
        let voters: BTreeSet<u64> = members.keys().copied().collect();
        let leadership = Leadership { leader: Some(name("app1")), term: (12 << 32) | 1, mine: true };
        let membership = MembershipView { voters: vec![voters], members, ..MembershipView::default() };
        Self {
            state,
            seen: seen.observations(),
            membership,
            leadership,
            me: name("app1"),
            followers: Followers::new(),
        }
    }

    fn view(&self) -> View<'_> {
        View {
            cluster: "shop",
            me: &self.me,
            state: &self.state,
            seen: &self.seen,
            lasting: Lasting::default(),
            membership: &self.membership,
            leadership: &self.leadership,
            without_leader: None,
            followers: &self.followers,
            now_ms: NOW_MS,
        }
    }
}
