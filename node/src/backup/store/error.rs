//! Why a store did not do what it was asked.

use std::io;

use thiserror::Error;

/// Why a store did not do what it was asked. Credentials are not in it.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error("store {store}: {key}: {why}")]
pub struct StoreError {
    store: String,
    key: String,
    why: String,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Transient,
    Missing,
    Final,
}

impl StoreError {
    /// It may go well another time.
    pub(super) fn transient(store: &str, key: &str, why: impl ToString) -> Self {
        Self::of(store, key, why, Kind::Transient)
    }

    /// It is not there.
    pub(super) fn missing(store: &str, key: &str) -> Self {
        Self::of(store, key, "there is no such object", Kind::Missing)
    }

    /// It will not go well until somebody mends it.
    pub(super) fn wrong(store: &str, key: &str, why: impl ToString) -> Self {
        Self::of(store, key, why, Kind::Final)
    }

    /// Of a file. A full disk may be made room on, but not within the time of a few tries.
    pub(super) fn of_file(store: &str, key: &str, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::missing(store, key),
            io::ErrorKind::Interrupted | io::ErrorKind::TimedOut => Self::transient(store, key, error),
            _ => Self::wrong(store, key, error),
        }
    }

    fn of(store: &str, key: &str, why: impl ToString, kind: Kind) -> Self {
        Self { store: store.to_owned(), key: key.to_owned(), why: why.to_string(), kind }
    }

    /// Whether trying again may help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.kind == Kind::Transient
    }

    /// Whether the object is not there.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        self.kind == Kind::Missing
    }
}

impl From<StoreError> for io::Error {
    fn from(error: StoreError) -> Self {
        let kind = if error.is_missing() { io::ErrorKind::NotFound } else { io::ErrorKind::Other };
        Self::new(kind, error)
    }
}
