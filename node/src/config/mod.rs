//! The configuration file: one file, the same on every node, plus the node's own name.
//!
//! `keys` has every key with its kind, default and reason, and is the only place where a default stands. `document`
//! and `environment` read what an operator wrote and name each fault with its place; `rules` looks at the whole.
//! Nothing of it is applied unless all of it is right.

mod address;
mod digest;
mod document;
mod duration;
mod environment;
mod files;
mod keys;
mod kind;
mod load;
mod model;
mod problem;
mod reload;
mod render;
mod rules;
#[cfg(test)]
mod tests;

pub use address::HostPort;
pub use digest::digest;
pub use duration::show as show_duration;
pub use environment::environment;
pub use files::{read_password, read_replication_password};
pub use keys::{KEYS, Key, NODE_KEYS, Preset, Scope};
pub use kind::Kind;
pub use load::{Loaded, Origin};
pub use model::{
    ClusterConfig, Config, ControlConfig, FailoverConfig, FenceSignal, HardFence, HttpConfig, NodeConfig,
    OnAckersLost, OnClosedByHand, OnLoss, OtherZone, PathsConfig, RaftConfig, RebuildPolicy, RouterConfig,
    SafetySettings, ServerConfig, TlsConfig, fence_command,
};
pub use problem::{ConfigErrors, Place, Problem};
pub use reload::{Change, Reload, ReloadRefused};
pub use render::{render_check, render_effective, render_reference};
pub use rules::{RENEWAL_REPEAT_AFTER, RENEWALS_PER_LEASE, shortest_lease};
