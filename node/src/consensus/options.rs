//! What a [`super::Group`] is opened with.

use std::sync::Arc;
use std::time::Duration;

use openraft::{Config, SnapshotPolicy};

use super::group::OpenError;
use super::store::Medium;
use crate::peers::Peers;
use crate::state::{Command, NodeName};

/// Makes the first command of a group from its new cluster id.
///
/// It may be proposed more than once (after a crash half-way through formation), so applying it twice must be
/// the same as applying it once.
pub type FormationCommand = Arc<dyn Fn(&str) -> Command + Send + Sync>;

/// How fast the group notices that its leader is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// How often the leader says that it is there.
    pub heartbeat: Duration,
    /// Shortest silence after which a voter may stand for election.
    pub election_min: Duration,
    /// Longest such silence; also how long a voter stays loyal to a leader that it has heard.
    pub election_max: Duration,
}

impl Default for Pace {
    /// A new leader about 1.1 to 1.4 s after the old one fell silent.
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(100),
            election_min: Duration::from_millis(400),
            election_max: Duration::from_millis(700),
        }
    }
}

/// What a [`super::Group`] is opened with.
#[derive(Clone)]
pub struct GroupOptions {
    /// Name of the cluster, from the configuration.
    pub cluster: String,
    /// This node.
    pub node: NodeName,
    /// Every configured node and its peer address (`host:port`), this one included, in the order of the file:
    /// the first one forms the group.
    pub nodes: Vec<(NodeName, String)>,
    /// Digest of the parts of the configuration that must be the same everywhere.
    pub config_digest: String,
    /// This daemon's version, for others to show.
    pub version: String,
    /// Where the store is.
    pub store: Medium,
    /// CLOCK_BOOTTIME, as [`super::since_boot`] reads it.
    pub since_boot: Arc<dyn Fn() -> Duration + Send + Sync>,
    /// `/etc/machine-id`.
    pub machine_id: String,
    /// Connections to the others.
    pub peers: Arc<Peers>,
    /// Speed of elections.
    pub pace: Pace,
    /// Makes the first command.
    pub formation: FormationCommand,
    /// Draws a random id: for the store when it is made, for the group when it is formed.
    pub draw_id: Arc<dyn Fn() -> String + Send + Sync>,
}

/// The state is small: a snapshot this often keeps the log and the time of a restart small too.
const SNAPSHOT_EVERY: u64 = 500;
/// Kept behind a snapshot, so that a follower that missed a little needs no snapshot.
const KEEP: u64 = 200;
/// Most entries in one message.
const MESSAGE: u64 = 64;

impl GroupOptions {
    /// openraft's settings.
    pub(super) fn raft_config(&self) -> Result<Config, OpenError> {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let longest = millis(self.pace.election_max);
        let config = Config {
            cluster_name: self.cluster.clone(),
            heartbeat_interval: millis(self.pace.heartbeat),
            election_timeout_min: millis(self.pace.election_min),
            election_timeout_max: longest,
            install_snapshot_timeout: 10_000,
            max_payload_entries: MESSAGE,
            snapshot_policy: SnapshotPolicy::LogsSinceLast(SNAPSHOT_EVERY),
            max_in_snapshot_log_to_keep: KEEP,
            replication_lag_threshold: SNAPSHOT_EVERY,
            // A node that comes back from a cut must not unseat a healthy leader.
            enable_pre_vote: Some(true),
            // A restarted leader has to be elected again: it may have missed a newer one.
            enable_leader_restore: Some(false),
            allow_log_reversion: Some(false),
            // With five voters, an old leader that still reaches a minority of them could otherwise keep a
            // connected majority from electing.
            quorum_loss_probe_interval: Some(longest.saturating_mul(3)),
            ..Config::default()
        };
        config.validate().map_err(|e| OpenError::Pace(e.to_string()))
    }

    /// The configured address of a node.
    pub(super) fn address_of(&self, node: &NodeName) -> Option<&str> {
        self.nodes.iter().find(|(name, _)| name == node).map(|(_, address)| address.as_str())
    }
}
