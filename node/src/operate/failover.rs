//! Unplanned failover, steps 0 to 8 of `docs/safety.md`. Step 0, the intent, is committed by [`super::lead`]; from that
//! entry on any leader runs the rest from here, from wherever the state says it stands.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use tokio::time::{Instant, sleep, timeout};

use super::action::{Acted, Action, Sets};
use super::journal::Journal;
use super::lead::Term;
use super::proof::first_proof;
use super::upkeep;
use crate::decide::choose::{Answer, Choice, Held, choose};
use crate::decide::diagnose::{FRESH, RECEIVING_WITHIN};
use crate::decide::vouched::may_have_lost;
use crate::gtid::GtidSet;
use crate::mutation::mutate;
use crate::state::{Change, Ending, Epoch, NextGrant, NodeName, Operation, Proof, StepName};

/// After the proof, a server that cannot say what it has within this does not count as having answered.
const ANSWER_WITHIN: Duration = Duration::from_millis(1500);
/// A candidate whose node is silent for so long while it applies is not waited for.
const CANDIDATE_SILENT: Duration = Duration::from_secs(2);
/// When nobody can be promoted, everybody is asked again after this without news; a server that comes up is news.
const ASK_AGAIN: Duration = Duration::from_millis(250);
/// The next turn goes on from what the group has agreed on since.
const MOVED_ON: &str = "the operation has moved on";
/// How long the end of the operation waits for every ProxySQL that answers: a push takes some 20 ms.
const ROUTED_WITHIN: Duration = Duration::from_millis(500);
/// Sessions that a line of the journal names.
const NAMED: usize = 10;
/// How long the end of the operation waits for the other replicas.
const FOLLOW_WITHIN: Duration = Duration::from_secs(5);

/// Runs the failover under way until it has ended.
///
/// # Errors
/// In words: leadership was lost, or the operation is no longer this one. The next leader, or the next turn, goes on.
pub(super) async fn run(term: &Term<'_>, operation: &Operation) -> Result<(), String> {
    let journal = Journal::new(operation.id.clone(), term.lead.proposer.clone());
    let ran = steps(term, operation, &journal).await;
    journal.finish().await;
    ran?;
    end(term, operation, Ending::Done).await
}

/// Steps 1 to 7, from wherever the state says the operation stands.
///
/// # Errors
/// As [`run`].
async fn steps(term: &Term<'_>, operation: &Operation, journal: &Journal) -> Result<(), String> {
    if operation.to.is_none() {
        granted(term, operation, journal).await?;
    }
    let to = term.state().operation.as_ref().and_then(|o| o.to.clone());
    let (epoch, writer) = to.ok_or("the operation is over")?;
    opened(term, epoch).await?;
    tokio::join!(routed(term, epoch, &writer, "", journal), followed(term, epoch, &writer, journal));
    Ok(())
}

/// Steps 1 to 5: the next epoch of a revoked one, to whoever may have it.
///
/// # Errors
/// As [`run`].
pub(super) async fn granted(term: &Term<'_>, operation: &Operation, journal: &Journal) -> Result<(), String> {
    let early = match mutate!(ReadBeforeProof) {
        true => Some(choose_and_prepare(term, operation, journal).await?),
        false => None,
    };
    let proof = make_it_true(term, operation, journal).await?;
    let choice = match early {
        Some(early) => early,
        None => choose_and_prepare(term, operation, journal).await?,
    };
    grant(term, operation, &choice, proof, journal).await
}

/// Steps 1 and 2: ask the node, stop the receivers, wait for the first proof.
async fn make_it_true(term: &Term<'_>, operation: &Operation, journal: &Journal) -> Result<Proof, String> {
    let me = &term.lead.me;
    journal.line_at(
        operation.started_ms,
        me,
        StepName::Intent,
        format!("{}: epoch {} revoked", operation.diagnosis, operation.from),
    );
    let proof = tokio::select! {
        proof = first_proof(term, operation) => proof,
        () = moved_on(term, operation) => return Err(MOVED_ON.into()),
    };
    journal.line(me, StepName::Proof, proof.to_string());
    // Everybody is asked again from here on, and whoever has not stopped receiving yet stops then.
    Ok(proof)
}

