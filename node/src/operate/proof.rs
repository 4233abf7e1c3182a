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
use crate::guard::{ExpiryAnswer, Fenced};
use crate::state::{Epoch, NodeName, Operation, Proof, ProofKind};

/// Bound of one request to the writer's own node; a close that blocks ends by itself before.
const FENCE_WITHIN: Duration = Duration::from_millis(3500);
/// Pause before a refused or unanswered request is repeated.
const AGAIN: Duration = Duration::from_millis(50);
/// How long a voter may hold back its answer until its grants have run out.
const EXPIRY_WAIT: Duration = Duration::from_millis(500);
/// How often the voters asked are compared with the membership.
const MEMBERSHIP_LOOK: Duration = Duration::from_millis(500);
/// An operator's word counts only when no better proof came within this.
const FORCED_AFTER: Duration = Duration::from_secs(4);

/// Waits for the first proof. With a live quorum `expired` comes, so this ends; the caller drops it when leadership is
/// lost.
pub(super) async fn first_proof(term: &Term<'_>, operation: &Operation) -> Proof {
    let Some(writer) = operation.from_node.clone() else { std::future::pending().await };
    let mut ways: Vec<BoxFuture<'_, Proof>> = vec![
        asked(term, operation, writer.clone()).boxed(),
        expired(term, operation.from, writer.clone()).boxed(),
        closed_over_sql(term, writer).boxed(),
    ];
    if let Some(word) = &operation.forced {
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
        match term.lead.hands.act(writer.clone(), order, Action::Fence, FENCE_WITHIN).await {
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
        let detail = format!("its lease has run out, say {}", names.join(" and "));
        return Proof { kind: ProofKind::Expired, detail };
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

/// A writer whose node does not answer while its server does is closed over SQL, after its lease: its keeper may still be
/// there to do it.
async fn closed_over_sql(term: &Term<'_>, writer: NodeName) -> Proof {
    // Its guard may not know of a shorter one.
    let ttl = term.state().longest_lease();
    sleep(ttl * 2).await;
    loop {
        if found_open(term, &writer)
            && term.lead.group.confirm_leadership(Duration::from_secs(1)).await.is_ok()
            && let Ok(detail) = term.lead.hands.close_over_sql(writer.clone(), Duration::from_secs(3)).await
        {
            return Proof { kind: ProofKind::Closed, detail: format!("{writer}: closed over SQL, {detail}") };
        }
        sleep(AGAIN * 4).await;
    }
}
