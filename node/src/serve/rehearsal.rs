//! `batonctl rehearse`: the parts that a node does for it.

use std::time::Duration;

use baton_proto::control::{Done, RehearseRequest};
use tonic::Status;

use super::Control;
use super::orders::done;
use super::refusal::refused;
use crate::operate::{Acted, Action, Order, Part};
use crate::state::NodeName;

/// Starting a server.
const WITHIN: Duration = Duration::from_secs(45);

impl Control {
    pub(super) async fn rehearse(&self, request: RehearseRequest) -> Result<Done, Status> {
        let node = NodeName::from(request.node.as_str());
        let part = match request.part.as_str() {
            "ask" => Part::Ask,
            "kill" => Part::Kill,
            "start" => Part::Start,
            other => return Err(Status::invalid_argument(format!("`{other}` is no part of a rehearsal"))),
        };
        let term = self.group.leadership().borrow().term;
        let order = Order { term, epoch: self.state().epoch(), operation: "rehearsal".into() };
        match self.hands.act(node.clone(), order, Action::Rehearse(part), WITHIN).await {
            Some(Acted::Done) => Ok(done(format!("{node}: {}", request.part), [])),
            Some(Acted::Failed(why)) => Err(refused(format!("{node} takes no part in it: {why}"))),
            _ => Err(refused(format!("{node} does not answer; see `batonctl status`"))),
        }
    }
}