/// Resolves when another operation has taken this one's place (an operator's word may be the proof that it waits for), or
/// when it has turned out that the next epoch was granted: a grant whose answer was lost, as on a disk that stood still.
async fn moved_on(term: &Term<'_>, operation: &Operation) {
    let mut states = term.lead.group.states();
    // The states end with the group, and this leadership with them.
    let _ended = states.wait_for(|applied| !operation.waits_for_grant_in(&applied.state)).await;
}

/// Steps 2 to 4: read what everybody received, choose, and wait until the chosen one has applied it.
async fn choose_and_prepare(
    term: &Term<'_>,
    operation: &Operation,
    journal: &Journal,
) -> Result<Choice, String> {
    let mut told = None;
    let mut late: Vec<NodeName> = Vec::new();
    let mut stuck: Option<NodeName> = None;
    loop {
        let read = if mutate!(ReadBeforeProof) { Action::ReadSets } else { Action::StopReceiver };
        let mut answers = ask_all(term, operation, &read, ANSWER_WITHIN).await;
        // Too slow to be promoted now; what it has counts all the same. When all are, the first may try again.
        if answers.iter().all(|a| late.contains(&a.node)) {
            late.clear();
        }
        answers.iter_mut().filter(|a| late.contains(&a.node)).for_each(|a| a.delayed = true);
        answers.iter_mut().for_each(|a| a.stuck = stuck.as_ref() == Some(&a.node));
        let state = term.state();
        let current =
            state.operation.as_ref().filter(|_| operation.waits_for_grant_in(&state)).ok_or(MOVED_ON)?;
        match choose(&state, current, &term.lead.table.snapshot(&state), &answers) {
            Ok(choice) => {
                journal.line(&term.lead.me, StepName::Received, choice.why.clone());
                if wait_applied(term, operation, &choice, journal).await {
                    return Ok(choice);
                }
                late.push(choice.node);
            }
            Err(held) => {
                // Servers that are out answer too, and are never late: with nobody else fit, the slow ones may try again.
                late.clear();
                let why = held.to_string();
                if told.as_ref() != Some(&why) {
                    journal.line(&term.lead.me, StepName::Held, why.clone());
                    term.lead
                        .proposer
                        .must(Change::Decided { what: "promotion held".into(), why: why.clone() })
                        .await?;
                    told = Some(why);
                }
                if let Held::MustCatchUp { node, from, missing } = &held
                    && !catch_up(term, operation, (node, from), missing, journal).await
                {
                    stuck = Some(node.clone());
                }
                let _or_ask_again = timeout(ASK_AGAIN, term.lead.table.changed()).await;
            }
        }
        term.still_leads().await?;
    }
}

/// Has the best candidate fetch what it lacks from the one that has it and is not to be the writer; bounded. Both are
/// closed, and nothing of it comes from the revoked epoch's writer.
async fn catch_up(
    term: &Term<'_>,
    operation: &Operation,
    (node, from): (&NodeName, &NodeName),
    missing: &GtidSet,
    journal: &Journal,
) -> bool {
    let state = term.state();
    let Some(source) = state.members.get(from).and_then(|m| m.server.clone()) else { return false };
    let bound = Duration::from_millis(state.safety.live.catch_up_ms);
    let order = term.order(operation.from, &operation.id);
    let action = Action::CatchUp { source, set: missing.clone() };
    let acted = tokio::select! {
        acted = term.lead.hands.act(node.clone(), order, action, bound) => acted,
        () = falls_silent(term, node) => None,
    };
    let caught_up = acted == Some(Acted::Done);
    let detail = match acted {
        Some(Acted::Done) => format!("has fetched {missing} from {from}"),
        other => format!("has not fetched {missing} from {from}: {other:?}"),
    };
    journal.line(node, StepName::CatchUp, detail);
    caught_up
}

