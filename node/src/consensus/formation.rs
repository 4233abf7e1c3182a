//! How a group comes into being: by itself, once.
//!
//! The first node of the configuration greets all others. Only when every one answers, has a blank store and the
//! same configuration does it draw the cluster's id, write down its plan (which store gets which id), bind its
//! own store, invite the others one by one, and let openraft begin. A store takes one invitation in its life, so
//! no second group can come of the same stores, and a crash anywhere is finished from the plan at the next start.
//! A node that is blank while the others are not is never let in by itself: it may have lost its memory.

use std::time::Duration;

use openraft::errors::{InitializeError, RaftError};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::group::Group;
use super::left_behind::LeftBehind;
use super::store::Binding;
use super::types::Member;
use crate::state::NodeName;

/// The plan's note.
const PLAN: &str = "formation.plan";
/// Between two rounds of greetings.
const ROUND: Duration = Duration::from_millis(250);
/// How long a blank node that meets a formed group takes this for a formation under way.
const UNDER_WAY: Duration = Duration::from_secs(3);
/// Bound on the first command; it is repeated.
const FIRST_COMMAND: Duration = Duration::from_secs(5);
/// Ids of joined nodes begin at 100.
const MOST_NODES: usize = 99;

/// How far a node is with having a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FormationStatus {
    /// Nothing known yet.
    Starting,
    /// Not every configured node answers; each with what is wrong.
    Waiting(Vec<(NodeName, String)>),
    /// These nodes run with another configuration.
    ConfigDiffers(Vec<NodeName>),
    /// All is well; that node, the first in the configuration, will form the group.
    WaitingForFirst(NodeName),
    /// This node's store is blank, but these belong to a group.
    StoreIsNew {
        /// This node.
        node: NodeName,
        /// Members that answered.
        members: Vec<NodeName>,
    },
    /// The group is being formed by this node; what is still missing.
    Forming(String),
    /// This node belongs to a group.
    Formed,
    /// The group goes on without this node.
    LeftBehind(LeftBehind),
    /// It cannot go on without a person.
    Failed(String),
}

impl std::fmt::Display for FormationStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let list = |names: &[NodeName]| names.iter().map(NodeName::as_str).collect::<Vec<_>>().join(", ");
        match self {
            Self::Starting => f.write_str("starting"),
            Self::Waiting(missing) => {
                f.write_str("waiting for all configured nodes before the group is formed:")?;
                missing.iter().try_for_each(|(name, detail)| write!(f, " {} ({detail})", name.as_str()))
            }
            Self::ConfigDiffers(nodes) => write!(
                f,
                "the group is not formed while the configuration differs: give {} the same file as this node",
                list(nodes)
            ),
            Self::WaitingForFirst(first) => write!(f, "waiting for {} to form the group", first.as_str()),
            Self::StoreIsNew { node, members } => write!(
                f,
                "this node's store is new, but {} already form a group: if it lost its old store, remove it and add \
                 it again (batonctl node remove {node}, batonctl node add {node}); if it is new, add it",
                list(members),
                node = node.as_str()
            ),
            Self::Forming(missing) => write!(f, "forming the group: {missing}"),
            Self::Formed => f.write_str("formed"),
            Self::LeftBehind(left) => left.fmt(f),
            Self::Failed(reason) => write!(f, "the group cannot be formed: {reason}"),
        }
    }
}

/// What the forming node promised itself, written together with its own binding.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Plan {
    members: Vec<(u64, Member)>,
    done: bool,
}

/// One round of greetings, judged.
enum Round {
    Ready(Vec<Member>),
    NotYet(FormationStatus),
}

impl Group {
    /// Runs until the node belongs to a group, or until shutdown.
    pub(super) async fn form(self) {
        let stopping = self.stopping().clone();
        tokio::select! {
            biased;
            () = stopping.cancelled() => {}
            () = self.left() => {}
            result = self.form_or_wait() => match result {
                Ok(()) => self.tell_formation(FormationStatus::Formed),
                Err(reason) => self.tell_formation(FormationStatus::Failed(reason)),
            },
        }
    }

    async fn form_or_wait(&self) -> Result<(), String> {
        let mut met_group: Option<Instant> = None;
        while self.binding().is_none() {
            match self.round().await {
                Round::Ready(members) => self.write_plan(members).await?,
                Round::NotYet(status) => {
                    let strange = matches!(status, FormationStatus::StoreIsNew { .. });
                    let since = met_group.filter(|_| strange).unwrap_or_else(Instant::now);
                    met_group = strange.then_some(since);
                    if !strange || since.elapsed() > UNDER_WAY {
                        self.tell_formation(status);
                    }
                    tokio::time::sleep(ROUND).await;
                }
            }
        }
        match self.plan().await? {
            Some(plan) if !plan.done => self.finish(plan).await,
            _ => Ok(()),
        }
    }

