//! Why a server may not be started.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::verdict::{Findings, OpenAtBoot};

/// Why a server may not be started.
#[derive(Debug, Error)]
pub enum BootError {
    /// It would start open.
    #[error("this server would start open; it is not started:{}", Findings(.0))]
    Open(Vec<OpenAtBoot>),
    /// A file that the server needs, or that decides, cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A file says what no server would take.
    #[error("{} line {line}: {problem}", .path.display())]
    Syntax {
        /// The option file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        problem: &'static str,
    },
    /// The persisted variables are damaged.
    #[error("{} is damaged ({source}): restore it, or remove it and set again what it held", .path.display())]
    Persisted {
        /// `mysqld-auto.cnf`.
        path: PathBuf,
        /// Where it is.
        source: serde_json::Error,
    },
    /// More than any configuration needs.
    #[error("{}: {problem}", .path.display())]
    TooMuch {
        /// The file at which the bound was passed.
        path: PathBuf,
        /// Which bound.
        problem: String,
    },
    /// The program did not say which server it is.
    #[error("cannot ask {} for its version: {problem}", .program.display())]
    Version {
        /// The program.
        program: PathBuf,
        /// What happened instead.
        problem: String,
    },
}
