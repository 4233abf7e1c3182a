//! Step 1 and 2: make it true that the old writer can acknowledge nothing more, and find the first proof of it.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, select_all};
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::time::{sleep, timeout};

use super::action::{Acted, Action};
use super::lead::Term;
use crate::decide::diagnose::FRESH;
use crate::decide::diagnosis::LostKind;
use crate::decide::starved;
use crate::guard::{ExpiryAnswer, Fenced};
use crate::mutation::mutate;
use crate::state::{Change, Epoch, NodeName, Operation, Proof, ProofKind};

/// Bound of one request to the writer's own node; a close that blocks ends by itself before.
const FENCE_WITHIN: Duration = Duration::from_millis(3500);
/// Pause before a refused or unanswered request is repeated.
const AGAIN: Duration = Duration::from_millis(50);
/// How long a voter may hold back its answer until its grants have run out.
const EXPIRY_WAIT: Duration = Duration::from_millis(500);
/// How often the voters asked are compared with the membership.
const MEMBERSHIP_LOOK: Duration = Duration::from_millis(500);
/// How long the writer's own node has for closing it before its ackers' receivers are stopped.
const CLOSES_WITHIN: Duration = Duration::from_millis(400);
/// Bound of one request to stop a receiver.
const STOPS_WITHIN: Duration = Duration::from_millis(1500);
/// Bound of one close over SQL.
const SQL_CLOSE_WITHIN: Duration = Duration::from_secs(3);
/// Bound of one run of the power fence: a management controller may take many seconds to confirm.
const POWER_FENCE_WITHIN: Duration = Duration::from_secs(30);
/// Pause before a power fence that failed is run again.
const POWER_FENCE_AGAIN: Duration = Duration::from_secs(5);
/// An operator's word counts only when no better proof came within this.
const FORCED_AFTER: Duration = Duration::from_secs(4);

/// Waits for the first proof. After a recovery by hand what the voters and ackers that are left say proves nothing: those
/// that were dropped may have agreed on something else meanwhile. With a live quorum `expired` comes, so this ends; the caller drops it when leadership is
/// lost.
pub(super) async fn first_proof(term: &Term<'_>, operation: &Operation) -> Proof {
    let Some(writer) = operation.from_node.clone() else { std::future::pending().await };
    if mutate!(SkipProof) {
        return Proof { kind: ProofKind::Expired, detail: "taken for granted".into() };
    }
    let is_left_behind = term.state().left_behind.contains_key(&writer);
    let mut ways: Vec<BoxFuture<'_, Proof>> = vec![asked(term, operation, writer.clone()).boxed()];
    if operation.recovered.is_none() {
        ways.push(starved(term, operation, writer.clone()).boxed());
        ways.push(expired(term, operation.from, writer.clone()).boxed());
    }
    ways.push(closed_over_sql(term, operation, writer.clone()).boxed());
    ways.push(power_fenced(term, operation, writer).boxed());
    // Whoever recovered the group spoke of the hosts that were dropped, and not of the one that was kept.
    let word = operation.forced.as_ref().filter(|_| operation.recovered.is_none() || is_left_behind);
    if let Some(word) = word {
        ways.push(
            async move {
                sleep(FORCED_AFTER).await;
                Proof::from(word)
            }
            .boxed(),
        );
    }
    select_all(ways).await.0
}

/// `closed` or `gone`: the writer's own node says so.
async fn asked(term: &Term<'_>, operation: &Operation, writer: NodeName) -> Proof {
    loop {
        let order = term.order(operation.from, &operation.id);
        let fence = Action::Fence { hangs: hangs(operation) };
        match term.lead.hands.act(writer.clone(), order, fence, FENCE_WITHIN).await {
            Some(Acted::Fenced(Fenced::Closed { detail })) => {
                return Proof { kind: ProofKind::Closed, detail: format!("{writer}: {detail}") };
            }
            Some(Acted::Fenced(Fenced::Gone { detail })) => {
                return Proof { kind: ProofKind::Gone, detail: format!("{writer}: {detail}") };
            }
            _ => sleep(AGAIN).await,
        }
    }
}

