//! openraft's log and vote.
//!
//! Entries that are not purged are few (hundreds) and small, so they are kept in memory too: the leader reads
//! them for its followers without waiting for its own disk, whose write runs at the same time as theirs.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io;
use std::ops::RangeBounds;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openraft::entry::{RaftEntry, RaftPayload};
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::{LogState, OptionalSend, RaftLogReader};
use rusqlite::{OptionalExtension, Transaction};

use super::error::StoreError;
use super::thread::Thread;
use super::visible::Shared;
use super::{from_json, signed, to_json, unsigned};
use crate::consensus::types::{Entry, LogId, StoredMembership, TypeConfig, Vote};

const VOTE: &str = "vote";
const PURGED: &str = "purged";

#[derive(Default)]
pub(super) struct Memory {
    pub(super) entries: BTreeMap<u64, Entry>,
    pub(super) purged: Option<LogId>,
    pub(super) vote: Option<Vote>,
}

impl Memory {
    fn newest_membership(&self) -> Option<StoredMembership> {
        self.entries.values().rev().find_map(membership_of)
    }
}

fn membership_of(entry: &Entry) -> Option<StoredMembership> {
    entry.payload.get_membership().map(|membership| StoredMembership::new(Some(entry.log_id()), membership))
}

/// The log. Clones share it; one of them is openraft's reader.
#[derive(Clone)]
pub(crate) struct Log {
    memory: Arc<Mutex<Memory>>,
    thread: Thread,
    shared: Arc<Shared>,
}

impl Log {
    pub(super) async fn load(thread: Thread, shared: Arc<Shared>) -> Result<Self, StoreError> {
        let memory = thread.start("read its log", read_all).await?.done().await?;
        shared.membership_in_log(memory.newest_membership());
        Ok(Self { memory: Arc::new(Mutex::new(memory)), thread, shared })
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        // Nothing that runs under this lock can panic half-way through a change.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn read_all(transaction: &Transaction<'_>) -> rusqlite::Result<Memory> {
    let mut memory =
        Memory { vote: read(transaction, VOTE)?, purged: read(transaction, PURGED)?, ..Memory::default() };
    let mut statement = transaction.prepare("SELECT idx, body FROM log ORDER BY idx")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let body: String = row.get(1)?;
        memory.entries.insert(unsigned(0, row.get(0)?)?, from_json(1, &body)?);
    }
    Ok(memory)
}

fn read<T: serde::de::DeserializeOwned>(
    transaction: &Transaction<'_>,
    key: &str,
) -> rusqlite::Result<Option<T>> {
    let found: Option<String> =
        transaction.query_row("SELECT body FROM raft WHERE key = ?1", [key], |row| row.get(0)).optional()?;
    found.map(|body| from_json(0, &body)).transpose()
}

fn write<T: serde::Serialize>(transaction: &Transaction<'_>, key: &str, value: &T) -> rusqlite::Result<()> {
    transaction.execute(
        "INSERT INTO raft VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET body = excluded.body",
        (key, to_json(value)?),
    )?;
    Ok(())
}

/// Empties the log, as a snapshot up to `upto` would, and writes a vote that nobody else has given.
pub(super) fn begin_after(transaction: &Transaction<'_>, upto: LogId, vote: Vote) -> rusqlite::Result<()> {
    transaction.execute("DELETE FROM log", [])?;
    write(transaction, PURGED, &upto)?;
    write(transaction, VOTE, &vote)
}

impl RaftLogReader<TypeConfig> for Log {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, io::Error> {
        Ok(self.lock().entries.range(range).map(|(_, entry)| entry.clone()).collect())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.lock().vote)
    }
}

impl RaftLogStorage<TypeConfig> for Log {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, io::Error> {
        let memory = self.lock();
        let last = memory.entries.values().next_back().map(RaftEntry::log_id);
        Ok(LogState { last_purged_log_id: memory.purged, last_log_id: last.or(memory.purged) })
    }

    async fn get_log_reader(&mut self) -> Self::LogReader {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let vote = *vote;
        let work = move |transaction: &Transaction<'_>| write(transaction, VOTE, &vote);
        self.thread.start("write a vote", work).await?.done().await?;
        self.lock().vote = Some(vote);
        Ok(())
    }

    // `save_committed` is left out: `last_applied` is on disk with the state, so that a restarted node starts
    // from what it had applied, and one more write on the way of every command would gain nothing.

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        let rows = entries
            .iter()
            .map(|entry| Ok((signed(entry.index())?, to_json(entry)?)))
            .collect::<rusqlite::Result<Vec<_>>>()
            .map_err(io::Error::other)?;
        if let Some(newest) = entries.iter().rev().find_map(membership_of) {
            self.shared.membership_in_log(Some(newest));
        }
        self.lock().entries.extend(entries.into_iter().map(|entry| (entry.index(), entry)));
        let work = move |transaction: &Transaction<'_>| {
            let mut insert = transaction.prepare("INSERT OR REPLACE INTO log VALUES (?1, ?2)")?;
            for row in rows {
                insert.execute(row)?;
            }
            Ok(())
        };
        let done =
            move |result: Result<(), StoreError>| callback.io_completed(result.map_err(io::Error::from));
        self.thread.hand_in("write its log", work, done).await?;
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> Result<(), io::Error> {
        let first_gone = last.map_or(0, |id| id.index + 1);
        let newest = {
            let mut memory = self.lock();
            memory.entries.split_off(&first_gone);
            memory.newest_membership()
        };
        let work = move |transaction: &Transaction<'_>| {
            transaction.execute("DELETE FROM log WHERE idx >= ?1", [signed(first_gone)?])?;
            Ok(())
        };
        let pending = self.thread.start("cut its log", work).await?;
        pending.done().await?;
        self.shared.membership_in_log(newest);
        Ok(())
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), io::Error> {
        let work = move |transaction: &Transaction<'_>| {
            transaction.execute("DELETE FROM log WHERE idx <= ?1", [signed(upto.index)?])?;
            write(transaction, PURGED, &upto)
        };
        self.thread.start("shorten its log", work).await?.done().await?;
        let newest = {
            let mut memory = self.lock();
            memory.entries = memory.entries.split_off(&(upto.index + 1));
            memory.purged = Some(upto);
            memory.newest_membership()
        };
        self.shared.membership_in_log(newest);
        Ok(())
    }
}
