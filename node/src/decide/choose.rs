//! Who becomes the writer, from what every server answered after the proof. Pure.

use std::collections::BTreeSet;
use std::fmt;

use super::seen::Observations;
use crate::gtid::GtidSet;
use crate::state::{
    ClusterState, DegradeReason, Durability, Loss, NodeName, OnLoss, Operation, WithoutAckers,
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
    /// A delayed replica is no candidate.
    pub delayed: bool,
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
    /// The others with equal data, best first, should this one not get ready in time.
    pub runners_up: Vec<NodeName>,
    /// Why this one, in words.
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
    /// Where the operator wants the writer it cannot go.
    WantedUnfit(NodeName),
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
            Self::WantedUnfit(node) => write!(f, "{node} lacks what another server has, or does not answer"),
        }
    }
}

/// Chooses among the servers that answered.
///
/// # Errors
/// [`Held`] when no promotion is right by the rules and the policy.
pub fn choose(
    state: &ClusterState,
    operation: &Operation,
    seen: &Observations,
    answers: &[Answer],
) -> Result<Choice, Held> {
    let old = operation.from_node.as_ref();
    let loss_unless_policy = |held: Held, loss: Loss| match state.safety.on_loss {
        OnLoss::Promote => Ok(loss),
        // A forced failover replaces the proof, not the rules about loss.
        OnLoss::Wait => Err(held),
    };
    let best = most_advanced(state, operation, answers)?;
    let old_answered = old.is_some_and(|o| answers.iter().any(|a| a.node == *o));
    let loss = if best.first().is_some_and(|b| Some(&b.node) == old) {
        // It has everything that it acknowledged itself.
        Loss::None { proven_by: best.iter().take(1).map(|b| b.node.clone()).collect() }
    } else if let Some(held) = upto_missing(state, &best) {
        let ranges = lost(state, seen, old, &best);
        loss_unless_policy(held, ranges)?
    } else if state.durability.is_lossless() {
        let missing = ackers_missing(state, answers);
        if missing.is_empty() {
            Loss::None { proven_by: state.ackers.iter().filter(|a| answered(answers, a)).cloned().collect() }
        } else {
            loss_unless_policy(Held::AckersMissing(missing), lost(state, seen, old, &best))?
        }
    } else if old_answered {
        // The old writer itself answered and is no candidate: only what it has counts.
        compare_with_old(answers, old, &best, loss_unless_policy)?
    } else {
        match lost(state, seen, old, &best) {
            Loss::Ranges(set) => loss_unless_policy(Held::WouldLose(set.to_string()), Loss::Ranges(set))?,
            Loss::Unknown => loss_unless_policy(Held::WouldLose("an unknown set".into()), Loss::Unknown)?,
            other => other,
        }
    };
    let chosen = best.first().ok_or(Held::NoCandidate)?;
    let ackers = next_ackers(state, chosen, answers, old);
    Ok(Choice {
        node: chosen.node.clone(),
        must_apply: chosen.received.clone(),
        durability: first_durability(state, &ackers),
        runners_up: best.iter().skip(1).map(|a| a.node.clone()).collect(),
        why: why(&best, answers.len()),
        loss,
        ackers,
    })
}

/// The candidates that have everything received by any other, best first.
fn most_advanced<'a>(
    state: &ClusterState,
    operation: &Operation,
    answers: &'a [Answer],
) -> Result<Vec<&'a Answer>, Held> {
    let old = operation.from_node.as_ref();
    let fit: Vec<&Answer> = answers.iter().filter(|a| is_fit(state, operation, a)).collect();
    if fit.is_empty() {
        return Err(Held::NoCandidate);
    }
    // What only the old writer has was never acknowledged while lossless; it sets no mark for the others.
    let others = || answers.iter().filter(|a| Some(&a.node) != old);
    let has_all = |c: &Answer| others().all(|o| contains(&c.received, &o.received));
    let mut best: Vec<&Answer> = fit.iter().copied().filter(|c| has_all(c)).collect();
    if best.is_empty() {
        return Err(Held::Diverged(fit.iter().map(|a| a.node.clone()).collect()));
    }
    if let Some(wanted) = &operation.wanted {
        best.retain(|a| a.node == *wanted);
        if best.is_empty() {
            return Err(Held::WantedUnfit(wanted.clone()));
        }
    }
    best.sort_by_key(|a| {
        let priority = state.members.get(&a.node).map_or(0, |m| m.priority);
        // A crashed writer that is back already has nothing to apply and no tail to be quarantined for.
        (Some(&a.node) != old, std::cmp::Reverse(priority), a.executed != a.received, a.node.clone())
    });
    Ok(best)
}

