//! What a guard must remember beyond its process, outside the run directory.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ports::Notes;
use crate::state::Epoch;

const KEY: &str = "guard";

/// The guard's durable memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// The newest epoch under which it opened its server, written before the statement.
    pub(super) opened: Epoch,
    /// Pid and start time of the process that was opened.
    pub(super) process: (i32, u64),
    /// The newest epoch under which it closed the server again itself.
    pub(super) closed: Epoch,
    /// The newest epoch that it has promised never to open under.
    pub(super) refused: Epoch,
    /// Index of the newest entry of durability when it last made the server wait; it lets go only for a later one.
    pub(super) waits_since: u64,
    /// The epoch that a majority granted without an end, for a pause; 0 for none. Cleared once the keeper has a deadline
    /// again, before any voter is told.
    #[serde(default)]
    pub(super) open_ended: Epoch,
}

/// Keeps the record on disk.
pub(super) struct Memory {
    notes: Arc<dyn Notes>,
    pub(super) record: Record,
}

impl Memory {
    pub(super) async fn load(notes: Arc<dyn Notes>) -> Result<Self, String> {
        let record = match notes.get(KEY).await? {
            Some(text) => {
                serde_json::from_str(&text).map_err(|e| format!("the guard's note is damaged: {e}"))?
            }
            None => Record::default(),
        };
        Ok(Self { notes, record })
    }

    /// Changes the record; durable when this returns.
    pub(super) async fn change(&mut self, change: impl FnOnce(&mut Record) + Send) -> Result<(), String> {
        let mut next = self.record.clone();
        change(&mut next);
        if next != self.record {
            let text = serde_json::to_string(&next).map_err(|e| e.to_string())?;
            self.notes.put(KEY, text).await?;
            self.record = next;
        }
        Ok(())
    }
}