fn hangs(operation: &Operation) -> bool {
    operation.diagnosis == LostKind::WriterHung.to_string()
}

/// `starved`: so many ackers have stopped receiving, and promised on disk never to begin again, that no commit can be
/// acknowledged any more. Replicas that are no ackers stop as well: what they received counts for the choice.
///
/// Not at once: a commit that waits for an acker whose receiver has stopped holds up the very close that is asked for,
/// until the lease ends and the server is killed. A writer that can still be asked is closed within milliseconds. One that
/// hangs is killed first, by its node or its keeper: when it goes on it would hand out what its ackers have acknowledged
/// before, after the next writer has begun. One whose node is not heard is not waited for.
async fn starved(term: &Term<'_>, operation: &Operation, writer: NodeName) -> Proof {
    if !is_unheard(term, &writer) {
        sleep(if hangs(operation) { term.state().longest_lease() } else { CLOSES_WITHIN }).await;
    }
    let state = term.state();
    let replicas = state.data_nodes().map(|(n, _)| n).filter(|n| **n != writer);
    let mut stopping: FuturesUnordered<_> =
        replicas.map(|node| receiver_stopped(term, operation, node.clone())).collect();
    let mut stopped = BTreeSet::new();
    while let Some(node) = stopping.next().await {
        stopped.insert(node);
        if let Some(by) = starved::starved(&term.state(), operation.from, &stopped) {
            let names: Vec<_> = by.iter().map(NodeName::as_str).collect();
            let detail = format!(
                "{writer} can be acknowledged nothing more: {} receive no more from it",
                names.join(", ")
            );
            // A writer whose lease is about to end is about to be closed as well: where `expired` comes within a lease it
            // comes first, and nobody sees two open servers. A lease for a hand-over or a pause is not waited for.
            sleep(term.state().safety.lease_ttl()).await;
            return Proof { kind: ProofKind::Starved, detail };
        }
    }
    std::future::pending().await
}

async fn receiver_stopped(term: &Term<'_>, operation: &Operation, node: NodeName) -> NodeName {
    loop {
        let order = term.order(operation.from, &operation.id);
        match term.lead.hands.act(node.clone(), order, Action::StopReceiver, STOPS_WITHIN).await {
            Some(Acted::Sets(sets)) if sets.still => return node,
            _ => sleep(AGAIN).await,
        }
    }
}

/// `expired`: a majority of the voters, each after its own grants have run out, while no probe finds the server open.
async fn expired(term: &Term<'_>, epoch: Epoch, writer: NodeName) -> Proof {
    let mut said = BTreeSet::new();
    let mut asked = BTreeSet::new();
    let mut asking = FuturesUnordered::new();
    loop {
        // The voters of a membership that has come up meanwhile are asked too: theirs may be the majority that counts.
        for voter in term.lead.group.membership().voter_names() {
            if asked.insert(voter.clone()) {
                asking.push(voter_expired(term, voter, epoch));
            }
        }
        if let Ok(Some(voter)) = timeout(MEMBERSHIP_LOOK, asking.next()).await {
            said.insert(voter);
        } else if asking.is_empty() {
            sleep(AGAIN).await;
        }
        if !term.lead.group.membership().is_majority(&said) {
            continue;
        }
        while found_open(term, &writer) {
            sleep(AGAIN).await;
        }
        let names: Vec<_> = said.iter().map(NodeName::as_str).collect();
        let detail =
            format!("its lease has run out, say {}{}", names.join(" and "), reservation(term, &writer));
        return Proof { kind: ProofKind::Expired, detail };
    }
}

fn is_unheard(term: &Term<'_>, node: &NodeName) -> bool {
    term.lead.table.snapshot(&term.state()).of(node).is_none_or(|heard| heard.age > FRESH)
}

