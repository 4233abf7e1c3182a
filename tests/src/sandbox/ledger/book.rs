//! What the sessions of a ledger note down.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// What came of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The server said OK: the row must be found for ever after.
    Acknowledged,
    /// The server said no, with this error number: the row must not be found.
    Refused(u16),
    /// No answer, so either is right.
    Unknown(String),
}

/// One attempt to write one row.
#[derive(Debug, Clone)]
pub struct Write {
    /// The session.
    pub client: i32,
    /// The session's own count.
    pub seq: i64,
    /// When it was sent.
    pub sent: Instant,
    /// When its outcome was known.
    pub ended: Instant,
    /// Its outcome.
    pub outcome: Outcome,
}

#[derive(Debug, Default)]
pub(super) struct Book {
    writes: Mutex<Vec<Write>>,
    connects: Mutex<Vec<Instant>>,
}

impl Book {
    pub(super) fn writes(&self) -> MutexGuard<'_, Vec<Write>> {
        // A panic elsewhere leaves the list whole.
        self.writes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn connects(&self) -> MutexGuard<'_, Vec<Instant>> {
        self.connects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
