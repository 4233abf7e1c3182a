//! What can go wrong between Baton and a server, by error number and never by text: texts change between versions.

use std::io;
use std::time::Duration;

use mysql_async::{DriverError, Error, IoError};

/// An error of a statement or of the connection it ran on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SqlError {
    /// Nothing listens there: the port refused, or the socket file is missing or has no listener.
    #[error("{address}: connection refused")]
    Refused {
        /// Where Baton tried to connect.
        address: String,
    },
    /// The bound of this call has passed. Its connection is gone and its statement was killed, as far as the server
    /// still answered.
    #[error("{what}: no answer within {} ms", after.as_millis())]
    TimedOut {
        /// What was being done.
        what: &'static str,
        /// The bound that has passed.
        after: Duration,
    },
    /// Error 1040 or 1203: the server has no connection left for this account.
    #[error("too many connections")]
    TooManyConnections,
    /// Error 1045, 1044, 1698 or 1130: the account, its password or its host is not accepted. Error 1820 or 1862: the
    /// password has expired. Error 3118, on MariaDB 4151: the account is locked; 3955, on MariaDB 4150: by failed logins.
    #[error("access denied: {message}")]
    AccessDenied {
        /// The server's own words.
        message: String,
    },
    /// The connection broke: reset, end of file, killed, server shutting down.
    #[error("connection lost: {message}")]
    Gone {
        /// What the driver or the server said.
        message: String,
    },
    /// Error 1205: a lock was not granted within `lock_wait_timeout`. The statement changed nothing.
    #[error("lock wait timeout: another session holds a lock that this statement needs")]
    LockWaitTimeout,
    /// Error 1290 or 1836: the server is closed. Error 1290 has other reasons too: the message tells.
    #[error("refused while the server runs with that option: {message}")]
    ReadOnly {
        /// The server's own words.
        message: String,
    },
    /// Error 1227, 1142 or 1370: Baton's account lacks a privilege that the message names.
    #[error("missing privilege: {message}")]
    MissingPrivilege {
        /// The server's own words.
        message: String,
    },
    /// Error 1193, 1146, 1094, 1305 or 1201: no such variable, table, session, function or channel.
    #[error("no such thing on this server: {message}")]
    NoSuchThing {
        /// The server's own words.
        message: String,
    },
    /// The permit under which a changing call ran was withdrawn before its next statement.
    #[error("superseded: no longer permitted before `{before}`")]
    Superseded {
        /// The statement that was not sent.
        before: String,
    },
    /// What was read back is not what was set.
    #[error("{what} did not take effect: {seen}")]
    NotInEffect {
        /// The setting.
        what: &'static str,
        /// What the server shows instead.
        seen: String,
    },
    /// This state of the server forbids the call: doing it would lose or block something.
    #[error("{0}")]
    Unsafe(String),
    /// A server that Baton does not manage: too old, or without GTIDs.
    #[error("unsupported server: {0}")]
    Unsupported(String),
    /// The server answered something that Baton cannot read.
    #[error("unexpected answer: {0}")]
    Unexpected(String),
    /// Any other server error.
    #[error("server error {errno}: {message}")]
    Other {
        /// The server's error number.
        errno: u16,
        /// The server's own words.
        message: String,
    },
}

