//! Asking the voters: one round to all of them, five times per lease.

use std::sync::Arc;
use std::time::Duration;

use futures::future::{Either, select};
use tokio::sync::mpsc;

use super::ports::{LeaseAnswer, LeaseRequest, Voters};
use crate::config::RENEWAL_REPEAT_AFTER;
use crate::state::NodeName;

/// One voter's answer to one round.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) voter: NodeName,
    pub(super) request: LeaseRequest,
    pub(super) answer: LeaseAnswer,
}

/// How many answers may wait to be read: several rounds of any group of a sensible size.
pub(super) const REPLIES: usize = 256;

/// Sends one round. Each question ends by itself, so rounds do not pile up.
pub(super) fn ask_all(
    voters: &Arc<dyn Voters>,
    names: Vec<NodeName>,
    request: &LeaseRequest,
    replies: &mpsc::Sender<Reply>,
) {
    for voter in names {
        let (voters, request, replies) = (Arc::clone(voters), request.clone(), replies.clone());
        tokio::spawn(async move {
            if let Some(answer) = ask(&voters, &voter, &request).await {
                // A full queue means a guard that is busy closing; it needs no more answers.
                let _full_or_over = replies.try_send(Reply { voter, request, answer });
            }
        });
    }
}

/// A stall inside one TCP stream is no evidence: an unanswered request is repeated on the second connection.
async fn ask(voters: &Arc<dyn Voters>, voter: &NodeName, request: &LeaseRequest) -> Option<LeaseAnswer> {
    let mut first = voters.ask(voter.clone(), request.clone(), 0);
    let in_time = tokio::time::timeout(RENEWAL_REPEAT_AFTER, &mut first).await;
    if let Ok(Some(answer)) = in_time {
        return Some(answer);
    }
    let second = voters.ask(voter.clone(), request.clone(), 1);
    if in_time.is_ok() {
        return second.await;
    }
    match select(first, second).await {
        Either::Left((Some(answer), _)) | Either::Right((Some(answer), _)) => Some(answer),
        Either::Left((None, other)) | Either::Right((None, other)) => other.await,
    }
}

/// How often a round is sent.
pub(super) fn interval(lease_ttl: Duration) -> Duration {
    lease_ttl / crate::config::RENEWALS_PER_LEASE
}
