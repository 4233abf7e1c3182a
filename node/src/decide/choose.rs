//! Who becomes the writer, from what every server answered after the proof. Pure.

use std::collections::BTreeSet;
use std::fmt;

use super::candidates::{Field, contains};
use super::plan::why;
use super::seen::Observations;
use crate::gtid::GtidSet;
use crate::state::{
    ClusterState, DegradeReason, Durability, Loss, NodeName, OnLoss, Operation, OperationKind, WithoutAckers,
};

/// What a server has, read after the proof.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Whose.
    pub node: NodeName,
    /// Committed ∪ in the relay log.
    pub received: GtidSet,
    /// Committed.
    pub executed: GtidSet,
    /// Its receiver has stopped, so the answer stays true.
    pub still: bool,
    /// Its server restarted since it was vouched for: what it had received and acknowledged may be gone.
    pub restarted: bool,
    /// A delayed replica is no candidate. To ask again without a candidate that did not get ready in time, mark its
    /// answer so: what it received goes on counting.
    pub delayed: bool,
    /// It was to catch up from a server that is not to be the writer, and did not within the bound: not asked for again.
    pub stuck: bool,
}

/// The whole choice: what the next grant says, and what must be applied before it.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// The next writer.
    pub node: NodeName,
    /// What it must have applied before it opens.
    pub must_apply: GtidSet,
    /// What is lost.
    pub loss: Loss,
    /// How the epoch begins.
    pub durability: Durability,
    /// Its ackers.
    pub ackers: BTreeSet<NodeName>,
    /// The others that have all that this one has, best first, should this one not get ready in time. The rest of this
    /// choice does not hold for them: choose again.
    pub runners_up: Vec<NodeName>,
    /// Why this one, in words that go on from its name.
    pub why: String,
}

/// Why nobody can be promoted now. The operation goes on and asks again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// No fit server has answered.
    NoCandidate,
    /// An acker that may hold acknowledged writes has not answered.
    AckersMissing(Vec<NodeName>),
    /// The best candidate lacks these of what the old writer was last seen with.
    WouldLose(String),
    /// Servers have transactions that the others lack, and none has them all.
    Diverged(Vec<NodeName>),
    /// Where the operator wants the writer there is no answer yet.
    WantedUnfit(NodeName),
    /// A server that is not to be the writer has what the best candidate lacks.
    MustCatchUp {
        /// The best candidate.
        node: NodeName,
        /// Who has everything.
        from: NodeName,
        /// What is lacking.
        missing: GtidSet,
    },
    /// These would be fit, and stand in another zone than the old writer.
    OtherZone(Vec<NodeName>),
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |nodes: &[NodeName]| nodes.iter().map(NodeName::as_str).collect::<Vec<_>>().join(", ");
        match self {
            Self::NoCandidate => f.write_str("no fit server answers"),
            Self::AckersMissing(nodes) => {
                write!(f, "{} may hold acknowledged writes and does not answer (policy: wait)", list(nodes))
            }
            Self::WouldLose(set) => write!(f, "the best candidate lacks {set} (policy: wait)"),
            Self::Diverged(nodes) => write!(f, "{} have diverged from each other", list(nodes)),
            Self::WantedUnfit(node) => write!(f, "{node}, where the writer is wanted, has not answered yet"),
            Self::MustCatchUp { node, from, missing } => {
                write!(f, "{node} lacks {missing} and has to fetch it from {from} first")
            }
            Self::OtherZone(nodes) => write!(
                f,
                "{} would be fit and stands in another zone (other_zone = \"forbid\"): batonctl failover --force --to \
                 NODE --reason … takes it",
                list(nodes)
            ),
        }
    }
}

/// Chooses among the servers that answered.
///
/// In this order: one that has everything received by any other and is proven to lack nothing that was acknowledged;
/// while lossless, one that has everything the ackers received, though some other server has more; and by the policy for
/// loss the most advanced one.
///
/// # Errors
/// [`Held`] when no promotion is right by the rules and the policy.
pub fn choose(
    state: &ClusterState,
    operation: &Operation,
    seen: &Observations,
    answers: &[Answer],
) -> Result<Choice, Held> {
    let field = Field::new(state, operation, seen, answers);
    let fit = field.fit();
    let mut best: Vec<&Answer> = fit.iter().copied().filter(|a| field.has_all(a)).collect();
    prefer_wanted(&field, &fit, &mut best)?;
    let proven = best.iter().find_map(|c| Some((*c, judge(&field, c).ok()?)));
    let (chosen, loss) = match proven.or_else(|| with_all_acknowledged(&field, &fit)) {
        Some(found) => found,
        None => with_loss(&field, &fit, &best)?,
    };
    // Nobody gives the write role back to where it should leave while another may still answer.
    let others = || state.data_nodes().filter(|(n, m)| Some(*n) != field.old && !m.excluded);
    if Some(&chosen.node) == field.old
        && field.prefers_another()
        && others().any(|(n, _)| !state.out.contains_key(n) && field.awaited(n))
    {
        return Err(Held::NoCandidate);
    }
    let equal = |a: &&&Answer| a.node != chosen.node && contains(&a.received, &chosen.received);
    let equals: Vec<NodeName> = best.iter().filter(equal).map(|a| a.node.clone()).collect();
    let ackers = next_ackers(state, chosen, answers, field.old);
    Ok(Choice {
        node: chosen.node.clone(),
        must_apply: chosen.received.clone(),
        durability: first_durability(state, chosen, &ackers),
        why: why(&field, chosen, &equals),
        runners_up: equals,
        loss: as_far_as_known(operation, loss),
        ackers,
    })
}