    async fn round(&self) -> Round {
        let options = self.options();
        let others = options.nodes.iter().filter(|(name, _)| *name != options.node);
        let greetings = others.map(|(name, address)| async move {
            (name.clone(), address.clone(), self.greet(name, address).await)
        });
        let answers = futures::future::join_all(greetings).await;

        let mut stores = std::collections::BTreeMap::new();
        stores.insert(options.node.clone(), self.store().store_id().to_owned());
        let (mut missing, mut members, mut differ) = (Vec::new(), Vec::new(), Vec::new());
        for (name, _, answer) in answers {
            match answer {
                Err(detail) => missing.push((name, detail)),
                Ok(reply) if !reply.blank => members.push(name),
                Ok(reply) if reply.config_digest != options.config_digest => differ.push(name),
                Ok(reply) => {
                    stores.insert(name, reply.store_id);
                }
            }
        }
        if !members.is_empty() {
            return Round::NotYet(FormationStatus::StoreIsNew { node: options.node.clone(), members });
        }
        if !differ.is_empty() {
            return Round::NotYet(FormationStatus::ConfigDiffers(differ));
        }
        if !missing.is_empty() {
            return Round::NotYet(FormationStatus::Waiting(missing));
        }
        match options.nodes.first() {
            Some((first, _)) if *first != options.node => {
                return Round::NotYet(FormationStatus::WaitingForFirst(first.clone()));
            }
            _ => {}
        }
        let member = |(name, address): &(NodeName, String)| {
            Member::new(name.clone(), address, stores.get(name).map_or("", String::as_str))
        };
        Round::Ready(options.nodes.iter().map(member).collect())
    }

    async fn write_plan(&self, members: Vec<Member>) -> Result<(), String> {
        if members.is_empty() || members.len() > MOST_NODES {
            return Err(format!(
                "the configuration names {} nodes; 1 to {MOST_NODES} can form a group",
                members.len()
            ));
        }
        let plan = Plan { members: (1..).zip(members).collect(), done: false };
        let mine = plan.members.iter().find(|(_, member)| member.name == self.options().node);
        let (raft_id, _) = mine.ok_or("the configuration does not name this node")?;
        let binding = Binding {
            cluster: self.options().cluster.clone(),
            cluster_id: (self.options().draw_id)(),
            raft_id: *raft_id,
            generation: 1,
        };
        let note = serde_json::to_string(&plan).map_err(|e| e.to_string())?;
        self.bind(binding, Some((PLAN, note))).await.map_err(|e| e.to_string())?;
        Ok(())
    }

    async fn plan(&self) -> Result<Option<Plan>, String> {
        let note = self.notes().get(PLAN).await.map_err(|e| e.to_string())?;
        note.map(|json| serde_json::from_str(&json).map_err(|e| e.to_string())).transpose()
    }

    /// Every step may have been done before: an invitation is accepted again, `initialize` is refused by a log
    /// that has begun, and the first command may be applied twice.
    async fn finish(&self, mut plan: Plan) -> Result<(), String> {
        let raft = self.raft().ok_or("consensus did not start")?;
        let begun = raft.is_initialized().await.map_err(|e| e.to_string())?;
        if !begun {
            self.invite_all(&plan).await?;
            match raft
                .initialize(plan.members.iter().cloned().collect::<std::collections::BTreeMap<_, _>>())
                .await
            {
                Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        self.propose_first().await?;
        plan.done = true;
        let note = serde_json::to_string(&plan).map_err(|e| e.to_string())?;
        self.notes().put(PLAN, &note).await.map_err(|e| e.to_string())
    }

    async fn invite_all(&self, plan: &Plan) -> Result<(), String> {
        let binding = self.binding().ok_or("the store is not bound")?;
        for (id, member) in plan.members.iter().filter(|(id, _)| *id != binding.raft_id) {
            // Until it answers or this daemon ends: a host that is away in this moment comes back.
            while let Err(reason) =
                self.invite(&binding, &member.name, &member.address, *id, &member.store_id).await
            {
                self.tell_formation(FormationStatus::Forming(format!("{}: {reason}", member.name.as_str())));
                tokio::time::sleep(ROUND).await;
            }
        }
        Ok(())
    }

    async fn propose_first(&self) -> Result<(), String> {
        let binding = self.binding().ok_or("the store is not bound")?;
        let command = (self.options().formation)(&binding.cluster_id);
        while let Err(error) = self.propose(command.clone(), FIRST_COMMAND).await {
            self.tell_formation(FormationStatus::Forming(error.to_string()));
            tokio::time::sleep(ROUND).await;
        }
        Ok(())
    }
}
