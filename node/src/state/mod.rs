//! A stand-in for the replicated state, until the real one takes its place.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Name of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeName(String);

impl NodeName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for NodeName {
    fn from(name: &str) -> Self {
        Self(name.to_owned())
    }
}

impl std::fmt::Display for NodeName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the group agrees on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ClusterState {
    values: BTreeMap<String, String>,
}

/// A change of the state.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Command {
    /// Stand-in.
    Set(String, String),
}

/// The answer to a command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome(pub Option<String>);

impl ClusterState {
    /// Applies one command.
    pub fn apply(&mut self, _index: u64, command: &Command) -> Outcome {
        let Command::Set(key, value) = command;
        Outcome(self.values.insert(key.clone(), value.clone()))
    }
}