fn is_fit(state: &ClusterState, operation: &Operation, answer: &Answer) -> bool {
    let member = state.members.get(&answer.node);
    let moved_by_hand = operation.forced.is_some() && operation.from_node.as_ref() == Some(&answer.node);
    member.is_some_and(|m| m.server.is_some() && !m.excluded)
        && !state.out.contains_key(&answer.node)
        && !answer.delayed
        && answer.still
        && !moved_by_hand
}

fn answered(answers: &[Answer], node: &NodeName) -> bool {
    answers.iter().any(|a| a.node == *node && a.still)
}

/// Listed ackers without an answer, when so many are missing that a write could be acknowledged by them alone.
fn ackers_missing(state: &ClusterState, answers: &[Answer]) -> Vec<NodeName> {
    let missing: Vec<NodeName> = state.ackers.iter().filter(|a| !answered(answers, a)).cloned().collect();
    if missing.len() < state.safety.wait_count as usize { Vec::new() } else { missing }
}

/// The set that was fixed when the cluster last degraded, if the best candidate lacks any of it.
fn upto_missing(state: &ClusterState, best: &[&Answer]) -> Option<Held> {
    let upto = state.durability.upto()?;
    let best = best.first()?;
    if contains(&best.received, upto) {
        return None;
    }
    let missing = upto.subtract(&best.received).map_or_else(|_| upto.to_string(), |s| s.to_string());
    Some(Held::WouldLose(missing))
}

/// What the old writer was last seen with and the best candidate lacks.
fn lost(state: &ClusterState, seen: &Observations, old: Option<&NodeName>, best: &[&Answer]) -> Loss {
    let last = old.and_then(|o| seen.last_seen_set(o));
    let upto = state.durability.upto().cloned();
    let had = match (last, upto) {
        (Some(a), Some(b)) => Some(a.union(&b).unwrap_or(a)),
        (a, b) => a.or(b),
    };
    let Some((had, best)) = had.zip(best.first()) else { return Loss::Unknown };
    match had.subtract(&best.received) {
        Ok(missing) if missing.is_empty() => Loss::NoneSeen,
        Ok(missing) => Loss::Ranges(missing),
        Err(_) => Loss::Unknown,
    }
}

fn compare_with_old(
    answers: &[Answer],
    old: Option<&NodeName>,
    best: &[&Answer],
    decide: impl Fn(Held, Loss) -> Result<Loss, Held>,
) -> Result<Loss, Held> {
    let had = answers.iter().find(|a| Some(&a.node) == old);
    let Some((had, best)) = had.zip(best.first()) else { return Ok(Loss::Unknown) };
    match had.executed.subtract(&best.received) {
        Ok(missing) if missing.is_empty() => Ok(Loss::NoneSeen),
        Ok(missing) => decide(Held::WouldLose(missing.to_string()), Loss::Ranges(missing)),
        Err(_) => decide(Held::WouldLose("an unknown set".into()), Loss::Unknown),
    }
}

/// Every fit server that answered and is neither the new writer nor the old one, which must be admitted first.
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
            && contains(&chosen.received, &a.received)
    };
    answers.iter().filter(serves).map(|a| a.node.clone()).collect()
}

fn first_durability(state: &ClusterState, ackers: &BTreeSet<NodeName>) -> Durability {
    let enough = ackers.len() >= state.safety.wait_count as usize;
    Durability::Degraded {
        since_ms: 0,
        reason: if enough { DegradeReason::NewEpoch } else { DegradeReason::NoAcker },
        // What had to be there before still has to be, however many epochs later.
        upto: state.durability.upto().cloned(),
        may_let_go: !enough && state.safety.without_ackers == WithoutAckers::Degrade,
        index: 0,
    }
}

fn why(best: &[&Answer], answered: usize) -> String {
    match best {
        [only] => format!("{} has everything that any of {answered} servers received", only.node),
        [first, rest @ ..] => {
            let rest: Vec<_> = rest.iter().map(|a| a.node.as_str()).collect();
            format!("{} and {} have everything; {} comes first", first.node, rest.join(", "), first.node)
        }
        [] => String::new(),
    }
}

fn contains(a: &GtidSet, b: &GtidSet) -> bool {
    a.contains(b).unwrap_or(false)
}
