//! The cluster under rehearsal: what is done to it and what is asked of it, each with its bound.

use std::time::Duration;

use baton_proto::control::{
    HistoryRequest, NodeStatus, Operation, RehearseRequest, StatusReply, StatusRequest, SwitchoverReply,
    SwitchoverRequest,
};
use tokio::time::{Instant, sleep};

use super::super::Context;
use crate::error::Error;
use crate::terminal::with_progress;

/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

pub(super) struct Rehearsed<'a> {
    context: &'a Context<'a>,
}

impl<'a> Rehearsed<'a> {
    pub(super) fn new(context: &'a Context<'a>) -> Self {
        Self { context }
    }

    /// # Errors
    /// A node that does not allow it.
    pub(super) async fn all_allow_it(&self, status: &StatusReply) -> Result<(), Error> {
        let nodes =
            status.nodes.iter().filter(|node| matches!(node.role.as_str(), "writer" | "replica" | "out"));
        for node in nodes {
            self.part(&node.name, "ask").await?;
        }
        Ok(())
    }

    pub(super) async fn part(&self, node: &str, part: &str) -> Result<(), Error> {
        let (node, part) = (node.to_owned(), part.to_owned());
        let request = RehearseRequest { node, part, by: self.context.by.clone() };
        let change = self.context.group.change(|mut node| async move { node.rehearse(request).await });
        change.await.map(drop)
    }

    pub(super) async fn switchover(&self) -> Result<SwitchoverReply, Error> {
        let request = SwitchoverRequest { by: self.context.by.clone(), ..SwitchoverRequest::default() };
        let change = self.context.group.change(|mut node| async move { node.switchover(request).await });
        change.await
    }

    pub(super) async fn status(&self) -> Result<StatusReply, Error> {
        self.context.group.ask(|mut node| async move { node.status(StatusRequest {}).await }).await
    }

    /// The operation that ended this epoch.
    pub(super) async fn operation_from(&self, epoch: u64) -> Result<Operation, Error> {
        let request = HistoryRequest { limit: 10, epoch };
        let asked = self.context.group.ask(move |mut node| async move { node.history(request).await });
        let found = asked.await?.operations.into_iter().find(|o| o.from_epoch == epoch);
        found.ok_or_else(|| Error::Refused {
            what: format!("nothing has ended epoch {epoch}"),
            mend: String::new(),
        })
    }

    /// Waits, bounded, until the status is so.
    ///
    /// # Errors
    /// In words: what was waited for, and the last that was seen.
    pub(super) async fn reaches(
        &self,
        what: &str,
        within: Duration,
        so: impl Fn(&StatusReply) -> bool,
    ) -> Result<StatusReply, String> {
        let deadline = Instant::now() + within;
        let waited = async {
            loop {
                let last = match self.status().await {
                    Ok(status) if so(&status) => return Ok(status),
                    Ok(status) => summary(&status),
                    Err(error) => error.to_string(),
                };
                if Instant::now() >= deadline {
                    return Err(format!("not within {} s: {what}; last seen: {last}", within.as_secs()));
                }
                sleep(LOOK_AGAIN).await;
            }
        };
        with_progress(what, waited).await
    }
}

fn summary(status: &StatusReply) -> String {
    let node = |node: &NodeStatus| format!("{} {} {}", node.name, node.role, node.health);
    let nodes: Vec<String> = status.nodes.iter().map(node).collect();
    format!("epoch {}, {}, {}; {}", status.epoch, status.health, status.durability, nodes.join(", "))
}
