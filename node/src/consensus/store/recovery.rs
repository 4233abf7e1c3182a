//! A store that no daemon has open: what it knows, and how a new generation of the group begins from it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use openraft::entry::RaftEntry;
use openraft::impls::leader_id_adv::LeaderId;
use openraft::vote::RaftLeaderId;
use openraft::{EntryPayload, Membership};
use rusqlite::Transaction;

use super::log::{self, Memory};
use super::machine::{self, Position};
use super::visible::MembershipView;
use super::{Binding, Store, StoreError, from_json, notes, read_binding, signed};
use crate::consensus::left_behind::{self, LeftBehind};
use crate::consensus::types::{LogId, StoredMembership, Vote};
use crate::state::{ClusterState, Command, NodeName, Outcome, Refusal, UnixMillis};

/// Why a group cannot be started anew from a store. Nothing was changed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RecoveryError {
    /// The store itself.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is none.
    #[error("there is no store at {0}: this node has no memory of a group, so none can be recovered from it")]
    None(String),
    /// It is blank.
    #[error(
        "the store {0} has never belonged to a group: start baton-node, and the group is formed or joined"
    )]
    Blank(String),
    /// It holds no formed group.
    #[error("the store {0} has not taken in yet who belongs to the group: nothing can be recovered from it")]
    Unformed(String),
    /// The state refuses.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// What one member knows of its group, all entries of its log taken as agreed: one that was not may have been, and the
/// member cannot tell.
#[derive(Debug, Clone)]
pub struct Survey {
    /// Which group, and which member.
    pub binding: Binding,
    /// Index of the newest entry.
    pub last_index: u64,
    /// Its leader's term.
    pub last_term: u64,
    /// How many of the entries this member had not applied yet: it cannot tell whether they were agreed on.
    pub unapplied: u64,
    /// When the newest command in the log was proposed, and by whom; `None` where the log has none any more.
    pub last_command: Option<(UnixMillis, NodeName)>,
    /// Who belongs to it.
    pub membership: MembershipView,
    /// The state after the newest entry.
    pub state: ClusterState,
    /// The generation that has gone on without this member, if it knows of one.
    pub left_behind_by: Option<u64>,
}

/// A store that no daemon has open. It stays locked until [`AtRest::close`].
pub struct AtRest {
    store: Store,
}

impl AtRest {
    /// Opens a store that is there already.
    ///
    /// # Errors
    /// [`RecoveryError`]: a daemon has it open, for one.
    pub fn open(path: &Path, machine_id: &str) -> Result<Self, RecoveryError> {
        if !path.exists() {
            return Err(RecoveryError::None(path.display().to_string()));
        }
        Ok(Self { store: Store::open(path, machine_id, "")? })
    }

    /// Reads everything, and changes nothing.
    ///
    /// # Errors
    /// [`RecoveryError`].
    pub async fn survey(&self) -> Result<Survey, RecoveryError> {
        let read = self.store.thread.start("read its group", read_all).await?.done().await?;
        Ok(self.known(read)?.survey())
    }

    /// Starts the group anew with `keep` as the only member, after `command` has been applied to the state, and in one
    /// transaction: afterwards the store is of the new generation, or as it was.
    ///
    /// # Errors
    /// [`RecoveryError`]; the state's refusal of `command` among them.
    pub async fn recover(
        &self,
        keep: NodeName,
        generation: u64,
        command: Command,
    ) -> Result<(), RecoveryError> {
        let read = self.store.thread.start("read its group", read_all).await?.done().await?;
        let known = self.known(read)?;
        let (position, vote) = known.begun_anew(&keep, &command)?;
        let work = move |transaction: &Transaction<'_>| {
            position.write(transaction)?;
            if let Some(upto) = position.last_applied {
                log::begin_after(transaction, upto, vote)?;
            }
            transaction.execute("UPDATE binding SET generation = ?1", [signed(generation)?])?;
            transaction.execute("DELETE FROM notes WHERE key = ?1", [left_behind::KEY])?;
            Ok(())
        };
        Ok(self.store.thread.start("start its group anew", work).await?.done().await?)
    }

    /// Lets go of the file.
    pub async fn close(self) {
        self.store.close().await;
    }

    fn known(&self, (binding, left_behind_by, position, memory): Read) -> Result<Known, RecoveryError> {
        let path = || self.store.path().display().to_string();
        let binding = binding.ok_or_else(|| RecoveryError::Blank(path()))?;
        let known = Known::new(binding, left_behind_by, position, memory);
        let formed = known.position.state.cluster.is_some() && known.position.last_applied.is_some();
        if formed { Ok(known) } else { Err(RecoveryError::Unformed(path())) }
    }
}

