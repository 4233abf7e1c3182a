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
use crate::consensus::types::{LogId, Reply, Snapshot, SnapshotMeta, StoredMembership, TypeConfig};
use crate::cut::Steps;
use crate::state::ClusterState;

/// A snapshot is the state itself: it is small.
pub(crate) type SnapshotData = Arc<ClusterState>;

/// At most so many entries are applied in one transaction.
const BATCH: usize = 64;

/// The state after an entry, and which entry that was.
#[derive(Clone, Default)]
struct Position {
    last_applied: Option<LogId>,
    membership: StoredMembership,
    state: Arc<ClusterState>,
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
        let position = thread.start("read its state", read).await?.done().await?;
        let machine = Self {
            position: Arc::new(Mutex::new(position.clone())),
            snapshot: Arc::default(),
            thread,
            shared,
        };
        machine.show(position);
        Ok(machine)
    }

    fn position(&self) -> Position {
        self.position.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Writes first, shows then. Between the two, and until `show` returns, everybody sees the state before:
    /// that is as if the entries had come a moment later.
    async fn persist_and_show(&self, position: Position) -> Result<(), io::Error> {
        let rows =
            (to_json(&position.last_applied), to_json(&position.membership), to_json(&*position.state));
        let (last_applied, membership, body) = match rows {
            (Ok(last_applied), Ok(membership), Ok(state)) => (last_applied, membership, state),
            (Err(e), ..) | (_, Err(e), _) | (.., Err(e)) => return Err(io::Error::other(e)),
        };
        let work = move |transaction: &Transaction<'_>| {
            transaction.execute(
                "INSERT OR REPLACE INTO machine VALUES (1, ?1, ?2, ?3)",
                (last_applied, membership, body),
            )?;
            Ok(())
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

fn read(transaction: &Transaction<'_>) -> rusqlite::Result<Position> {
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
            let mut position = self.position();
            let mut state = ClusterState::clone(&position.state);
            let mut answers = Vec::with_capacity(batch.len());
            let mut steps = Steps::default();
            for item in batch {
                let (entry, responder) = item?;
                let log_id = entry.log_id();
                position.last_applied = Some(log_id);
                let outcome = match entry.payload {
                    EntryPayload::Blank => None,
                    EntryPayload::Normal(logged) => {
                        let outcome = state.apply(log_id.index, &logged.0);
                        steps.note(&logged.0.change, &outcome);
                        Some(outcome)
                    }
                    EntryPayload::Membership(membership) => {
                        position.membership = StoredMembership::new(Some(log_id), membership);
                        None
                    }
                };
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
