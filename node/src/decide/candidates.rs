//! Which answers count, for what, and in which order. Pure; [`super::choose`] puts the policy on top.

use std::cmp::Reverse;

use super::choose::{Answer, Held};
use super::diagnose::FRESH;
use super::diagnosis::LostKind;
use super::seen::Observations;
use crate::gtid::{Dialect, GtidSet, MysqlSet};
use crate::mutation::mutate;
use crate::state::{BackupWork, ClusterState, NodeName, OnClosedByHand, Operation, OutReason};

/// A backup under way is ended within a second, in which so many transactions can be applied elsewhere.
const BACKUP_COSTS: u64 = 1_000;

/// Everything a choice looks at.
pub(super) struct Field<'a> {
    pub(super) state: &'a ClusterState,
    pub(super) operation: &'a Operation,
    pub(super) seen: &'a Observations,
    pub(super) answers: &'a [Answer],
    /// Whose epoch ends.
    pub(super) old: Option<&'a NodeName>,
    /// What the old writer was last seen with, when the operation began or since; `None` when it was never seen.
    pub(super) last: Option<GtidSet>,
    /// That, and what has to be there in any case; `None` when nothing is known.
    pub(super) known: Option<GtidSet>,
    /// What the answers, the old writer's apart, received: errant parts taken off, quarantined servers left out. Whoever
    /// becomes the writer should have all of it.
    marks: Vec<GtidSet>,
}

impl<'a> Field<'a> {
    pub(super) fn new(
        state: &'a ClusterState,
        operation: &'a Operation,
        seen: &'a Observations,
        answers: &'a [Answer],
    ) -> Self {
        let old = operation.from_node.as_ref();
        let last = join(old.and_then(|o| seen.last_seen_set(o)), operation.last_seen.clone());
        let known = join(last.clone(), state.durability.upto().cloned());
        let mut field = Self { state, operation, seen, answers, old, last, known, marks: Vec::new() };
        let apart = |r: &OutReason| matches!(r, OutReason::Quarantine { .. } | OutReason::Rebuild);
        let quarantined = |n: &NodeName| state.out.get(n).is_some_and(|o| apart(&o.reason));
        let has_server = |n: &NodeName| state.members.get(n).is_some_and(|m| m.server.is_some());
        // What only the old writer has was never acknowledged while lossless; it sets no mark for the others.
        field.marks = answers
            .iter()
            .filter(|a| Some(&a.node) != old && has_server(&a.node) && !quarantined(&a.node))
            .map(|a| field.without_errant(a))
            .collect();
        field
    }

