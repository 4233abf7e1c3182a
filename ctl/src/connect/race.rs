//! The same attempt at several nodes, the first success counting.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tonic::transport::Endpoint;

use super::Trouble;
use crate::error::Error;

/// How long a node may keep us waiting before the next one is tried beside it: a round trip between sites with
/// its TLS handshake takes less, so a healthy first node is asked alone.
const HEAD_START: Duration = Duration::from_millis(400);

/// How an attempt at one node failed.
#[derive(Debug)]
pub(super) enum Attempt {
    /// That node could not be asked, or had nothing to say: another may.
    Next(Trouble),
    /// It answered, and no other node would answer otherwise.
    Final(Error),
}

/// Tries the doors in order, the next one as soon as one fails or keeps us waiting; bounded by `bound` altogether.
pub(super) async fn first<T, F, Fut>(
    doors: &[(String, Endpoint)],
    bound: Duration,
    attempt: F,
) -> Result<T, Error>
where
    T: Send + 'static,
    F: Fn(String, Endpoint) -> Fut,
    Fut: Future<Output = Result<T, Attempt>> + Send + 'static,
{
    let deadline = Instant::now() + bound;
    let mut doors_left = doors.iter();
    let mut running = JoinSet::new();
    let mut failed: Vec<(String, Trouble)> = Vec::new();
    loop {
        if let Some((node, endpoint)) = doors_left.next() {
            let (name, work) = (node.clone(), attempt(node.clone(), endpoint.clone()));
            running.spawn(async move { (name, work.await) });
        }
        let more = doors_left.len() > 0;
        tokio::select! {
            ended = running.join_next() => match ended {
                Some(Ok((_, Ok(answer)))) => return Ok(answer),
                Some(Ok((_, Err(Attempt::Final(error))))) => return Err(error),
                Some(Ok((node, Err(Attempt::Next(trouble))))) => failed.push((node, trouble)),
                // A task that panicked: reported as the node that never answered, below.
                Some(Err(_)) => {}
                None if more => {}
                None => return Err(Error::NoAnswer(in_order(doors, failed))),
            },
            () = sleep(HEAD_START), if more => {}
            () = sleep_until(deadline) => return Err(Error::NoAnswer(in_order(doors, failed))),
        }
    }
}

/// Every node with its trouble, in the order of the command line; the silent ones ran out of time.
fn in_order(doors: &[(String, Endpoint)], failed: Vec<(String, Trouble)>) -> Vec<(String, Trouble)> {
    let of =
        |node: &String| failed.iter().find(|(other, _)| other == node).map(|(_, trouble)| trouble.clone());
    doors.iter().map(|(node, _)| (node.clone(), of(node).unwrap_or(Trouble::TimedOut))).collect()
}
