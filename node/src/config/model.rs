//! The configuration in types. Fields have no defaults here: those stand in `keys`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::address::HostPort;
use super::alerting::{AlertConfig, HeartbeatConfig, TelegramConfig, WebhookConfig};
use super::duration;

/// The whole file, every default filled in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The group this node belongs to.
    pub cluster: ClusterConfig,
    /// Every node of the group, in the order of the file.
    #[serde(rename = "node")]
    pub nodes: Vec<NodeConfig>,
    /// Every server without a node, in the order of the file.
    #[serde(rename = "replica", default)]
    pub replicas: Vec<ReplicaConfig>,
    /// How a node reaches the server beside it.
    pub server: ServerConfig,
    /// When and how the writer moves.
    pub failover: FailoverConfig,
    /// Programs that are run when it does, in the order of the file.
    #[serde(rename = "hook", default)]
    pub hooks: Vec<HookConfig>,
    /// How a server gets its data anew.
    pub rebuild: RebuildConfig,
    /// What backups are made with.
    #[serde(default)]
    pub backup: BackupConfig,
    /// The archive of the binlog.
    #[serde(default)]
    pub archive: ArchiveConfig,
    /// Where they go, in the order of the file.
    #[serde(rename = "store", default)]
    pub stores: Vec<StoreConfig>,
    /// The group's own timing.
    pub raft: RaftConfig,
    /// The embedded router.
    pub router: RouterConfig,
    /// Every ProxySQL whose hostgroups follow the writer, in the order of the file.
    #[serde(rename = "proxysql", default)]
    pub proxies: Vec<ProxysqlConfig>,
    /// Where operators connect.
    #[serde(default)]
    pub control: ControlConfig,
    /// Health and metrics.
    pub http: HttpConfig,
    /// Certificates.
    pub tls: TlsConfig,
    /// Folders.
    pub paths: PathsConfig,
    /// Telegram.
    pub telegram: TelegramConfig,
    /// Webhooks, in the order of the file.
    #[serde(default, rename = "webhook", skip_serializing_if = "Vec::is_empty")]
    pub webhooks: Vec<WebhookConfig>,
    /// Programs that are told.
    #[serde(default)]
    pub alert: AlertConfig,
    /// A dead man's switch.
    pub heartbeat: HeartbeatConfig,
}

/// `[cluster]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterConfig {
    /// Appears in certificates, logs and metrics: `[a-z0-9-]{1,32}`.
    pub name: String,
}

/// One `[[node]]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeConfig {
    /// `[a-z0-9-]{1,32}`, unique in the cluster.
    pub name: String,
    /// Where the other nodes reach this one.
    pub peer: HostPort,
    /// Where clients and replicas reach the server beside it. None on a witness.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<HostPort>,
    /// Site or failure domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Among equally fit candidates the highest is chosen. 0 to 1000.
    pub priority: u32,
}

impl NodeConfig {
    /// Whether no server stands beside this node.
    #[must_use]
    pub fn is_witness(&self) -> bool {
        self.server.is_none()
    }
}

/// One `[[replica]]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplicaConfig {
    /// `[a-z0-9-]{1,32}`, unique among them and the nodes.
    pub name: String,
    /// Where it is reached.
    pub server: HostPort,
}

/// One `[[hook]]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HookConfig {
    /// `[a-z0-9-]{1,32}`, unique among them.
    pub name: String,
    /// At which point it is run.
    pub at: HookPoint,
    /// For which moves.
    pub when: HookWhen,
    /// On which node.
    pub on: HookPlace,
    /// Program and arguments, run without a shell.
    pub command: Vec<String>,
    /// It is killed after this long.
    #[serde(with = "duration")]
    pub timeout: Duration,
}

/// A point of a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookPoint {
    /// A switchover is about to close the writer.
    BeforeClose,
    /// The next writer is open.
    AfterOpen,
    /// The routers lead there.
    AfterRoute,
    /// The move was taken back, or nobody can be promoted.
    AfterFailure,
}

/// Which moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookWhen {
    /// Switchovers.
    Planned,
    /// Failovers.
    Unplanned,
    /// Both.
    Any,
}

/// Which node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookPlace {
    /// The group's leader.
    Leader,
    /// That of the writer that is left.
    OldWriter,
    /// That of the next writer.
    NewWriter,
}