    /// The servers that may become the writer, best first.
    pub(super) fn fit(&self) -> Vec<&'a Answer> {
        let mut fit: Vec<&Answer> = self.answers.iter().filter(|a| self.is_fit(a)).collect();
        fit.sort_by_cached_key(|a| {
            let priority = self.state.members.get(&a.node).map_or(0, |m| m.priority);
            let hampered = self.seen.own(&a.node).is_some_and(|o| o.guard.trouble.is_some());
            let errant = self.errant(a).is_some();
            let elsewhere = self.is_in_another_zone(&a.node);
            // A replica may be of a later version than its source and not the other way round.
            let version = self.seen.own(&a.node).and_then(|o| o.about.as_ref()).map(|about| about.number);
            let disk = self.seen.tried(&a.node).and_then(|t| t.disk).is_some_and(|d| d.is_nearly_full());
            let preferred = (Reverse(priority), elsewhere, version, disk);
            // Whoever has less to apply opens sooner: one that lags is waited for before the next is tried.
            let unapplied = a.received.subtract(&a.executed).map_or(0, |set| set.count());
            let unapplied = unapplied + if self.is_backed_up(&a.node) { BACKUP_COSTS } else { 0 };
            (self.turn(a), errant, hampered, preferred, unapplied, a.node.clone())
        });
        fit
    }

    /// Whether a backup of it is being made, which has to end before it applies what it received.
    fn is_backed_up(&self, node: &NodeName) -> bool {
        let task = self.state.backups.task.as_ref();
        task.is_some_and(|task| task.node == *node && matches!(task.work, BackupWork::Make { .. }))
    }

    /// Why no server is fit.
    pub(super) fn nobody(&self) -> Held {
        let elsewhere = self.answers.iter().filter(|a| self.is_fit_anywhere(a)).map(|a| a.node.clone());
        let elsewhere: Vec<NodeName> = elsewhere.collect();
        if elsewhere.is_empty() { Held::NoCandidate } else { Held::OtherZone(elsewhere) }
    }

    fn is_fit(&self, answer: &Answer) -> bool {
        self.is_fit_anywhere(answer) && (self.may_cross_zones() || !self.is_in_another_zone(&answer.node))
    }

    /// An operator's word moves the writer anywhere.
    fn may_cross_zones(&self) -> bool {
        let asked_for = self.operation.forced.is_some() || self.operation.wanted.is_some();
        self.state.safety.live.other_zone || asked_for
    }

    /// Whether it stands in another zone than the old writer; where that one's is not known, nothing is another.
    fn is_in_another_zone(&self, node: &NodeName) -> bool {
        let zone = |n: &NodeName| self.state.members.get(n).and_then(|m| m.zone.as_ref());
        self.old.and_then(zone).is_some_and(|old| zone(node) != Some(old))
    }

    fn is_fit_anywhere(&self, answer: &Answer) -> bool {
        self.state.members.get(&answer.node).is_some_and(|m| m.server.is_some() && !m.excluded)
            && !self.state.out.contains_key(&answer.node)
            && !self.state.in_maintenance(&answer.node)
            && !answer.delayed
            && answer.still
    }

    /// A crashed writer that is back already has nothing to apply and no tail to be quarantined for: it comes first. One
    /// that could not open or keep its lease, or that a person wants moved, comes last, but it comes: a failover that
    /// finds nobody else gives the next epoch back to it.
    fn turn(&self, answer: &Answer) -> u8 {
        match Some(&answer.node) == self.old {
            true if self.prefers_another() => 2,
            true => 0,
            false => 1,
        }
    }

    pub(super) fn prefers_another(&self) -> bool {
        let kinds = [
            LostKind::WriterNeverOpened,
            LostKind::WriterSelfClosed,
            LostKind::WriterHung,
            LostKind::WriterCannotWrite,
        ];
        let moved = self.state.safety.live.on_closed_by_hand == OnClosedByHand::Move
            && self.operation.diagnosis == LostKind::WriterClosedByHand.to_string();
        moved
            || self.operation.forced.is_some()
            || kinds.iter().any(|k| self.operation.diagnosis == k.to_string())
    }

    /// Whether it has everything that any other received.
    pub(super) fn has_all(&self, answer: &Answer) -> bool {
        self.marks.iter().all(|mark| contains(&answer.received, mark))
    }

    /// What others received and this one lacks.
    pub(super) fn lacks(&self, answer: &Answer) -> Option<GtidSet> {
        let all = self.marks.iter().cloned().reduce(|a, b| a.union(&b).unwrap_or(a))?;
        all.subtract(&answer.received).ok().filter(|s| !s.is_empty())
    }

    /// Whether a server has not answered yet and probably will.
    pub(super) fn awaited(&self, node: &NodeName) -> bool {
        !self.answers.iter().any(|a| a.node == *node)
            && self.seen.own(node).is_some_and(|o| !o.is_gone())
            && self.seen.pulse(node).is_some_and(|(_, age)| age <= FRESH)
    }

    /// Listed ackers whose answer counts. One whose set shrank since it was last seen has lost what it acknowledged; one
    /// that restarted may have.
    pub(super) fn ackers_answered(&self) -> Vec<&'a Answer> {
        let shrank =
            |a: &Answer| self.seen.pulse(&a.node).is_some_and(|(p, _)| !contains(&a.received, &p.received));
        let whole = |a: &Answer| mutate!(ChooseByApplied) || !shrank(a);
        let counts = |a: &&Answer| self.state.ackers.contains(&a.node) && a.still && !a.restarted && whole(a);
        self.answers.iter().filter(counts).collect()
    }

    /// Listed ackers without such an answer, when so many are missing that a write could be acknowledged by them alone.
    pub(super) fn ackers_missing(&self) -> Vec<NodeName> {
        let answered = self.ackers_answered();
        let missing: Vec<NodeName> =
            self.state.ackers.iter().filter(|n| !answered.iter().any(|a| a.node == **n)).cloned().collect();
        if missing.len() < self.state.safety.wait_count as usize { Vec::new() } else { missing }
    }

    /// What a server received, less its errant transactions.
    pub(super) fn without_errant(&self, answer: &Answer) -> GtidSet {
        self.clean(answer).unwrap_or_else(|| answer.received.clone())
    }

    fn clean(&self, answer: &Answer) -> Option<GtidSet> {
        let errant = self.errant(answer)?;
        let GtidSet::Mariadb(received) = &answer.received else {
            return answer.received.subtract(&errant).ok();
        };
        // A line cannot be cut in its middle: it is put together again from what other servers committed and what others
        // have.
        let own = self.seen.own(&answer.node)?.about.as_ref()?.server_id.to_string();
        let text = received.to_string();
        let others: Vec<&str> = text.split(',').filter(|gtid| gtid.split('-').nth(1) != Some(&own)).collect();
        let shared = answer.received.intersect(&self.known_elsewhere(answer)?).ok()?;
        GtidSet::parse_mariadb_state(&others.join(",")).ok()?.union(&shared).ok()
    }

    /// Transactions that this server committed first and nobody else has: written past Baton, or the tail of an earlier
    /// epoch that was never acknowledged. Nothing is called errant while the old writer's set is unknown.
    fn errant(&self, answer: &Answer) -> Option<GtidSet> {
        if Some(&answer.node) == self.old {
            return None;
        }
        let extra = answer.received.subtract(&self.known_elsewhere(answer)?).ok()?;
        own_part(self.seen, &answer.node, &extra)
    }

    /// What the old writer is known to have had, and what the others received.
    fn known_elsewhere(&self, answer: &Answer) -> Option<GtidSet> {
        let others = self.answers.iter().filter(|a| a.node != answer.node).map(|a| &a.received);
        Some(others.fold(self.known.clone()?, |all, set| all.union(set).unwrap_or(all)))
    }
}

