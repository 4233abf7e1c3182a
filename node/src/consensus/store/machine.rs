//! openraft's state machine: applies commands to the replicated state, and shows the result once it is on disk.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use futures::{Stream, StreamExt};
use openraft::entry::RaftEntry;
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder};
use rusqlite::{OptionalExtension, Transaction};

use super::error::StoreError;
use super::thread::Thread;
use super::visible::{Applied, Shared};
use super::{from_json, to_json};
use crate::consensus::types::{Entry, LogId, Reply, Snapshot, SnapshotMeta, StoredMembership, TypeConfig};
use crate::cut::Steps;
use crate::state::{ClusterState, Outcome};

/// A snapshot is the state itself: it is small.
pub(crate) type SnapshotData = Arc<ClusterState>;

/// At most so many entries are applied in one transaction.
const BATCH: usize = 64;

/// The state after an entry, and which entry that was.
#[derive(Clone, Default)]
pub(super) struct Position {
    pub(super) last_applied: Option<LogId>,
    pub(super) membership: StoredMembership,
    pub(super) state: Arc<ClusterState>,
}

impl Position {
    /// Takes in the next entry of the log. `state` is a copy of its own, which becomes its state when the last is in.
    pub(super) fn take(&mut self, state: &mut ClusterState, entry: &Entry) -> Option<Outcome> {
        let log_id = entry.log_id();
        self.last_applied = Some(log_id);
        match &entry.payload {
            EntryPayload::Blank => None,
            EntryPayload::Normal(logged) => Some(state.apply(log_id.index, &logged.0)),
            EntryPayload::Membership(membership) => {
                self.membership = StoredMembership::new(Some(log_id), membership.clone());
                None
            }
        }
    }

    /// Takes the place of what is on disk.
    pub(super) fn write(&self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        transaction.execute(
            "INSERT OR REPLACE INTO machine VALUES (1, ?1, ?2, ?3)",
            (to_json(&self.last_applied)?, to_json(&self.membership)?, to_json(&*self.state)?),
        )?;
        Ok(())
    }
}

/// The state machine, and (a clone of it) the builder of snapshots.
#[derive(Clone)]
pub(crate) struct Machine {
    position: Arc<Mutex<Position>>,
    /// Kept in memory only: the state is on disk with every batch, so that openraft can build it again.
    snapshot: Arc<Mutex<Option<Snapshot>>>,
    pub(super) thread: Thread,
    shared: Arc<Shared>,
}

impl Machine {
    pub(super) async fn load(thread: Thread, shared: Arc<Shared>) -> Result<Self, StoreError> {
        let position = Self::read_from(&thread).await?;
        let machine = Self {
            position: Arc::new(Mutex::new(position.clone())),
            snapshot: Arc::default(),
            thread,
            shared,
        };
        machine.show(position);
        Ok(machine)
    }

    async fn read_from(thread: &Thread) -> Result<Position, StoreError> {
        #[cfg(feature = "simulation")]
        if let Some(kept) = thread.kept.clone() {
            let work = move |transaction: &Transaction<'_>| match kept.read()? {
                Some(position) => Ok(position),
                None => read(transaction),
            };
            return thread.start("read its state", work).await?.done().await;
        }
        thread.start("read its state", read).await?.done().await
    }

    fn position(&self) -> Position {
        self.position.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Writes first, shows then. Between the two, and until `show` returns, everybody sees the state before:
    /// that is as if the entries had come a moment later.
    async fn persist_and_show(&self, position: Position) -> Result<(), io::Error> {
        let written = position.clone();
        #[cfg(feature = "simulation")]
        let kept = self.thread.kept.clone();
        let work = move |transaction: &Transaction<'_>| {
            #[cfg(feature = "simulation")]
            if let Some(kept) = kept {
                kept.write(written);
                return Ok(());
            }
            written.write(transaction)
        };
        let written = async { self.thread.start("write its state", work).await?.done().await };
        written.await.inspect_err(|_| self.shared.withhold())?;
        self.show(position);
        Ok(())
    }

    fn show(&self, position: Position) {
        let index = position.last_applied.map_or(0, |id| id.index);
        let applied = Applied { state: position.state.clone(), index };
        self.shared.show(Arc::new(applied), &position.membership);
        *self.position.lock().unwrap_or_else(PoisonError::into_inner) = position;
    }
}

pub(super) fn read(transaction: &Transaction<'_>) -> rusqlite::Result<Position> {
    let row: Option<(String, String, String)> = transaction
        .query_row("SELECT last_applied, membership, state FROM machine", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    let Some((last_applied, membership, state)) = row else {
        return Ok(Position::default());
    };
    Ok(Position {
        last_applied: from_json(0, &last_applied)?,
        membership: from_json(1, &membership)?,
        state: Arc::new(from_json(2, &state)?),
    })
}

impl RaftSnapshotBuilder<TypeConfig> for Machine {
    type SnapshotData = SnapshotData;

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        let position = self.position();
        let meta = SnapshotMeta { last_log_id: position.last_applied, last_membership: position.membership };
        let snapshot = Snapshot { meta, snapshot: position.state };
        *self.snapshot.lock().unwrap_or_else(PoisonError::into_inner) = Some(snapshot.clone());
        Ok(snapshot)
    }
}

impl RaftStateMachine<TypeConfig> for Machine {
    type SnapshotData = SnapshotData;
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        let position = self.position();
        Ok((position.last_applied, position.membership))
    }

    async fn apply<Strm>(&mut self, entries: Strm) -> Result<(), io::Error>
    where
        Strm: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + OptionalSend,
    {
        let mut batches = entries.ready_chunks(BATCH);
        while let Some(batch) = batches.next().await {
            #[cfg(feature = "simulation")]
            if let Some(kept) = &self.thread.kept {
                kept.may_apply().await;
            }
            let mut position = self.position();
            let mut state = ClusterState::clone(&position.state);
            let mut answers = Vec::with_capacity(batch.len());
            let mut steps = Steps::default();
            for item in batch {
                let (entry, responder) = item?;
                let outcome = position.take(&mut state, &entry);
                if let (EntryPayload::Normal(logged), Some(outcome)) = (&entry.payload, &outcome) {
                    steps.note(&logged.0.change, outcome);
                }
                answers.extend(responder.map(|responder| (responder, Reply(outcome))));
            }
            position.state = Arc::new(state);
            self.persist_and_show(position).await?;
            steps.reached();
            for (responder, reply) in answers {
                responder.send(reply);
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Self::SnapshotBuilder {
        self.clone()
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, state: SnapshotData) -> Result<(), io::Error> {
        self.shared.withhold();
        let membership = meta.last_membership.clone();
        let position = Position { last_applied: meta.last_log_id, membership, state: state.clone() };
        self.persist_and_show(position).await?;
        let snapshot = Snapshot { meta: meta.clone(), snapshot: state };
        *self.snapshot.lock().unwrap_or_else(PoisonError::into_inner) = Some(snapshot);
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        Ok(self.snapshot.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}
