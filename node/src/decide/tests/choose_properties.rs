//! `choose` against random histories: a writer's line of transactions, of which every server has received a beginning.

use proptest::prelude::*;

use super::*;
use crate::decide::choose::{Choice, Held, choose};
use crate::state::{Loss, OnLoss};

/// One server beside the old writer's.
#[derive(Clone, Debug)]
struct Server {
    received: u64,
    acker: bool,
    answers: bool,
    still: bool,
    delayed: bool,
    excluded: bool,
    quarantined: bool,
    errant: bool,
}

#[derive(Clone, Debug)]
struct Case {
    dialect: Dialect,
    wait_count: u32,
    promote: bool,
    lossless: bool,
    /// db2 and on.
    servers: Vec<Server>,
    /// How much the old writer has, if it answers: never less than what was acknowledged.
    old: Option<u64>,
    /// Whether the leader has seen everybody.
    seen: bool,
}

fn server() -> impl Strategy<Value = Server> {
    let mostly = || prop::bool::weighted(0.85);
    let seldom = || prop::bool::weighted(0.1);
    (0..20u64, prop::bool::weighted(0.7), mostly(), mostly(), seldom(), seldom(), seldom(), seldom())
        .prop_map(|(received, acker, answers, still, delayed, excluded, quarantined, errant)| Server {
            acker: acker && !quarantined,
            ..Server { received, acker, answers, still, delayed, excluded, quarantined, errant }
        })
}

fn case() -> impl Strategy<Value = Case> {
    let dialect = prop_oneof![Just(Dialect::Mysql), Just(Dialect::Mariadb)];
    let servers = prop::collection::vec(server(), 1..5);
    let old = prop::option::weighted(0.3, 0..5u64);
    (dialect, 1..=2u32, any::<bool>(), any::<bool>(), servers, old, any::<bool>()).prop_map(
        |(dialect, wait_count, promote, lossless, servers, more, seen)| {
            let mut case = Case { dialect, wait_count, promote, lossless, servers, old: None, seen };
            // Fewer ackers than a commit waits for are never lossless.
            case.lossless &= case.servers.iter().filter(|s| s.acker).count() >= wait_count as usize;
            case.old = more.map(|more| case.acknowledged() + more);
            case
        },
    )
}

impl Case {
    /// How much was acknowledged to clients while `wait_count` ackers had to have it.
    fn acknowledged(&self) -> u64 {
        let mut at: Vec<u64> = self.servers.iter().filter(|s| s.acker).map(|s| s.received).collect();
        at.sort_unstable_by(|a, b| b.cmp(a));
        at.get(self.wait_count as usize - 1).copied().unwrap_or(0)
    }

    fn set(&self, upto: u64, errant: Option<u32>) -> GtidSet {
        let mut text = Vec::new();
        if self.dialect == Dialect::Mysql {
            text.extend((upto > 0).then(|| format!("1:1-{upto}")));
            text.extend(errant.map(|server| format!("{server}:1")));
            return my(&text.join(" "));
        }
        text.extend((upto > 0).then(|| format!("0-1-{upto}")));
        text.extend(errant.map(|server| format!("0-{server}-{}", upto + 1)));
        maria(&text.join(","))
    }

    fn of(&self, index: usize) -> (String, GtidSet) {
        let id = index as u32 + 2;
        let server = &self.servers[index];
        (format!("db{id}"), self.set(server.received, server.errant.then_some(id)))
    }

    fn state(&self) -> ClusterState {
        let nodes: Vec<String> = (1..self.servers.len() + 2).map(|n| format!("db{n}")).collect();
        let mut state = cluster(&format!("{} app1", nodes.join(" ")));
        state.ackers.clear();
        for (index, server) in self.servers.iter().enumerate() {
            let (node, _) = self.of(index);
            state.members.get_mut(&name(&node)).unwrap().excluded = server.excluded;
            if server.quarantined {
                quarantine(&mut state, &node, self.set(0, Some(9)));
            }
            if server.acker {
                state.ackers.insert(name(&node));
            }
        }
        state.safety.wait_count = self.wait_count;
        state.safety.on_loss = if self.promote { OnLoss::Promote } else { OnLoss::Wait };
        if !self.lossless {
            state.durability = degraded(None);
        }
        state
    }