/// What an end of the lease does not prove where nobody has heard of the writer's host: the clock of a machine that
/// stands still stands still too.
fn reservation(term: &Term<'_>, writer: &NodeName) -> &'static str {
    let state = term.state();
    match (is_unheard(term, writer), state.durability.is_lossless()) {
        (false, _) => "",
        (true, true) => "; old writer unreachable",
        (true, false) => "; old writer unreachable and not lossless: not certain if its machine was paused",
    }
}

async fn voter_expired(term: &Term<'_>, voter: NodeName, epoch: Epoch) -> NodeName {
    loop {
        match term.lead.hands.expired(voter.clone(), epoch, EXPIRY_WAIT).await {
            Some(ExpiryAnswer::Expired) => return voter,
            Some(ExpiryAnswer::Left(_)) => {}
            Some(ExpiryAnswer::NotRevoked) | None => sleep(AGAIN).await,
        }
    }
}

/// Whether any probe that is fresh finds the server open.
fn found_open(term: &Term<'_>, writer: &NodeName) -> bool {
    let seen = term.lead.table.snapshot(&term.state());
    let by_itself = seen.pulse(writer).is_some_and(|(p, age)| p.open && age <= FRESH);
    by_itself
        || seen.iter().any(|(by, heard)| {
            let open =
                heard.report.probes.get(writer).is_some_and(|p| p.open == Some(true) && p.error.is_none());
            open && seen.silence(by, writer).is_some_and(|s| s <= FRESH)
        })
}

/// Whether this node leads, and the operation has no next epoch yet, by what the group has agreed on until now: what it
/// takes before a server is closed that no guard asks for the epoch.
async fn still_to_be_proven(term: &Term<'_>, operation: &Operation) -> bool {
    term.still_leads().await.is_ok() && operation.waits_for_grant_in(&term.state())
}

/// A writer whose node does not answer while its server does is closed over SQL, after its lease: its keeper may still be
/// there to do it.
async fn closed_over_sql(term: &Term<'_>, operation: &Operation, writer: NodeName) -> Proof {
    // Its guard may not know of a shorter one.
    let ttl = term.state().longest_lease();
    sleep(ttl * 2).await;
    loop {
        if found_open(term, &writer)
            && still_to_be_proven(term, operation).await
            && let Ok(detail) = term.lead.hands.close_over_sql(writer.clone(), SQL_CLOSE_WITHIN).await
        {
            return Proof { kind: ProofKind::Closed, detail: format!("{writer}: closed over SQL, {detail}") };
        }
        sleep(AGAIN * 4).await;
    }
}

/// `stonith`: the configured power fence has succeeded. It is tried when everything gentler has had its time.
async fn power_fenced(term: &Term<'_>, operation: &Operation, writer: NodeName) -> Proof {
    let command = term.state().safety.power_fence.clone();
    if command.is_empty() {
        return std::future::pending().await;
    }
    sleep(term.state().safety.lease_ttl() * 2 + SQL_CLOSE_WITHIN).await;
    let mut told = None;
    loop {
        if still_to_be_proven(term, operation).await {
            let (command, node) = (command.clone(), writer.clone());
            match term.lead.hands.power_fence(command, node, operation.from, POWER_FENCE_WITHIN).await {
                Ok(evidence) => {
                    let detail = format!("{writer}: {evidence}, run by {}", term.lead.me);
                    return Proof { kind: ProofKind::Stonith, detail };
                }
                Err(why) if told.as_ref() != Some(&why) => {
                    let what = format!("no proof by the power fence of {writer}");
                    // What cannot be committed now is tried again with the next attempt.
                    let noted = term.lead.proposer.must(Change::Decided { what, why: why.clone() }).await;
                    told = noted.is_ok().then_some(why);
                }
                Err(_) => {}
            }
        }
        sleep(POWER_FENCE_AGAIN).await;
    }
}