type Read = (Option<Binding>, Option<u64>, Position, Memory);

fn read_all(transaction: &Transaction<'_>) -> rusqlite::Result<Read> {
    let left = notes::read(transaction, left_behind::KEY)?;
    let left = left.map(|left| from_json::<LeftBehind>(0, &left)).transpose()?;
    let left_behind_by = left.map(|left| left.generation);
    Ok((read_binding(transaction)?, left_behind_by, machine::read(transaction)?, log::read_all(transaction)?))
}

/// A store's content, the log applied to its end.
struct Known {
    binding: Binding,
    left_behind_by: Option<u64>,
    position: Position,
    vote_term: u64,
    unapplied: u64,
    last_command: Option<(UnixMillis, NodeName)>,
}

impl Known {
    fn new(binding: Binding, left_behind_by: Option<u64>, mut position: Position, memory: Memory) -> Self {
        let applied = position.last_applied.map(|id| id.index);
        let last_command = memory.entries.values().rev().find_map(|entry| match &entry.payload {
            EntryPayload::Normal(logged) => Some((logged.0.at_ms, logged.0.by.clone())),
            _ => None,
        });
        let mut state = ClusterState::clone(&position.state);
        let mut unapplied = 0;
        for entry in memory.entries.into_values() {
            if applied.is_none_or(|applied| entry.index() > applied) {
                // What came of it counts in the state alone; nobody waits for its outcome any more.
                let _outcome = position.take(&mut state, entry);
                unapplied += 1;
            }
        }
        position.state = Arc::new(state);
        let vote_term = memory.vote.map_or(0, |vote| vote.leader_id.term);
        Self { binding, left_behind_by, position, vote_term, unapplied, last_command }
    }

    fn last(&self) -> (u64, u64) {
        self.position.last_applied.map_or((0, 0), |id| (id.committed_leader_id().term, id.index))
    }

    fn survey(self) -> Survey {
        let (last_term, last_index) = self.last();
        let membership =
            MembershipView::of(&self.position.membership, &self.position.membership, Duration::ZERO);
        Survey {
            binding: self.binding,
            last_index,
            last_term,
            unapplied: self.unapplied,
            last_command: self.last_command,
            membership,
            state: ClusterState::clone(&self.position.state),
            left_behind_by: self.left_behind_by,
        }
    }

    /// The state and the membership after the recovery, as of an entry behind all that the member knows, in a term that
    /// it has not voted in.
    fn begun_anew(mut self, keep: &NodeName, command: &Command) -> Result<(Position, Vote), RecoveryError> {
        let (last_term, last_index) = self.last();
        let (id, member) = {
            let view =
                MembershipView::of(&self.position.membership, &self.position.membership, Duration::ZERO);
            let found = view.by_name(keep).filter(|(id, _)| *id == self.binding.raft_id);
            let (id, member) = found.ok_or_else(|| Refusal::NoSuchNode(keep.clone()))?;
            (id, member.clone())
        };
        let term = last_term.max(self.vote_term) + 1;
        let log_id = LogId::new(LeaderId::new(term, id).to_committed(), last_index + 1);
        let mut state = ClusterState::clone(&self.position.state);
        if let Outcome::Refused(refusal) = state.apply(log_id.index, command) {
            return Err(refusal.into());
        }
        let membership = Membership::new(vec![BTreeSet::from([id])], BTreeMap::from([(id, member)]));
        let membership = membership.map_err(|_| Refusal::NoSuchNode(keep.clone()))?;
        self.position = Position {
            last_applied: Some(log_id),
            membership: StoredMembership::new(Some(log_id), membership),
            state: Arc::new(state),
        };
        Ok((self.position, Vote::new(term, id)))
    }
}