/// The part of a set that `node`'s own server committed first; `None` when there is none or its id is unknown. On
/// MariaDB it is the rest of each line whose last transaction is its own.
pub(super) fn own_part(seen: &Observations, node: &NodeName, set: &GtidSet) -> Option<GtidSet> {
    let about = seen.own(node)?.about.as_ref()?;
    match (set, about.dialect) {
        (GtidSet::Mysql(set), Dialect::Mysql) => {
            let uuid = about.server_uuid.as_ref()?.parse().ok()?;
            let mut own = MysqlSet::default();
            for (tsid, numbers) in set.iter().filter(|(tsid, _)| tsid.uuid == uuid) {
                own.insert(tsid.clone(), numbers);
            }
            (!own.is_empty()).then_some(GtidSet::Mysql(own))
        }
        (GtidSet::Mariadb(lines), Dialect::Mariadb) => {
            lines.last_gtids().any(|g| g.server_id == about.server_id).then(|| set.clone())
        }
        _ => None,
    }
}

pub(super) fn contains(a: &GtidSet, b: &GtidSet) -> bool {
    a.contains(b).unwrap_or(false)
}

pub(super) fn join(a: Option<GtidSet>, b: Option<GtidSet>) -> Option<GtidSet> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.union(&b).unwrap_or(a)),
        (a, b) => a.or(b),
    }
}
