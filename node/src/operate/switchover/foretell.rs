//! What a switchover would send to each server, as text. Asked of the server's own node, which knows its names, and in the
//! order in which the steps beside this file, the guard and [`super::super::attend`] make the calls.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use serde::{Deserialize, Serialize};

use super::super::action::{Acted, Action, Hands, Order};
use super::super::attend::SourceAt;
use crate::decide::switchover::{Stages, Statements};
use crate::sql::{Call, CloseOptions, EventSeen, ManagedServer};
use crate::state::{ClusterState, EventName, NodeName};

/// Each question to a node.
const ASKED: Duration = Duration::from_secs(1);

/// The calls of one step at one server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Foretell {
    /// Begin a new binlog file.
    Rotate,
    /// The close.
    Close {
        /// Sessions that hold it up are killed.
        kill_blockers: bool,
    },
    /// What a closed server is left with.
    Rest,
    /// The wait for what the named server has once it is closed.
    Apply(NodeName),
    /// The opening, for so many ackers.
    Open(u32),
    /// The scheduler, and the events that ran at the writer; nothing where events do not follow it.
    Events(Vec<EventName>),
    /// One commit is seen acknowledged by so many ackers.
    Prove(u32),
    /// Following the server at this address (`host:port`).
    Follow {
        /// Where.
        source: String,
        /// Acknowledging its commits.
        acks: bool,
    },
}

/// Asks both servers and every other one. One that does not answer in time leaves a gap.
pub async fn foretell(
    hands: &dyn Hands,
    term: u64,
    stages: &Stages,
    (from, to): (&NodeName, &NodeName),
    kill_blockers: bool,
) -> Statements {
    let state = &stages.opened;
    let order = Order { term, epoch: stages.frozen.epoch(), operation: "dry-run".into() };
    let ask = Ask { hands, order };
    let wait_count = state.safety.wait_count;
    let (rotate, close, rest, apply, open, events, prove, follow) = tokio::join!(
        ask.of(to, Foretell::Rotate),
        ask.of(from, Foretell::Close { kill_blockers }),
        ask.of(from, Foretell::Rest),
        ask.of(to, Foretell::Apply(from.clone())),
        ask.of(to, Foretell::Open(wait_count)),
        ask.of(to, Foretell::Events(stages.frozen.events.enabled.iter().cloned().collect())),
        ask.of(to, Foretell::Prove(wait_count)),
        ask.follow(state, to),
    );
    Statements { rotate, close, rest, apply, open, events, prove, follow, proxies: BTreeMap::new() }
}

struct Ask<'a> {
    hands: &'a dyn Hands,
    order: Order,
}

impl Ask<'_> {
    async fn of(&self, node: &NodeName, what: Foretell) -> Option<Vec<String>> {
        match self.hands.act(node.clone(), self.order.clone(), Action::Foretell(what), ASKED).await? {
            Acted::Foretold(lines) => Some(lines),
            _ => None,
        }
    }

    /// Every server that is to follow `to`, whose lines are known.
    async fn follow(&self, opened: &ClusterState, to: &NodeName) -> BTreeMap<NodeName, Vec<String>> {
        let address = opened.members.get(to).and_then(|member| member.server.clone()).unwrap_or_default();
        let replicas = opened.data_nodes().map(|(node, _)| node);
        let replicas = replicas.filter(|node| *node != to && !opened.out.contains_key(*node));
        let asked = replicas.map(|node| {
            let what = Foretell::Follow { source: address.clone(), acks: opened.ackers.contains(node) };
            async { Some((node.clone(), self.of(node, what).await?)) }
        });
        join_all(asked).await.into_iter().flatten().collect()
    }
}

/// The part of the node beside the server.
///
/// # Errors
/// In words: the server does not answer, lacks what a call needs, or the address is none.
pub(in super::super) async fn foretold(
    server: &dyn ManagedServer,
    source_at: Option<&SourceAt>,
    events: bool,
    what: Foretell,
) -> Result<Vec<String>, String> {
    match what {
        Foretell::Rotate => all(server, &[Call::RotateBinlog]).await,
        Foretell::Close { kill_blockers } => {
            all(server, &[Call::Close(&CloseOptions { kill_blockers, ..CloseOptions::default() })]).await
        }
        Foretell::Rest => all(server, &[Call::EventScheduler(false), Call::StopWaiting]).await,
        Foretell::Apply(of) => {
            all(server, &[Call::WaitApplied(&format!("<what {of} has once it is closed>"))]).await
        }
        Foretell::Open(acks) => {
            all(server, &[Call::ForgetSource, Call::MakeSourceWait(acks), Call::Open]).await
        }
        Foretell::Prove(acks) => all(server, &[Call::MakeSourceWait(acks), Call::ProveCommit]).await,
        Foretell::Events(_) if !events => Ok(Vec::new()),
        Foretell::Events(names) => {
            // One that cannot be switched on holds up no event.
            let on = all(server, &[Call::EventScheduler(true)]).await;
            let on = on.unwrap_or_else(|why| vec![format!("-- it stays off: {why}")]);
            let found = server.events().await.map_err(|error| error.to_string())?;
            let is_due = |e: &&EventSeen| {
                let named = names.iter().any(|name| (&name.schema, &name.name) == (&e.schema, &e.name));
                named && e.from_elsewhere
            };
            let due: Vec<Call<'_>> = found.iter().filter(is_due).map(Call::EnableEvent).collect();
            Ok([on, all(server, &due).await?].concat())
        }
        Foretell::Follow { source, acks } => {
            let source_at = source_at.ok_or("it has no means to replicate")?;
            let source = source_at(&source)?;
            all(server, &[Call::SetAcker(acks), Call::Follow(&source)]).await
        }
    }
}

async fn all(server: &dyn ManagedServer, calls: &[Call<'_>]) -> Result<Vec<String>, String> {
    let mut lines = Vec::new();
    for call in calls {
        lines.extend(server.foretell(*call).await.map_err(|error| error.to_string())?);
    }
    Ok(lines)
}
