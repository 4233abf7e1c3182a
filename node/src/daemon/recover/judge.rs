//! Whether a group may be started anew by this member, what it may lack, and what follows. Pure.

use std::collections::BTreeSet;

use thiserror::Error;

use super::{Facts, Wish};
use crate::decide::diagnose::out_in_words;
use crate::gtid::GtidSet;
use crate::state::{Change, ClusterState, Command, Durability, NodeName, Phase, Recover, WithoutAckers};

/// What was asked for cannot be, whatever is known. Each names the mend.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum Wrong {
    #[error("--reason is empty: say why; it stays in the history")]
    NoReason,
    #[error("{0} is not a member of the group; its members are {1}")]
    NoMember(NodeName, String),
    #[error("{0} is both kept and dropped: name it once")]
    Both(NodeName),
    #[error("{0} neither kept nor dropped: name every member, so that none is left out by mistake")]
    Neither(String),
    #[error(
        "this node is {me}, and {keep} is to be kept: run the command on {keep}'s host, whose memory counts"
    )]
    Elsewhere { me: NodeName, keep: NodeName },
    #[error("{0} is a witness, and nothing can be opened there: keep a node with a server")]
    Witness(NodeName),
    #[error("{0} has no vote yet: it may not have heard of what the others agreed on; keep one that votes")]
    NoVote(NodeName),
    #[error(
        "{0} alone is a majority of the voters: nothing is lost; start baton-node, and use batonctl node remove for the others"
    )]
    HasMajority(NodeName),
    #[error("{0}")]
    Refused(String),
}

/// What would come of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Prospect {
    pub(super) generation: u64,
    /// What the kept member may lack, of what the group agreed on and of writes.
    pub(super) missing: Vec<(&'static str, String)>,
    pub(super) warnings: Vec<String>,
    pub(super) follows: Vec<String>,
    pub(super) command: Command,
    /// Why it is not done as asked, and what would make it so.
    pub(super) refused: Option<String>,
}

/// Looks at all of it.
///
/// # Errors
/// [`Wrong`].
pub(super) fn judge(facts: &Facts, wish: &Wish) -> Result<Prospect, Wrong> {
    is_possible(facts, wish)?;
    let (survey, state) = (&facts.survey, &facts.survey.state);
    let newest = survey.binding.generation.max(state.generation);
    let generation = newest.max(survey.left_behind_by.unwrap_or(0)) + 1;
    let (writes, loss) = writes(facts, wish);
    let command = command(facts, wish, generation, &writes);
    let mut after = state.clone();
    after.apply(survey.last_index + 1, &command).into_result().map_err(|e| Wrong::Refused(e.to_string()))?;
    let refused = loss.filter(|_| !wish.accepts_loss).map(|loss| {
        format!(
            "{loss}: keep another member if one is left that has more (--dry-run shows what each knows), or give \
             --accept-loss as well"
        )
    });
    Ok(Prospect {
        generation,
        missing: vec![("group", agreed(facts, wish)), ("writes", writes)],
        warnings: warnings(facts, wish),
        follows: follows(facts, wish, generation, &after),
        command,
        refused,
    })
}

fn is_possible(facts: &Facts, wish: &Wish) -> Result<(), Wrong> {
    let membership = &facts.survey.membership;
    let members: BTreeSet<NodeName> = membership.members.values().map(|member| member.name.clone()).collect();
    if wish.word.reason.is_empty() {
        return Err(Wrong::NoReason);
    }
    let named = [&wish.keep].into_iter().chain(&wish.drop);
    if let Some(stranger) = named.clone().find(|node| !members.contains(*node)) {
        return Err(Wrong::NoMember(stranger.clone(), list(&members)));
    }
    if wish.drop.contains(&wish.keep) {
        return Err(Wrong::Both(wish.keep.clone()));
    }
    let named: BTreeSet<NodeName> = named.cloned().collect();
    let unnamed: BTreeSet<NodeName> = members.difference(&named).cloned().collect();
    if !unnamed.is_empty() {
        let verb = if unnamed.len() == 1 { "is" } else { "are" };
        return Err(Wrong::Neither(format!("{} {verb}", list(&unnamed))));
    }
    if wish.keep != facts.me {
        return Err(Wrong::Elsewhere { me: facts.me.clone(), keep: wish.keep.clone() });
    }
    if facts.survey.state.members.get(&wish.keep).is_none_or(|member| member.server.is_none()) {
        return Err(Wrong::Witness(wish.keep.clone()));
    }
    if !membership.voter_names().contains(&wish.keep) {
        return Err(Wrong::NoVote(wish.keep.clone()));
    }
    if membership.is_majority([&wish.keep]) {
        return Err(Wrong::HasMajority(wish.keep.clone()));
    }
    Ok(())
}

/// Who held the write role when this member last heard; `None` where nobody did.
pub(super) fn writer(state: &ClusterState) -> Option<&NodeName> {
    state.grant.as_ref().filter(|_| state.phase == Phase::Managed).map(|grant| &grant.node)
}

fn agreed(facts: &Facts, wish: &Wish) -> String {
    let (index, keep) = (facts.survey.last_index, &wish.keep);
    if let Some(generation) = facts.survey.left_behind_by {
        return format!("whatever generation {generation} agreed on, which has left {keep} behind");
    }
    if facts.survey.membership.is_majority(&wish.drop) {
        let they_are = if wish.drop.len() == 1 { "it is" } else { "they are" };
        format!(
            "whatever {} agreed on after entry {index}: {they_are} a majority without {keep}",
            list(&wish.drop)
        )
    } else {
        format!("nothing: without {keep} there was no majority after entry {index}")
    }
}