/// Step 4, bounded.
async fn wait_applied(term: &Term<'_>, operation: &Operation, choice: &Choice, journal: &Journal) -> bool {
    if mutate!(OpenBeforeApplied) {
        return true;
    }
    let bound = Duration::from_millis(term.state().safety.live.catch_up_ms);
    let order = term.order(operation.from, &operation.id);
    let action = Action::ApplyAll(choice.must_apply.clone());
    let acted = tokio::select! {
        acted = term.lead.hands.act(choice.node.clone(), order, action, bound) => acted,
        () = falls_silent(term, &choice.node) => None,
    };
    match acted {
        Some(Acted::AppliedAll { applied, ended }) => {
            let did = match applied {
                true => "applied everything received".to_owned(),
                false => format!("not applied within {} s", bound.as_secs()),
            };
            let for_it = match ended.as_slice() {
                [] => String::new(),
                ended => {
                    let named = ended.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
                    format!(", sessions ended for it: {}, of them {named}", ended.len())
                }
            };
            journal.line(&choice.node, StepName::Applied, did + &for_it);
            applied
        }
        other => {
            journal.line(&choice.node, StepName::Applied, format!("cannot tell: {other:?}"));
            false
        }
    }
}

/// Resolves when the candidate's node has not been heard for long, or says that its server is gone.
async fn falls_silent(term: &Term<'_>, node: &NodeName) {
    let begun = Instant::now();
    loop {
        let seen = term.lead.table.snapshot(&term.state());
        let silent = seen.of(node).map_or(begun.elapsed(), |heard| heard.age);
        if silent >= CANDIDATE_SILENT || seen.own(node).is_some_and(|own| own.is_gone()) {
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// Step 5: the next epoch, with its proof, the loss and the durability, in one commit.
async fn grant(
    term: &Term<'_>,
    operation: &Operation,
    choice: &Choice,
    proof: Proof,
    journal: &Journal,
) -> Result<(), String> {
    let next = NextGrant {
        operation: operation.id.clone(),
        from: operation.from,
        node: choice.node.clone(),
        proof,
        loss: choice.loss.clone(),
        durability: choice.durability.clone(),
        ackers: choice.ackers.clone(),
    };
    term.lead.proposer.must(Change::Grant(next)).await?;
    let epoch = term.state().epoch();
    journal.line(
        &term.lead.me,
        StepName::Grant,
        format!("epoch {epoch} is {}'s; {}", choice.node, choice.loss),
    );
    Ok(())
}

/// Step 6 happens at the candidate's guard. A candidate that is lost is found by the diagnosis, which supersedes this.
pub(super) async fn opened(term: &Term<'_>, epoch: Epoch) -> Result<(), String> {
    let mut states = term.lead.group.states();
    loop {
        let opened = {
            let state = &states.borrow_and_update().state;
            match &state.grant {
                Some(grant) if grant.epoch == epoch && !state.is_revoked(epoch) => grant.opened_ms.is_some(),
                _ => return Err("the epoch is over".into()),
            }
        };
        if opened {
            return Ok(());
        }
        if term.writer_is_lost() {
            return Err("the candidate was lost before it opened".into());
        }
        let _or_look_again = timeout(Duration::from_millis(100), states.changed()).await;
        term.still_leads().await?;
    }
}

/// Step 7: every router leads to the new writer by itself, as it follows the state; how many ProxySQL do is awaited for the
/// journal, bounded, beside the rest.
pub(super) async fn routed(term: &Term<'_>, epoch: Epoch, writer: &NodeName, more: &str, journal: &Journal) {
    let routed = term.lead.routing.routed(epoch, ROUTED_WITHIN).await;
    let proxies = if routed.of == 0 { String::new() } else { format!(", and by {routed} ProxySQL") };
    journal.line(writer, StepName::Route, format!("routed by every embedded router{proxies}{more}"));
}

/// Step 7: every node repoints its own server; here it is only awaited, bounded. Not while commits wait for ackers that
/// do not come: a replica that has much to apply follows only after that, and upkeep, which lets the writer go on
/// without it, comes after the operation.
pub(super) async fn followed(term: &Term<'_>, epoch: Epoch, writer: &NodeName, journal: &Journal) {
    let deadline = Instant::now() + FOLLOW_WITHIN;
    let mut missing = term.replicas_that_answer(writer);
    while !missing.is_empty() && Instant::now() < deadline && term.state().epoch() == epoch {
        let state = term.state();
        let seen = term.lead.table.snapshot(&state);
        let source = state.members.get(writer).and_then(|m| m.server.clone());
        missing.retain(|node| {
            let follows = seen.pulse(node).is_some_and(|(pulse, age)| {
                let channel = pulse.channel.as_ref();
                channel.is_some_and(|c| {
                    Some(&c.source) == source.as_ref()
                        && c.io_running
                        && age <= FRESH
                        && c.is_receiving(age, RECEIVING_WITHIN)
                })
            });
            if follows {
                journal.line(node, StepName::Follow, format!("{node} follows {writer}"));
            }
            !follows
        });
        if term.writer_is_lost() || upkeep::must_degrade(term) {
            return;
        }
        let _or_look_again = timeout(Duration::from_millis(100), term.lead.table.changed()).await;
    }
}

/// Step 8.
pub(super) async fn end(term: &Term<'_>, operation: &Operation, ending: Ending) -> Result<(), String> {
    let end = Change::End { operation: operation.id.clone(), ending };
    term.lead.proposer.must(end).await
}

/// Asks every data node, the old writer's too, at the same time. Whoever has been silent lately, or whose server has, is
/// asked as well, but not waited for: a server that hangs would take the whole bound.
async fn ask_all(term: &Term<'_>, operation: &Operation, action: &Action, bound: Duration) -> Vec<Answer> {
    let state = term.state();
    let seen = term.lead.table.snapshot(&state);
    let mut expected: BTreeSet<NodeName> = state
        .data_nodes()
        .map(|(n, _)| n)
        .filter(|n| seen.pulse(n).is_some_and(|(_, age)| age <= FRESH))
        .cloned()
        .collect();
    let mut asking: FuturesUnordered<_> = state
        .data_nodes()
        .map(|(node, _)| ask(term, operation, node.clone(), action.clone(), bound))
        .collect();
    let mut answers = Vec::new();
    while let Some((node, answer)) = asking.next().await {
        expected.remove(&node);
        answers.extend(answer);
        if expected.is_empty() {
            break;
        }
    }
    answers
}

/// Whether its server may have lost by a restart what it had acknowledged.
fn restarted(term: &Term<'_>, node: &NodeName, sets: &Sets) -> bool {
    may_have_lost(&term.state(), node, sets.executed.dialect(), sets.began_ms)
}

async fn ask(
    term: &Term<'_>,
    operation: &Operation,
    node: NodeName,
    action: Action,
    bound: Duration,
) -> (NodeName, Option<Answer>) {
    let order = term.order(operation.from, &operation.id);
    let answer = match term.lead.hands.act(node.clone(), order, action, bound).await {
        // An open server is no answer: it may have more in the next moment.
        Some(Acted::Sets(sets)) if sets.closed => Some(Answer {
            restarted: restarted(term, &node, &sets),
            node: node.clone(),
            received: if mutate!(ChooseByApplied) { sets.executed.clone() } else { sets.received },
            executed: sets.executed,
            still: sets.still || mutate!(ReadBeforeProof),
            delayed: sets.delayed,
            stuck: false,
        }),
        _ => None,
    };
    (node, answer)
}
