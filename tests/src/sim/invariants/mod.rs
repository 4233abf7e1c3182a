//! What must hold at every moment of a run, one file each, numbered as in `docs/safety.md`.
//!
//! 7 and 10 speak of time without faults: [`super::run::liveness`] asks them. 8 shows in 2 and 3.

mod applied_before_open;
mod epochs;
mod evidence;
mod nothing_lost;
mod one_writer;
mod opened_by_grant;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use baton_node::state::{ClusterState, NodeName};

use super::fleet::{Acknowledged, Fleet, Host, ServerSeen};
use super::world::Newest;

/// What a look at the whole world shows.
pub struct Moment<'a> {
    /// Since the run began.
    pub at: Duration,
    /// For what is asked seldom.
    pub fleet: &'a Fleet,
    /// Every server.
    pub servers: &'a BTreeMap<Host, Arc<ServerSeen>>,
    /// Every server at the look before.
    pub before: &'a BTreeMap<Host, Arc<ServerSeen>>,
    /// Servers that accept ordinary clients' writes.
    pub accepting: &'a [Host],
    /// Those of them that did not at the look before.
    pub opened: &'a BTreeSet<Host>,
    /// What each running node has applied.
    pub states: &'a [Applied],
    /// Whether any of those is another one than at the look before.
    pub news: bool,
    /// The newest of those.
    pub newest: &'a Newest,
    /// What servers have acknowledged to clients since the look before.
    pub acknowledged: &'a [Acknowledged],
}

/// What a running node has applied.
pub struct Applied {
    /// Which node.
    pub node: NodeName,
    /// Which of its disks it runs on: a node that joins anew begins with a blank one.
    pub store: u32,
    /// The state.
    pub state: Arc<ClusterState>,
    /// The last entry in it.
    pub index: u64,
}

/// One invariant.
pub trait Invariant {
    /// Its number and name.
    fn name(&self) -> &'static str;
    /// Looks.
    ///
    /// # Errors
    /// What is wrong.
    fn look(&mut self, moment: &Moment<'_>) -> Result<(), String>;
}

/// All of them, at the beginning of a run.
pub fn all() -> Vec<Box<dyn Invariant>> {
    vec![
        Box::<epochs::Epochs>::default(),
        Box::<one_writer::OneWriter>::default(),
        Box::<opened_by_grant::OpenedByGrant>::default(),
        Box::<nothing_lost::NothingLost>::default(),
        Box::<applied_before_open::AppliedBeforeOpen>::default(),
        Box::<evidence::Evidence>::default(),
    ]
}
