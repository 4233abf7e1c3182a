//! Why an admin interface did not do what it was asked. Every error is 1045 there, and only its text tells which.

use std::time::Duration;

use mysql_async::{DriverError, Error, IoError};
use thiserror::Error as ThisError;

use crate::config::HostPort;

/// Why an admin interface did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, ThisError)]
pub enum AdminError {
    /// Nothing listens there.
    #[error("nothing listens on {0}")]
    Refused(HostPort),
    /// No answer in time.
    #[error("no answer within {} ms to {what}", .within.as_millis())]
    TimedOut {
        /// What was asked.
        what: String,
        /// How long it was waited for.
        within: Duration,
    },
    /// User or password.
    #[error("it does not let {user} in: {message}")]
    Denied {
        /// As whom.
        user: String,
        /// ProxySQL's own words.
        message: String,
    },
    /// The password could not be read.
    #[error("{0}")]
    Password(String),
    /// A statement failed.
    #[error("{statement}: {message}")]
    Statement {
        /// What was sent.
        statement: String,
        /// ProxySQL's own words.
        message: String,
    },
    /// The connection ended.
    #[error("the connection ended: {0}")]
    Gone(String),
    /// An answer that cannot be read.
    #[error("unexpected answer: {0}")]
    Unexpected(String),
}

impl AdminError {
    /// What an operator does about it.
    pub fn mend(&self) -> &'static str {
        match self {
            Self::Refused(_) | Self::Gone(_) | Self::TimedOut { .. } => {
                "start it, or correct admin in its [[proxysql]]; it is tried again"
            }
            Self::Denied { .. } => {
                "give the user and password of its [[proxysql]] to admin-admin_credentials, then LOAD ADMIN VARIABLES TO \
                 RUNTIME; the user \"admin\" may come from its own host only"
            }
            Self::Password(_) => "correct password_file in its [[proxysql]]",
            Self::Statement { .. } => {
                "undo what was changed in its tables by hand (PROXYSQL READWRITE ends read only)"
            }
            Self::Unexpected(_) => "admin in its [[proxysql]] must be an admin interface of ProxySQL 2.x",
        }
    }

    /// Whether the connection is of no further use.
    pub fn breaks_connection(&self) -> bool {
        !matches!(self, Self::Statement { .. })
    }
}

pub(super) fn refusal(error: Error, at: &HostPort, user: &str) -> AdminError {
    match error {
        Error::Server(error) => AdminError::Denied { user: user.to_owned(), message: error.message },
        Error::Io(IoError::Io(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            AdminError::Refused(at.clone())
        }
        other => AdminError::Gone(other.to_string()),
    }
}

/// What a statement came to. 1045 is any error here.
pub(super) fn fault(error: Error, statement: &str) -> AdminError {
    match error {
        Error::Server(error) => {
            let message = error.message.trim_start_matches("ProxySQL Admin Error: ").to_owned();
            AdminError::Statement { statement: statement.to_owned(), message }
        }
        Error::Driver(error @ (DriverError::FromRow { .. } | DriverError::FromValue { .. })) => {
            AdminError::Unexpected(error.to_string())
        }
        other => AdminError::Gone(other.to_string()),
    }
}

pub(super) fn timed_out(what: &str, within: Duration) -> AdminError {
    AdminError::TimedOut { what: what.to_owned(), within }
}