/// Puts the server that an operator wants first. It binds only while it can be had: a revoked epoch has no writer. What it
/// lacks and another has it fetches from there: a commit waits for the acknowledgement of some, and under load any one of
/// the ackers may be a few milliseconds behind.
fn prefer_wanted(field: &Field<'_>, fit: &[&Answer], best: &mut [&Answer]) -> Result<(), Held> {
    // A switchover that comes to this is taken back: its target is one of several.
    let binds = field.operation.kind != OperationKind::Switchover;
    let Some(wanted) = field.operation.wanted.as_ref().filter(|_| binds) else { return Ok(()) };
    if field.awaited(wanted) {
        return Err(Held::WantedUnfit(wanted.clone()));
    }
    best.sort_by_key(|a| a.node != *wanted);
    let found = fit.iter().find(|a| a.node == *wanted && !a.stuck && !field.has_all(a));
    let ahead = best.iter().find(|a| Some(&a.node) != field.old);
    match (found, ahead) {
        (Some(found), Some(ahead)) => Err(must_catch_up(field, found, ahead)),
        _ => Ok(()),
    }
}

/// What promoting this one loses, if that is allowed without the policy; else why not, and what would be lost.
fn judge(field: &Field<'_>, candidate: &Answer) -> Result<Loss, (Held, Loss)> {
    let state = field.state;
    let lacking = |needed: &GtidSet| needed.subtract(&candidate.received).ok().filter(|s| !s.is_empty());
    let would_lose = |set: GtidSet| Err((Held::WouldLose(set.to_string()), Loss::Ranges(set)));
    if state.durability.upto().is_some_and(|upto| !contains(&candidate.received, upto)) {
        let loss = seen_loss(field, candidate);
        let missing = state.durability.upto().and_then(lacking);
        return Err((Held::WouldLose(missing.map_or("an unknown set".into(), |s| s.to_string())), loss));
    }
    if Some(&candidate.node) == field.old {
        // It has everything that it acknowledged itself.
        return Ok(Loss::None { proven_by: vec![candidate.node.clone()] });
    }
    if state.durability.is_lossless() {
        let missing = field.ackers_missing();
        if !missing.is_empty() {
            return Err((Held::AckersMissing(missing), seen_loss(field, candidate)));
        }
        let ackers = field.ackers_answered();
        return match ackers.iter().find_map(|a| lacking(&field.without_errant(a))) {
            Some(set) => would_lose(set),
            None => Ok(Loss::None { proven_by: ackers.iter().map(|a| a.node.clone()).collect() }),
        };
    }
    // When the old writer itself answered and is no candidate, what it has now is what counts.
    let of_old = field.answers.iter().find(|a| Some(&a.node) == field.old);
    match of_old.map_or_else(|| seen_loss(field, candidate), |o| loss_of(&o.executed, candidate)) {
        Loss::Ranges(set) => would_lose(set),
        Loss::Unknown => Err((Held::WouldLose("an unknown set".into()), Loss::Unknown)),
        none => Ok(none),
    }
}

/// While lossless and with enough ackers heard, what no acker has was never acknowledged: a server that is ahead of them
/// and may not be the writer, or that went its own way, holds nobody up. Not so for the old writer: one that lacks what it
/// sent to another may have lost more with its disk.
fn with_all_acknowledged<'a>(field: &Field<'_>, fit: &[&'a Answer]) -> Option<(&'a Answer, Loss)> {
    if !field.state.durability.is_lossless() {
        return None;
    }
    let mut fit: Vec<&Answer> = fit.iter().copied().filter(|a| Some(&a.node) != field.old).collect();
    fit.sort_by_cached_key(|a| std::cmp::Reverse(field.without_errant(a).count()));
    fit.into_iter().find_map(|c| Some((c, judge(field, c).ok()?)))
}

