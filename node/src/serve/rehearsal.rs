//! `batonctl rehearse`: the parts that a node does for it.

use std::time::Duration;

use baton_proto::control::{Flag, RehearseReply, RehearseRequest};
use tonic::{Response, Status};

use super::Control;
use super::forward::Caller;
use super::refusal::refused;
use crate::operate::{Acted, Action, Order, Part};
use crate::sql::RehearsalSeen;
use crate::state::NodeName;

/// Starting a server.
const WITHIN: Duration = Duration::from_secs(45);
/// What asks a server that runs.
const ANSWERS_WITHIN: Duration = Duration::from_secs(4);

/// The part that no leader is needed for: the node that it is about tries its own router.
pub(super) const ROUTE: &str = "route";

impl Control {
    pub(super) async fn rehearse(&self, request: RehearseRequest) -> Result<RehearseReply, Status> {
        let node = NodeName::from(request.node.as_str());
        let (part, within) = match request.part.as_str() {
            "ask" => (Part::Ask, WITHIN),
            "kill" => (Part::Kill, WITHIN),
            "start" => (Part::Start, WITHIN),
            "begin" => (Part::Begin, WITHIN),
            "write" => (Part::Write(request.number), WITHIN),
            "look" => (Part::Look, ANSWERS_WITHIN),
            "end" => (Part::End, WITHIN),
            other => return Err(Status::invalid_argument(format!("`{other}` is no part of a rehearsal"))),
        };
        let term = self.group.leadership().borrow().term;
        let order = Order { term, epoch: self.state().epoch(), operation: "rehearsal".into() };
        let message = format!("{node}: {}", request.part);
        match self.hands.act(node.clone(), order, Action::Rehearse(part), within).await {
            Some(Acted::Done) => Ok(RehearseReply { message, ..RehearseReply::default() }),
            Some(Acted::Rehearsed(seen)) => Ok(reply(message, seen)),
            Some(Acted::Failed(why)) => Err(refused(format!("{node} takes no part in it: {why}"))),
            _ => Err(refused(format!("{node} does not answer; see `batonctl status`"))),
        }
    }

    /// Where the router of the node that is named leads a client of the writer.
    pub(super) async fn rehearse_route(
        &self,
        request: RehearseRequest,
        caller: &Caller,
    ) -> Result<Response<RehearseReply>, Status> {
        let node = NodeName::from(request.node.as_str());
        if node != self.me {
            let there = self.node(&node).filter(|_| !caller.forwarded);
            let there = there.ok_or_else(|| refused(format!("{node} is not a member")))?;
            return self.ask(&there, request, async |mut c, q| c.rehearse(q).await).await;
        }
        let server_id = match &self.by_router {
            None => 0,
            Some(by_router) => {
                by_router().await.map_err(|why| refused(format!("{node}'s router leads nowhere: {why}")))?
            }
        };
        let message = format!("{node}: {ROUTE}");
        Ok(Response::new(RehearseReply { message, server_id, ..RehearseReply::default() }))
    }
}

fn reply(message: String, seen: RehearsalSeen) -> RehearseReply {
    let RehearsalSeen { server_id, flags, rows } = seen;
    let flags = flags.into_iter().map(|(name, value)| Flag { name, value }).collect();
    RehearseReply { message, flags, rows, server_id }
}
