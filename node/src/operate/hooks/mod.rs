//! Runs what the operator wants to be run when the writer moves. [`before_close`] is the leader's: a switchover waits for
//! it and may be stopped by it. Everything else is run by each node for itself ([`HookWatch`]), after the fact, so that
//! nothing waits for it. `decide::hooks` says which, when and where.

mod before;
mod watch;

use std::sync::Arc;

use serde::Serialize;

pub(super) use before::before_close;
pub use watch::HookWatch;

use super::program::Program;
use crate::decide::hooks::{Event, Hook};
use crate::state::NodeName;

/// The hooks of this node's file, as it was read last; must not block.
pub type HookSource = Arc<dyn Fn() -> Vec<Hook> + Send + Sync>;

/// Runs hooks on this node.
#[derive(Clone)]
pub struct Hooks {
    /// The cluster's name.
    pub cluster: String,
    /// This node.
    pub me: NodeName,
    /// What is configured.
    pub source: HookSource,
}

/// The document on a hook's standard input.
#[derive(Serialize)]
struct Told<'a> {
    cluster: &'a str,
    node: &'a NodeName,
    hook: &'a str,
    #[serde(flatten)]
    event: &'a Event,
}

impl Hooks {
    /// Runs one, bounded by its timeout. What it said, for the log.
    ///
    /// # Errors
    /// In words: not started, another exit status than 0, or not done in time.
    pub async fn run(&self, hook: &Hook, event: &Event) -> Result<String, String> {
        let told = Told { cluster: &self.cluster, node: &self.me, hook: &hook.name, event };
        let mut input = serde_json::to_vec(&told).map_err(|e| e.to_string())?;
        input.push(b'\n');
        let program = Program {
            what: &format!("hook {}", hook.name),
            command: &hook.command,
            environment: vec![
                ("BATON_CLUSTER", self.cluster.clone()),
                ("BATON_NODE", self.me.to_string()),
                ("BATON_POINT", event.point.to_string()),
            ],
            input,
            bound: hook.timeout,
        };
        program.run().await
    }

    /// Runs the one of that name for another node, by this node's own file: no command comes over the network.
    ///
    /// # Errors
    /// As [`Self::run`], and when this node's file has none of that name for that point.
    pub async fn run_named(&self, name: &str, event: &Event) -> Result<String, String> {
        let hook = (self.source)().into_iter().find(|hook| hook.name == name && hook.at == event.point);
        let hook = hook.ok_or_else(|| {
            format!("hook {name} is not in the file of {}; make the files of all nodes the same", self.me)
        })?;
        self.run(&hook, event).await
    }
}
