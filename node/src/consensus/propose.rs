//! A command's way into the log: here if this node leads, else over the leader.

use std::time::Duration;

use baton_proto::peer::ProposeRequest;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ClientWriteError, RaftError};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::group::Group;
use super::types::{Logged, Raft};
use super::wire::{Proposal, ProposalAnswer, from_bytes, to_bytes};
use crate::peers::reason;
use crate::state::{Command, NodeName, Outcome};

/// Why there is no outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum ProposeError {
    /// No leader took it in. It is not in the log and never will be.
    #[error("the group has no leader that reaches a majority: the command was not taken in")]
    NoLeader,
    /// The leader could not be reached. The command is not in the log and never will be.
    #[error("the leader, {leader}, cannot be reached: {detail}; the command was not taken in")]
    NotSent {
        /// Whom this node takes for the leader.
        leader: NodeName,
        /// What the connection said.
        detail: String,
    },
    /// It may or may not have been committed, or be committed later. Read the state, or propose it again if
    /// applying it twice does no harm.
    #[error("it is not known whether the command was committed: {detail}")]
    Unknown {
        /// What happened.
        detail: String,
    },
    /// The leader belongs to another group or generation. The command is not in the log.
    #[error("the leader, {leader}, refuses this node: {reason}")]
    Refused {
        /// Who refused.
        leader: NodeName,
        /// In its words.
        reason: String,
    },
}

impl ProposeError {
    /// Whether the command is certain not to be in any log.
    pub fn is_certain(&self) -> bool {
        !matches!(self, Self::Unknown { .. })
    }

    fn may_pass(&self) -> bool {
        matches!(self, Self::NoLeader | Self::NotSent { .. })
    }
}

/// Between two attempts while there is no leader, if nothing tells of a new one.
const AGAIN: Duration = Duration::from_millis(25);

impl Group {
    /// Gets `command` committed and applied, and answers its outcome. Waits for a leader if there is none.
    ///
    /// # Errors
    /// After `within` at the latest; only [`ProposeError::Unknown`] leaves open whether it was committed.
    pub async fn propose(&self, command: Command, within: Duration) -> Result<Outcome, ProposeError> {
        let deadline = Instant::now() + within;
        let mut leadership = self.leadership();
        loop {
            leadership.mark_unchanged();
            let left = deadline.saturating_duration_since(Instant::now());
            match self.propose_once(&command, left).await {
                Err(error) if error.may_pass() && Instant::now() + AGAIN < deadline => {
                    // A change comes with the new leader; the pause covers a leader that has just lost its lease.
                    let _ = tokio::time::timeout(AGAIN, leadership.changed()).await;
                }
                answer => return answer,
            }
        }
    }

    async fn propose_once(&self, command: &Command, within: Duration) -> Result<Outcome, ProposeError> {
        let raft = self.raft().ok_or(ProposeError::NoLeader)?;
        let leader = raft.metrics().borrow_watched().current_leader.ok_or(ProposeError::NoLeader)?;
        if leader == *raft.node_id() {
            return propose_here(&raft, command.clone(), within).await;
        }
        let membership = self.membership();
        let member = membership.members.get(&leader).ok_or(ProposeError::NoLeader)?;
        let link = self.peers().link(&member.name, &member.address);
        let leader = member.name.clone();
        let mut client =
            link.map_err(|e| ProposeError::NotSent { leader: leader.clone(), detail: e.to_string() })?.first;

        let unknown = |detail: String| ProposeError::Unknown { detail };
        let proposal = Proposal { command: command.clone(), within };
        let json = to_bytes(&proposal)
            .map_err(|e| ProposeError::NotSent { leader: leader.clone(), detail: e.to_string() })?;
        let request = ProposeRequest { sender: Some(self.sender()), json };
        let mut leadership = self.leadership();
        let superseded = leadership.wait_for(|now| now.leader.as_ref().is_some_and(|name| *name != leader));
        let answer = tokio::select! {
            answer = tokio::time::timeout(within, client.propose(request)) => answer,
            _ = superseded => return Err(unknown(format!("{leader} was superseded before it answered"))),
        };
        match answer {
            Ok(Ok(reply)) => {
                let answer = from_bytes::<ProposalAnswer>(&reply.into_inner().json);
                answer.unwrap_or_else(|e| Err(unknown(e.to_string())))
            }
            Ok(Err(status)) => Err(classify(leader, &status)),
            Err(_) => Err(unknown(format!("{leader} did not answer within {} ms", within.as_millis()))),
        }
    }

    /// Proposes here, without forwarding: what the leader does for others.
    pub(super) async fn propose_as_leader(&self, command: Command, within: Duration) -> ProposalAnswer {
        let raft = self.raft().ok_or(ProposeError::NoLeader)?;
        propose_here(&raft, command, within).await
    }
}

async fn propose_here(raft: &Raft, command: Command, within: Duration) -> ProposalAnswer {
    let unknown = |detail: String| ProposeError::Unknown { detail };
    match tokio::time::timeout(within, raft.client_write(Logged(command))).await {
        Ok(Ok(written)) => written.data.0.ok_or_else(|| unknown("the entry had no outcome".into())),
        // openraft answers this before it appends anything.
        Ok(Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_)))) => Err(ProposeError::NoLeader),
        Ok(Err(error)) => Err(unknown(error.to_string())),
        Err(_) => Err(unknown(format!("no majority answered within {} ms", within.as_millis()))),
    }
}

fn classify(leader: NodeName, status: &tonic::Status) -> ProposeError {
    if status.code() == tonic::Code::FailedPrecondition {
        return ProposeError::Refused { leader, reason: status.message().to_owned() };
    }
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        if error.is::<tonic::ConnectError>() {
            return ProposeError::NotSent { leader, detail: reason(status) };
        }
        cause = error.source();
    }
    ProposeError::Unknown { detail: format!("{leader}: {}", reason(status)) }
}