/// `[server]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerConfig {
    /// Baton's own account.
    pub user: String,
    /// Holds that account's password and nothing else.
    pub password_file: PathBuf,
    /// The account replicas connect with.
    pub replication_user: String,
    /// Holds that account's password and nothing else.
    pub replication_password_file: PathBuf,
    /// The socket of the server beside this node.
    pub socket: PathBuf,
    /// Whether the event scheduler runs on the writer.
    pub events: bool,
    /// Whether the server may be ended and the writer moved for a rehearsal.
    pub allow_rehearsal: bool,
    /// Accounts that may write while their server is closed, `user@host` with commas between.
    pub accepted_accounts: String,
    /// Bound on one connection attempt.
    #[serde(with = "duration")]
    pub connect_timeout: Duration,
}

/// `[failover]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailoverConfig {
    /// Whether the writer moves without being told to.
    pub automatic: bool,
    /// How long a server stays open after the last renewal that a majority granted.
    #[serde(with = "duration")]
    pub lease_ttl: Duration,
    /// How much faster one clock may run than another, as a fraction.
    pub drift: f64,
    /// How long a writer must be out of everyone's reach before it counts as lost.
    #[serde(with = "duration")]
    pub unreachable_after: Duration,
    /// Bound on a candidate applying its relay log.
    #[serde(with = "duration")]
    pub catch_up_for: Duration,
    /// How long too few ackers may be connected before `degraded` is committed.
    #[serde(with = "duration")]
    pub degrade_after: Duration,
    /// How many ackers each commit waits for.
    pub wait_count: u32,
    /// What to do when no candidate has everything that was acknowledged.
    pub on_loss: OnLoss,
    /// What to do when too few ackers are left.
    pub on_ackers_lost: OnAckersLost,
    /// What ends a server whose lease ran out.
    pub hard_fence: HardFence,
    /// Program and arguments that cut a host off its power; `{node}` is filled in when it is run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power_fence: Option<Vec<String>>,
    /// Whether an automatic failover may move the writer to another zone.
    pub other_zone: OtherZone,
    /// How long a writer that somebody closed by hand is left alone.
    #[serde(with = "duration")]
    pub closed_by_hand_for: Duration,
    /// What becomes of it then.
    pub on_closed_by_hand: OnClosedByHand,
    /// How many automatic failovers may follow each other quickly; 0 for any number.
    pub flap_limit: u32,
    /// After so long a completed failover counts half.
    #[serde(with = "duration")]
    pub flap_half_life: Duration,
}

/// Whether an automatic failover may cross zones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OtherZone {
    /// It may.
    Allow,
    /// Only an operator moves the writer to another zone.
    Forbid,
}

/// What becomes of a writer that somebody closed by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnClosedByHand {
    /// It is opened again.
    Reopen,
    /// Another takes over.
    Move,
    /// It stays closed.
    Leave,
}

/// When no candidate is known to have every acknowledged write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnLoss {
    /// Stay without a writer until one that has everything is back, or an operator decides.
    Wait,
    /// Promote the most advanced one and say what was lost.
    Promote,
}

/// When fewer than `wait_count` ackers are connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnAckersLost {
    /// Commit `degraded`, then let commits go on without an acker.
    Degrade,
    /// Let commits wait until an acker is back.
    Block,
}

/// What the keeper does when a lease ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum HardFence {
    /// The word `"sigkill"`: SIGKILL through the server's pidfd.
    Signal(FenceSignal),
    /// Program and arguments, run without a shell.
    Command(Vec<String>),
}

/// The one signal that ends a server without answering the commits that still wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FenceSignal {
    /// SIGKILL.
    Sigkill,
}

/// `[rebuild]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RebuildConfig {
    /// Who decides that a server with transactions of its own is rebuilt.
    pub policy: RebuildPolicy,
    /// Program and arguments that start the server beside this node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Vec<String>>,
    /// Program and arguments that stop it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<Vec<String>>,
    /// mariadb-backup, where it is not on the search path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mariadb_backup: Option<PathBuf>,
}

/// Who decides that a server with transactions of its own is rebuilt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RebuildPolicy {
    /// Baton.
    Automatic,
    /// An operator.
    Approve,
    /// Nobody.
    Never,
}

