//! The configuration file: one file, the same on every node, plus the node's own name.
//!
//! `keys` has every key with its kind, default and reason, and is the only place where a default stands. `document`
//! and `environment` read what an operator wrote and name each fault with its place; `rules` looks at the whole.
//! Nothing of it is applied unless all of it is right.

mod address;
mod alerting;
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
pub use alerting::{
    AlertCommandConfig, AlertConfig, ChatConfig, HeartbeatConfig, Severity, TelegramConfig, WebhookConfig,
};
pub use digest::digest;
pub use duration::{parse as parse_duration, show as show_duration};
pub use environment::environment;
pub use files::{read_page_token, read_password, read_replication_password};
pub use keys::{
    ALERT_COMMAND_KEYS, CHAT_KEYS, HOOK_KEYS, KEYS, Key, LISTS, List, NODE_KEYS, PROXYSQL_KEYS, Preset,
    REPLICA_KEYS, SCHEDULE_KEYS, STORE_KEYS, Scope, WEBHOOK_KEYS,
};
pub use kind::{Kind, read_hours};
pub use load::{Loaded, Origin};
pub use model::{
    ArchiveConfig, BackupConfig, BackupEngine, ClusterConfig, Config, ControlConfig, FailoverConfig,
    FenceSignal, HardFence, HookConfig, HookPlace, HookPoint, HookWhen, HttpConfig, NodeConfig, OnAckersLost,
    OnClosedByHand, OnLoss, OtherZone, PathsConfig, ProxysqlConfig, RaftConfig, RebuildPolicy, ReplicaConfig,
    RouterConfig, SafetySettings, ScheduleConfig, ScheduleKind, ServerConfig, StoreConfig, StoreType,
    TlsConfig, fence_command,
};
pub use problem::{ConfigErrors, Place, Problem};
pub use reload::{Change, Reload, ReloadRefused};
pub use render::{render_check, render_effective, render_reference};
pub use rules::{RENEWAL_REPEAT_AFTER, RENEWALS_PER_LEASE, shortest_lease};
