//! What is wrong, where, and what mends it.

use std::fmt;
use std::path::PathBuf;

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A line of the file; None for the file as a whole.
    File(PathBuf, Option<usize>),
    /// An environment variable.
    Environment(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, Some(line)) => write!(f, "{}:{line}", path.display()),
            Self::File(path, None) => write!(f, "{}", path.display()),
            Self::Environment(variable) => write!(f, "environment {variable}"),
        }
    }
}

/// One finding; prints as one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where to look.
    pub place: Place,
    /// The key, or the section, or empty for the whole file.
    pub key: String,
    /// What is wrong and what mends it.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_empty() {
            write!(f, "{}: {}", self.place, self.text)
        } else {
            write!(f, "{}: {}: {}", self.place, self.key, self.text)
        }
    }
}

/// Everything that is wrong, one line each.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(.errors))]
pub struct ConfigErrors {
    /// At least one.
    pub errors: Vec<Problem>,
    /// Found on the way; no reason to refuse.
    pub warnings: Vec<Problem>,
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")
}
