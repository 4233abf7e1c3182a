//! The cluster under rehearsal: what is done to it and what is asked of it, each with its bound.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use baton_proto::control::{
    HistoryRequest, NodeStatus, Operation, RehearseReply, RehearseRequest, RoutingReply, RoutingRequest,
    StatusReply, StatusRequest, SwitchoverReply, SwitchoverRequest,
};
use tokio::time::{Instant, sleep};

use super::super::Context;
use crate::error::Error;
use crate::terminal::with_progress;

/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// A server that was killed, and has not come up since it was last asked to start, is asked again: the first time what
/// supervises it may not have noticed that it had gone.
const START_AGAIN: Duration = Duration::from_secs(10);

pub(super) struct Rehearsed<'a> {
    context: &'a Context<'a>,
    /// The number of the newest row that was begun.
    newest: Cell<u32>,
    /// The rows that were acknowledged.
    written: RefCell<Vec<u32>>,
}

impl<'a> Rehearsed<'a> {
    pub(super) fn new(context: &'a Context<'a>) -> Self {
        Self { context, newest: Cell::default(), written: RefCell::default() }
    }

    /// Makes the table for its rows.
    ///
    /// # Errors
    /// The writer does not take it; nothing else has been touched.
    pub(super) async fn begin(&self, status: &StatusReply) -> Result<(), Error> {
        if status.writer.is_empty() {
            return Err(Error::Refused {
                what: "there is no writer now".into(),
                mend: "`batonctl status` says why".into(),
            });
        }
        self.part(&status.writer, "begin").await
    }

    /// Drops the table.
    ///
    /// # Errors
    /// In words; it stays then, and the next rehearsal begins by dropping it.
    pub(super) async fn end(&self) -> Result<(), String> {
        let writer = self.status().await.map_err(|error| error.to_string())?.writer;
        self.part(&writer, "end").await.map_err(|error| error.to_string())
    }

    /// Writes a row on that server, and counts on it from then on.
    ///
    /// # Errors
    /// In words: it was not acknowledged.
    pub(super) async fn write(&self, node: &str) -> Result<String, String> {
        let number = self.newest.get() + 1;
        self.newest.set(number);
        self.change(node, "write", number).await.map_err(|error| error.to_string())?;
        self.written.borrow_mut().push(number);
        Ok(String::new())
    }

    /// The rows that were acknowledged so far.
    pub(super) fn written(&self) -> Vec<u32> {
        self.written.borrow().clone()
    }

    /// A server, read now.
    ///
    /// # Errors
    /// In words.
    pub(super) async fn look(&self, node: &str) -> Result<RehearseReply, String> {
        self.question(node, "look").await
    }

    /// The id of the server that a node's router leads to; 0 where it does not route.
    ///
    /// # Errors
    /// In words.
    pub(super) async fn route(&self, node: &str) -> Result<u32, String> {
        Ok(self.question(node, "route").await?.server_id)
    }

    /// What each ProxySQL leads clients by.
    ///
    /// # Errors
    /// In words.
    pub(super) async fn routing(&self) -> Result<RoutingReply, String> {
        let asked = self.context.group.ask(|mut node| async move { node.routing(RoutingRequest {}).await });
        asked.await.map_err(|error| error.to_string())
    }

    fn request(&self, node: &str, part: &str, number: u32) -> RehearseRequest {
        RehearseRequest { node: node.to_owned(), part: part.to_owned(), by: self.context.by.clone(), number }
    }

    async fn question(&self, node: &str, part: &str) -> Result<RehearseReply, String> {
        let request = self.request(node, part, 0);
        let asked = self.context.group.ask(move |mut node| {
            let request = request.clone();
            async move { node.rehearse(request).await }
        });
        asked.await.map_err(|error| error.to_string())
    }

    async fn change(&self, node: &str, part: &str, number: u32) -> Result<(), Error> {
        let request = self.request(node, part, number);
        let change = self.context.group.change(|mut node| async move { node.rehearse(request).await });
        change.await.map(drop)
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
        self.change(node, part, 0).await
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
        self.reaches_while(what, within, so, async |_: &StatusReply| {}).await
    }

    /// Has a server that was killed started, and waits, bounded, until the status is so. One that does not come up is
    /// asked to start again.
    ///
    /// # Errors
    /// As [`Self::reaches`], with what was said to the last start.
    pub(super) async fn comes_back(
        &self,
        node: &str,
        within: Duration,
        so: impl Fn(&StatusReply) -> bool,
    ) -> Result<StatusReply, String> {
        let (mut asked, mut refused) = (None::<Instant>, None);
        let start = async |status: &StatusReply| {
            let down = status.nodes.iter().any(|n| n.name == node && !n.server_answers);
            if asked.is_none_or(|at| down && at.elapsed() >= START_AGAIN) {
                refused = self.part(node, "start").await.err();
                asked = Some(Instant::now());
            }
        };
        let back = self.reaches_while("the cluster to be whole", within, so, start).await;
        back.map_err(|why| match refused {
            Some(refused) => format!("{why}; {node} is not started: {refused}"),
            None => why,
        })
    }

    async fn reaches_while(
        &self,
        what: &str,
        within: Duration,
        so: impl Fn(&StatusReply) -> bool,
        mut meanwhile: impl AsyncFnMut(&StatusReply),
    ) -> Result<StatusReply, String> {
        let deadline = Instant::now() + within;
        let waited = async {
            loop {
                let last = match self.status().await {
                    Ok(status) if so(&status) => return Ok(status),
                    Ok(status) => {
                        meanwhile(&status).await;
                        summary(&status)
                    }
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