/// What writes may be missing, and the loss that has to be accepted, if any.
fn writes(facts: &Facts, wish: &Wish) -> (String, Option<String>) {
    let (state, keep, index) = (&facts.survey.state, &wish.keep, facts.survey.last_index);
    let later = format!("Later ones, should {} have gone on without {keep}", list(&wish.drop));
    let Some(writer) = writer(state) else {
        return ("not known: the cluster was only observed".into(), None);
    };
    if let Some(generation) = facts.survey.left_behind_by {
        let text = format!("all that generation {generation}, which left {keep} behind, has written");
        let loss = format!(
            "{keep} was left behind by generation {generation}, and has none of what that has written"
        );
        return (text, Some(loss));
    }
    let upto = state.durability.upto();
    if let Some(lacking) = upto.and_then(|upto| lacking(facts, upto)) {
        let text = format!("{lacking}, which {keep} had to have and lacks. {later}");
        return (text, Some(format!("{keep} lacks {lacking}, which may have been acknowledged")));
    }
    if writer == keep {
        return (format!("none up to entry {index}: {keep} was the writer itself. {later}"), None);
    }
    let alone: BTreeSet<NodeName> = state.ackers.intersection(&wish.drop).cloned().collect();
    let enough = state.safety.wait_count as usize;
    match &state.durability {
        Durability::Lossless { .. } if alone.len() < enough => {
            (format!("none up to entry {index}: {keep} had to acknowledge each of {writer}'s. {later}"), None)
        }
        Durability::Lossless { .. } => {
            let text = format!("what {} acknowledged without {keep}. {later}", list(&alone));
            let acknowledged = format!("{writer}'s writes may be acknowledged and on {} alone", list(&alone));
            (text, Some(acknowledged))
        }
        Durability::Degraded { .. } | Durability::Unknown => {
            let text = format!("what {writer} acknowledged alone: it was not lossless. {later}");
            (
                text,
                Some(format!("{writer} was not lossless and may have acknowledged writes that {keep} lacks")),
            )
        }
    }
}

/// What the kept server lacks of a set, as far as it can be asked.
fn lacking(facts: &Facts, set: &GtidSet) -> Option<String> {
    let received = facts.received.as_ref().ok()?;
    set.subtract(received).ok().filter(|lacking| !lacking.is_empty()).map(|lacking| lacking.to_string())
}

fn warnings(facts: &Facts, wish: &Wish) -> Vec<String> {
    let (state, keep) = (&facts.survey.state, &wish.keep);
    let mut warnings = Vec::new();
    let since = "whoever has been given the write role since";
    let may_write = match writer(state) {
        Some(writer) if wish.drop.contains(writer) => format!("{writer}, or {since}, may be writing"),
        Some(_) => format!("{since} may be writing"),
        None => "they go on as a group of their own".into(),
    };
    warnings.push(format!(
        "{} may still run: then {may_write}, and Baton cannot tell from here. Switch every host that is dropped off, or \
         cut it off from clients, before you go on: two writers are the price of a mistake.",
        list(&wish.drop)
    ));
    if let Err(why) = &facts.received {
        warnings.push(format!("{keep}'s server cannot be asked what it has: {why}"));
    }
    if let Some(out) = state.out.get(keep) {
        warnings.push(format!(
            "{keep} is out ({}): it is not opened before it is in again",
            out_in_words(&out.reason)
        ));
    }
    if state.members.get(keep).is_some_and(|member| member.excluded) {
        warnings.push(format!("{keep} is excluded from being the writer: it is not opened"));
    }
    if state.safety.without_ackers == WithoutAckers::Block && writer(state).is_some() {
        warnings.push("on_ackers_lost is \"block\": every write waits until a replica has joined".into());
    }
    warnings
}

fn follows(facts: &Facts, wish: &Wish, generation: u64, after: &ClusterState) -> Vec<String> {
    let (state, keep) = (&facts.survey.state, &wish.keep);
    let mut follows = vec![format!("{keep} becomes the only member, of generation {generation}")];
    let Some(writer) = writer(state) else {
        follows.push("the cluster stays observed: no server is opened or closed".into());
        return follows;
    };
    let (old, next) = (state.epoch(), after.next_epoch());
    follows.push(match writer == keep {
        true => format!("epoch {old} ends once {keep}'s own node has closed its server"),
        false => format!("epoch {old} ends on your word, which stands in for a proof"),
    });
    follows.push(format!(
        "started again, baton-node opens {keep}'s server under epoch {next}; it is not lossless before a replica has \
         joined"
    ));
    follows.push(format!(
        "left behind: {}, out and closed until each has joined again with an empty state directory",
        list(&wish.drop)
    ));
    follows
}

fn command(facts: &Facts, wish: &Wish, generation: u64, writes: &str) -> Command {
    let survey = &facts.survey;
    let mut evidence = vec![
        format!("last entry known: {} of term {}", survey.last_index, survey.last_term),
        format!("dropped: {}", list(&wish.drop)),
        format!("writes that may be missing: {writes}"),
    ];
    evidence.extend(facts.received.as_ref().ok().map(|set| format!("{} had received {set}", wish.keep)));
    Command {
        id: wish.command.clone(),
        by: facts.me.clone(),
        at_ms: wish.now.as_millisecond(),
        change: Change::Recover(Recover {
            generation,
            keep: wish.keep.clone(),
            operation: wish.operation.clone(),
            word: wish.word.clone(),
            accepts_loss: wish.accepts_loss,
            evidence,
        }),
    }
}

/// "a", "a and b", "a, b and c".
pub(super) fn list(nodes: &BTreeSet<NodeName>) -> String {
    let names: Vec<&str> = nodes.iter().map(NodeName::as_str).collect();
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => names.join(""),
    }
}