impl SqlError {
    /// Whether the connection is of no further use.
    pub fn breaks_connection(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::TimedOut { .. } | Self::Gone { .. } | Self::Unexpected(_))
            || matches!(self, Self::TooManyConnections | Self::AccessDenied { .. })
    }

    /// Whether the server was there and said no, so that this is no sign of its death.
    pub fn server_answered(&self) -> bool {
        !matches!(self, Self::Refused { .. } | Self::TimedOut { .. } | Self::Gone { .. })
    }

    /// What an operator does about it.
    pub fn mend(&self) -> &'static str {
        match self {
            Self::Refused { .. } => {
                "start the server, or correct server.socket and the node's server address in the configuration"
            }
            Self::TooManyConnections => "end sessions, or raise max_connections",
            Self::AccessDenied { .. } => {
                "correct server.user and server.password_file in the configuration, or the account on the server: \
                 `batonctl grants` prints it"
            }
            Self::MissingPrivilege { .. } => "give Baton's account what `batonctl grants` prints",
            Self::Unsupported(_) => "upgrade the server, or correct the address in the configuration",
            _ => "look at the server's error log; the node tries again by itself",
        }
    }

    fn from_server(errno: u16, message: String) -> Self {
        match errno {
            1040 | 1203 => Self::TooManyConnections,
            1044 | 1045 | 1130 | 1698 | 1820 | 1862 | 3118 | 3955 | 4150 | 4151 => {
                Self::AccessDenied { message }
            }
            1053 | 1152 | 1158..=1161 | 1184 | 1927 | 2006 | 2013 | 3168 | 4031 => Self::Gone { message },
            1205 => Self::LockWaitTimeout,
            1290 | 1836 => Self::ReadOnly { message },
            1142 | 1227 | 1370 => Self::MissingPrivilege { message },
            1094 | 1146 | 1193 | 1201 | 1305 => Self::NoSuchThing { message },
            _ => Self::Other { errno, message },
        }
    }

    fn from_io(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => {
                Self::Refused { address: "server".into() }
            }
            _ => Self::Gone { message: error.to_string() },
        }
    }

    /// Names the address in a refusal, which the driver does not.
    pub(super) fn at(self, address: &str) -> Self {
        match self {
            Self::Refused { .. } => Self::Refused { address: address.to_owned() },
            other => other,
        }
    }
}

impl From<Error> for SqlError {
    fn from(error: Error) -> Self {
        match error {
            Error::Server(e) => Self::from_server(e.code, e.message),
            Error::Io(IoError::Io(e)) => Self::from_io(&e),
            Error::Io(other) => Self::Gone { message: other.to_string() },
            Error::Driver(DriverError::ConnectionClosed) => {
                Self::Gone { message: "closed by the server".into() }
            }
            Error::Driver(e @ (DriverError::FromValue { .. } | DriverError::FromRow { .. })) => {
                Self::Unexpected(e.to_string())
            }
            other => Self::Gone { message: other.to_string() },
        }
    }
}

#[cfg(test)]
mod tests {
    use mysql_async::ServerError;

    use super::*;

    fn kind(code: u16) -> SqlError {
        Error::Server(ServerError { code, message: "m".into(), state: "HY000".into() }).into()
    }

    #[test]
    fn server_errors_are_told_apart_by_number() {
        let message = || "m".to_string();
        assert_eq!(kind(1040), SqlError::TooManyConnections);
        // Denied, expired, and locked on MySQL and on MariaDB.
        for code in [1044, 1045, 1130, 1698, 1820, 1862, 3118, 3955, 4150, 4151] {
            assert_eq!(kind(code), SqlError::AccessDenied { message: message() }, "{code}");
        }
        assert_eq!(kind(1205), SqlError::LockWaitTimeout);
        assert_eq!(kind(1290), SqlError::ReadOnly { message: message() });
        assert_eq!(kind(1227), SqlError::MissingPrivilege { message: message() });
        assert_eq!(kind(1193), SqlError::NoSuchThing { message: message() });
        assert_eq!(kind(1053), SqlError::Gone { message: message() });
        assert_eq!(kind(1062), SqlError::Other { errno: 1062, message: message() });
    }

    #[test]
    fn a_refusal_is_no_answer_and_a_server_error_is_one() {
        let refused: SqlError = Error::from(io::Error::from(io::ErrorKind::ConnectionRefused)).into();
        assert_eq!(refused.clone().at("db1:3306").to_string(), "db1:3306: connection refused");
        assert!(!refused.server_answered());
        assert!(kind(1040).server_answered());
    }
}
