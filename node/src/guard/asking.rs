//! Asking the voters: one round to all of them, five times per lease.

use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, Either, select};
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
        crate::task::spawn(async move {
            if let Some(answer) = ask(&voters, &voter, &request).await {
                // A full queue means a guard that is busy closing; it needs no more answers.
                let _full_or_over = replies.try_send(Reply { voter, request, answer });
            }
        });
    }
}

async fn ask(voters: &Arc<dyn Voters>, voter: &NodeName, request: &LeaseRequest) -> Option<LeaseAnswer> {
    repeated(|lane| voters.ask(voter.clone(), request.clone(), lane)).await
}

/// A stall inside one TCP stream is no evidence: a question (asked of lane 0 first) that is unanswered after
/// [`RENEWAL_REPEAT_AFTER`] is repeated on lane 1, and the first answer counts. One that failed is repeated at once.
pub async fn repeated<T>(question: impl Fn(usize) -> BoxFuture<'static, Option<T>>) -> Option<T> {
    let mut first = question(0);
    let in_time = tokio::time::timeout(RENEWAL_REPEAT_AFTER, &mut first).await;
    if let Ok(Some(answer)) = in_time {
        return Some(answer);
    }
    let second = question(1);
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

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use tokio::time::{Instant, sleep};

    use super::*;

    /// What each lane answers, and after how many milliseconds; and when the answer was there.
    async fn asked(lanes: [(u64, Option<&'static str>); 2]) -> (Option<&'static str>, u128) {
        let begun = Instant::now();
        let question = |lane: usize| {
            let (after_ms, answer) = lanes[lane];
            async move {
                sleep(Duration::from_millis(after_ms)).await;
                answer
            }
            .boxed()
        };
        (repeated(question).await, begun.elapsed().as_millis())
    }

    /// On the path of a question, longer than anybody waits.
    const STALLED: u64 = 60_000;

    #[tokio::test(start_paused = true)]
    async fn a_question_is_repeated_on_the_second_connection_and_the_first_answer_counts() {
        let cases = [
            ([(10, Some("first")), (0, Some("second"))], (Some("first"), 10)),
            ([(STALLED, Some("first")), (10, Some("second"))], (Some("second"), 160)),
            ([(10, None), (10, Some("second"))], (Some("second"), 20)),
            ([(200, Some("first")), (STALLED, None)], (Some("first"), 200)),
            ([(200, Some("first")), (10, None)], (Some("first"), 200)),
            ([(200, None), (100, Some("second"))], (Some("second"), 250)),
            ([(10, None), (10, None)], (None, 20)),
        ];
        for (lanes, expected) in cases {
            assert_eq!(asked(lanes).await, expected, "{lanes:?}");
        }
    }
}