/// By the policy: waits, or takes the most advanced one and says what is lost.
fn with_loss<'a>(
    field: &Field<'_>,
    fit: &[&'a Answer],
    best: &[&'a Answer],
) -> Result<(&'a Answer, Loss), Held> {
    // The first of the most advanced: `max_by_key` alone would take the last.
    let furthest = || fit.iter().rev().max_by_key(|a| a.received.count());
    let chosen = best.first().or_else(furthest).copied().ok_or_else(|| field.nobody())?;
    let lacks = field.lacks(chosen);
    let (held, loss) = match judge(field, chosen) {
        Err((held @ Held::AckersMissing(_), loss)) => (held, loss),
        judged => {
            let (held, loss) = judged.map_or_else(|e| e, |loss| (Held::NoCandidate, loss));
            (if lacks.is_some() { behind(field, fit, chosen) } else { held }, loss)
        }
    };
    let accepted = field.operation.recovered.as_ref().is_some_and(|recovered| recovered.accepts_loss);
    match field.state.safety.on_loss {
        // A forced failover replaces the proof, not the rules about loss; whoever recovers a group by hand may do both.
        OnLoss::Wait if !accepted => Err(held),
        // What somebody still has is not lost yet.
        _ if matches!(held, Held::MustCatchUp { .. }) && !chosen.stuck => Err(held),
        _ => Ok((chosen, with_ranges(loss, lacks))),
    }
}

/// Why no candidate has everything.
fn behind(field: &Field<'_>, fit: &[&Answer], chosen: &Answer) -> Held {
    match field.answers.iter().find(|a| Some(&a.node) != field.old && field.has_all(a)) {
        Some(ahead) => must_catch_up(field, chosen, ahead),
        None => Held::Diverged(fit.iter().map(|a| a.node.clone()).collect()),
    }
}

fn must_catch_up(field: &Field<'_>, node: &Answer, from: &Answer) -> Held {
    let missing = field.lacks(node).unwrap_or_else(|| from.received.clone());
    Held::MustCatchUp { node: node.node.clone(), from: from.node.clone(), missing }
}

/// What a group has gone on to acknowledge without the member that was kept is not known there.
fn as_far_as_known(operation: &Operation, loss: Loss) -> Loss {
    match loss {
        Loss::None { .. } if operation.recovered.is_some() => Loss::NoneSeen,
        loss => loss,
    }
}

/// A loss together with what other servers are seen to have.
fn with_ranges(loss: Loss, lacks: Option<GtidSet>) -> Loss {
    match (loss, lacks) {
        (Loss::Ranges(a), Some(b)) => Loss::Ranges(a.union(&b).unwrap_or(a)),
        (_, Some(set)) => Loss::Ranges(set),
        (loss, None) => loss,
    }
}

/// What the old writer is known to have had and this one lacks.
fn seen_loss(field: &Field<'_>, candidate: &Answer) -> Loss {
    // A bare `upto` is what had to be there; it does not say that nothing was written since.
    match (&field.known, &field.last) {
        (Some(had), Some(_)) => loss_of(had, candidate),
        (Some(had), None) => match loss_of(had, candidate) {
            Loss::NoneSeen => Loss::Unknown,
            lost => lost,
        },
        (None, _) => Loss::Unknown,
    }
}

fn loss_of(had: &GtidSet, candidate: &Answer) -> Loss {
    match had.subtract(&candidate.received) {
        Ok(missing) if missing.is_empty() => Loss::NoneSeen,
        Ok(missing) => Loss::Ranges(missing),
        Err(_) => Loss::Unknown,
    }
}

/// Every listed acker that answered, has no more than the new writer and is not the old one, which must be admitted first.
fn next_ackers(
    state: &ClusterState,
    chosen: &Answer,
    answers: &[Answer],
    old: Option<&NodeName>,
) -> BTreeSet<NodeName> {
    let serves = |a: &&Answer| {
        a.node != chosen.node
            && Some(&a.node) != old
            && a.still
            && state.ackers.contains(&a.node)
            && !state.out.contains_key(&a.node)
            && contains(&chosen.received, &a.received)
    };
    answers.iter().filter(serves).map(|a| a.node.clone()).collect()
}

fn first_durability(state: &ClusterState, chosen: &Answer, ackers: &BTreeSet<NodeName>) -> Durability {
    let enough = ackers.len() >= state.safety.wait_count as usize;
    Durability::Degraded {
        since_ms: 0,
        reason: if enough { DegradeReason::NewEpoch } else { DegradeReason::NoAcker },
        // Everything acknowledged so far and not given up by policy is in this set, and this server may be the only one
        // that has it: should it die before an acker has caught up, what was last seen of it may be older than this.
        upto: Some(chosen.received.clone()),
        may_let_go: !enough && state.safety.without_ackers == WithoutAckers::Degrade,
        index: 0,
    }
}