/// `[backup]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupConfig {
    /// What reads the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<BackupEngine>,
    /// Public keys whose private ones are kept offline, with commas between.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escrow: Option<String>,
    /// Public keys of other readers, with commas between.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readers: Option<String>,
    /// Where CLONE may make its copy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<PathBuf>,
    /// mysqldump or mariadb-dump, where it is not on the search path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dump_program: Option<PathBuf>,
    /// The most that is read in a second, in MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mib_per_second: Option<u64>,
    /// A newest backup that is older is told of.
    #[serde(with = "duration", default)]
    pub stale_after: Duration,
    /// For how long a backup that is to leave a store can be kept after all.
    #[serde(with = "duration", default)]
    pub delete_after: Duration,
    /// When backups are made, in the order of the file.
    #[serde(default, rename = "schedule", skip_serializing_if = "Vec::is_empty")]
    pub schedules: Vec<ScheduleConfig>,
}

/// `[archive]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArchiveConfig {
    /// The store that it lies in; none where the binlog is not archived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    /// A segment ends at the latest so long after it began.
    #[serde(with = "duration", default)]
    pub segment_every: Duration,
    /// And soon after it has so many MiB.
    #[serde(default)]
    pub segment_mib: u64,
    /// The most that waits on a node's disk, in MiB.
    #[serde(default)]
    pub spool_mib: u64,
    /// What stays free on that disk, in MiB.
    #[serde(default)]
    pub keep_free_mib: u64,
}

/// One `[[backup.schedule]]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleConfig {
    /// `[a-z0-9-]{1,32}`, unique among them.
    pub name: String,
    /// An expression of cron.
    pub cron: String,
    /// How much is read.
    pub kind: ScheduleKind,
    /// In which it counts.
    pub time_zone: String,
    /// Whether it counts at all.
    pub enabled: bool,
    /// Whether the writer is read when no replica will do.
    pub allow_writer: bool,
}

/// How much is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleKind {
    /// Everything.
    Full,
    /// What changed since another one.
    Incremental,
}

/// What reads the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackupEngine {
    /// MariaDB's files.
    MariadbBackup,
    /// MySQL's files, by way of a copy.
    Clone,
    /// Rows as SQL.
    Dump,
}

/// One `[[store]]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreConfig {
    /// `[a-z0-9-]{1,32}`, unique among them.
    pub name: String,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: StoreType,
    /// Whether a backup counts only if it is there.
    pub required: bool,
    /// The folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// Where the bucket is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket: Option<String>,
    /// As the store names it.
    pub region: String,
    /// For how long it keeps every backup.
    #[serde(with = "duration")]
    pub keep_all: Duration,
    /// Up to which age it keeps the first of each week.
    #[serde(with = "duration")]
    pub keep_weekly: Duration,
    /// How many it keeps at least.
    pub keep_at_least: u32,
    /// Whether Baton removes backups there.
    pub prune: bool,
    /// Before the name of every object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Holds the two keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_file: Option<PathBuf>,
    /// Authorities of its certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
}

/// What a store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreType {
    /// A folder.
    Files,
    /// A bucket.
    S3,
}

/// `[raft]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RaftConfig {
    /// How often the leader says that it is there.
    #[serde(with = "duration")]
    pub heartbeat: Duration,
    /// Least time without a heartbeat before an election.
    #[serde(with = "duration")]
    pub election_min: Duration,
    /// Most time without a heartbeat before an election.
    #[serde(with = "duration")]
    pub election_max: Duration,
}

/// `[router]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouterConfig {
    /// Whether this node routes.
    pub enabled: bool,
    /// Connections to the writer.
    pub writer_listen: SocketAddr,
    /// Connections to readers.
    pub reader_listen: SocketAddr,
    /// How long a new connection may wait for a writer.
    #[serde(with = "duration")]
    pub hold_for: Duration,
    /// How many new connections may wait at once.
    pub held_max: u32,
    /// How far a replica may be behind and still be read from.
    #[serde(with = "duration")]
    pub reader_max_lag: Duration,
}

/// One `[[proxysql]]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProxysqlConfig {
    /// `[a-z0-9-]{1,32}`, unique among them.
    pub name: String,
    /// Its admin interface.
    pub admin: HostPort,
    /// One of its admin credentials.
    pub user: String,
    /// Holds that user's password and nothing else.
    pub password_file: PathBuf,
    /// Where clients that write are led.
    pub writer_hostgroup: u32,
    /// Where clients that only read are led.
    pub reader_hostgroup: u32,
}