    fn answers(&self) -> Vec<Answer> {
        let mut answers = vec![has("app1", self.set(30, None))];
        answers.extend(self.old.map(|old| has("db1", self.set(old, None))));
        for (index, server) in self.servers.iter().enumerate().filter(|(_, s)| s.answers) {
            let (node, set) = self.of(index);
            answers.push(Answer { still: server.still, delayed: server.delayed, ..has(&node, set) });
        }
        answers.retain(|a| a.node != name("app1") || self.servers.len() > 3);
        answers
    }

    fn observed(&self, state: &ClusterState) -> Observations {
        if !self.seen {
            return Observations::default();
        }
        let mut seen = Seen::healthy(state, &self.set(self.acknowledged(), None));
        for index in 0..self.servers.len() {
            let (node, set) = self.of(index);
            *seen.pulse(&node) = follows("db1", &set);
        }
        seen.look()
    }

    fn chosen(&self) -> Result<Choice, Held> {
        let state = self.state();
        choose(&state, &failover("WriterCrashed"), &self.observed(&state), &self.answers())
    }

    /// The servers that answered and may be the writer.
    fn fit(&self) -> impl Iterator<Item = usize> {
        let may = |s: &Server| s.answers && s.still && !s.delayed && !s.excluded && !s.quarantined;
        (0..self.servers.len()).filter(move |i| may(&self.servers[*i]))
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_loss_is_claimed_where_an_acknowledged_write_is_missing(case in case()) {
        let Ok(choice) = case.chosen() else { return Ok(()) };
        if case.lossless && matches!(choice.loss, Loss::None { .. }) {
            let acknowledged = case.set(case.acknowledged(), None);
            prop_assert!(choice.must_apply.contains(&acknowledged).unwrap(), "{choice:?}");
        }
    }

    /// A leader that knows nothing of the old writer cannot tell an errant transaction; then a server with one counts as
    /// ahead, and what was acknowledged decides, as above.
    #[test]
    fn what_any_candidate_received_is_kept_or_said_to_be_lost(case in case()) {
        prop_assume!(case.seen || case.servers.iter().all(|s| !s.errant));
        let Ok(choice) = case.chosen() else { return Ok(()) };
        for index in case.fit() {
            let received = case.set(case.servers[index].received, None);
            let missing = received.subtract(&choice.must_apply).unwrap();
            if let Loss::Ranges(said) = &choice.loss {
                prop_assert!(said.contains(&missing).unwrap(), "{choice:?}");
            } else {
                prop_assert!(missing.is_empty(), "{choice:?}");
            }
        }
    }

    #[test]
    fn the_chosen_may_be_the_writer(case in case()) {
        let Ok(choice) = case.chosen() else { return Ok(()) };
        let fit: Vec<NodeName> = case.fit().map(|i| name(&case.of(i).0)).collect();
        for node in [&choice.node].into_iter().chain(&choice.runners_up) {
            prop_assert!(fit.contains(node) || (*node == name("db1") && case.old.is_some()), "{choice:?}");
        }
        prop_assert!(!choice.ackers.contains(&choice.node) && !choice.ackers.contains(&name("db1")));
    }

    /// Nothing is held up for ever: with every acker's answer and nobody excluded, there is always a next writer.
    #[test]
    fn when_all_answer_somebody_is_chosen(mut case in case()) {
        for server in &mut case.servers {
            (server.answers, server.still, server.delayed, server.excluded) = (true, true, false, false);
            server.acker |= !server.quarantined;
        }
        case.old = None;
        prop_assume!(case.fit().count() >= case.wait_count as usize);
        (case.lossless, case.seen) = (true, true);
        let choice = case.chosen();
        prop_assert!(matches!(&choice, Ok(c) if matches!(c.loss, Loss::None { .. })), "{choice:?}");
    }
}