/// `[control]`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControlConfig {
    /// A listener of its own for operators. None: the peer port serves them too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
}

/// `[http]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpConfig {
    /// Where health, roles, metrics and the page are served.
    pub listen: SocketAddr,
    /// Holds the token with which the page is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
}

/// `[tls]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The cluster's CA certificate.
    pub ca: PathBuf,
    /// This node's certificate.
    pub cert: PathBuf,
    /// This node's private key.
    pub key: PathBuf,
}

/// `[paths]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PathsConfig {
    /// Log and state. Outside every volume that is snapshotted or restored with the server.
    pub data: PathBuf,
    /// What lives as long as the host is up: the keeper's socket and deadline.
    pub run: PathBuf,
}

/// What safety depends on: the file seeds these at formation, afterwards the replicated values count.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SafetySettings {
    /// Milliseconds.
    pub lease_ttl_ms: u64,
    /// Parts per million.
    pub drift_ppm: u32,
    /// Milliseconds.
    pub degrade_after_ms: u64,
    /// How many ackers each commit waits for.
    pub wait_count: u32,
    /// See [`OnLoss`].
    pub on_loss: OnLoss,
    /// See [`OnAckersLost`].
    pub on_ackers_lost: OnAckersLost,
    /// See [`HardFence`]; `{node}` is not yet filled in.
    pub hard_fence: HardFence,
    /// See [`FailoverConfig::power_fence`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power_fence: Option<Vec<String>>,
}

impl Config {
    /// The node of that name.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&NodeConfig> {
        self.nodes.iter().find(|node| node.name == name)
    }

    /// The seeds for what becomes replicated state.
    #[must_use]
    pub fn safety_settings(&self) -> SafetySettings {
        let failover = &self.failover;
        SafetySettings {
            lease_ttl_ms: millis(failover.lease_ttl),
            drift_ppm: (failover.drift * 1e6).round() as u32,
            degrade_after_ms: millis(failover.degrade_after),
            wait_count: failover.wait_count,
            on_loss: failover.on_loss,
            on_ackers_lost: failover.on_ackers_lost,
            hard_fence: failover.hard_fence.clone(),
            power_fence: failover.power_fence.clone(),
        }
    }

    /// Fills `{node}` in. The hard fence keeps it: that value is the same on every node, see [`HardFence::command`].
    pub(super) fn expand(&mut self, node: &str) {
        let paths = [
            &mut self.server.password_file,
            &mut self.server.replication_password_file,
            &mut self.server.socket,
            &mut self.tls.ca,
            &mut self.tls.cert,
            &mut self.tls.key,
            &mut self.paths.data,
            &mut self.paths.run,
        ];
        let proxies = self.proxies.iter_mut().map(|proxy| &mut proxy.password_file);
        let secrets = self.webhooks.iter_mut().filter_map(|w| w.secret_file.as_mut());
        let backup = &mut self.backup;
        let optional = [
            &mut self.rebuild.mariadb_backup,
            &mut self.telegram.token_file,
            &mut self.http.token_file,
            &mut backup.stage,
            &mut backup.dump_program,
        ];
        let of_stores =
            self.stores.iter_mut().flat_map(|s| [&mut s.path, &mut s.credentials_file, &mut s.ca]);
        let optional = optional.into_iter().chain(of_stores).filter_map(Option::as_mut);
        for path in paths.into_iter().chain(optional).chain(proxies).chain(secrets) {
            *path = PathBuf::from(fill(&path.to_string_lossy(), node));
        }
    }
}

impl HardFence {
    /// Program and arguments to run for this node's server, or None for SIGKILL.
    #[must_use]
    pub fn command(&self, node: &str) -> Option<Vec<String>> {
        match self {
            Self::Signal(_) => None,
            Self::Command(words) => Some(fence_command(words, node)),
        }
    }
}

/// A hard fence's words for one node.
#[must_use]
pub fn fence_command(words: &[String], node: &str) -> Vec<String> {
    words.iter().map(|word| fill(word, node)).collect()
}

fn fill(text: &str, node: &str) -> String {
    text.replace("{node}", node)
}

/// Saturates: a duration from the file is bounded far below.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
