//! Who belongs to the cluster, and what safety depends on.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The cluster's identity, fixed at formation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// From the configuration.
    pub name: String,
    /// Drawn at formation.
    pub id: String,
}

/// One node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// `host:port` of its peer service.
    pub peer: String,
    /// `host:port` of the server beside it; `None` on a witness.
    pub server: Option<String>,
    /// Where it stands.
    pub zone: Option<String>,
    /// Among equals the higher becomes the writer.
    pub priority: i32,
    /// Never the writer.
    pub excluded: bool,
}

/// Where a node stands and how much it is preferred: what the file says of a member beside its addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// See [`Member::zone`].
    pub zone: Option<String>,
    /// See [`Member::priority`].
    pub priority: i32,
}

/// Watching only, or in charge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Nodes watch, report and touch nothing.
    #[default]
    Observing,
    /// An epoch has been committed; guards guard.
    Managed,
}

/// What a failover does when no reachable candidate is known to have every acknowledged write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnLoss {
    /// Waits for a server that has them, and alerts.
    #[default]
    Wait,
    /// Promotes the most advanced one and reports what may be lost.
    Promote,
}

/// What a writer does when its last acker is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WithoutAckers {
    /// Goes on without, once the group has committed that it is not lossless any more.
    #[default]
    Degrade,
    /// Keeps every commit waiting until an acker is back.
    Block,
}

/// How a server is ended when a lease runs out and nobody has closed it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HardFence {
    /// SIGKILL to the server's process.
    #[default]
    Sigkill,
    /// SIGKILL, and this command with its arguments.
    Command(Vec<String>),
}

/// Settings that every node must apply alike.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Safety {
    /// For how long one round of grants keeps a server open.
    pub lease_ttl_ms: u64,
    /// By how much two clocks may differ in speed: 0.001 is one part in a thousand.
    pub drift: f64,
    /// How many ackers a commit waits for.
    pub wait_count: u32,
    /// For how long ackers must be unreachable before the writer goes on without them.
    pub degrade_after_ms: u64,
    /// See [`OnLoss`].
    pub on_loss: OnLoss,
    /// See [`WithoutAckers`].
    pub without_ackers: WithoutAckers,
    /// See [`HardFence`].
    pub hard_fence: HardFence,
    /// Program and arguments that cut the host of `{node}` off its power; empty for none.
    #[serde(default)]
    pub power_fence: Vec<String>,
    /// See [`Live`].
    pub live: Live,
}

/// What becomes of a writer that somebody closed by hand, once the time for which it is left alone has passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnClosedByHand {
    /// It gets the next epoch itself, where it has everything.
    #[default]
    Reopen,
    /// Another gets the next epoch, where one has everything.
    Move,
    /// It stays closed until somebody decides.
    Leave,
}

/// Settings that the leader's configuration file sets at any time: no promise depends on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Live {
    /// Whether a lost writer is replaced without being asked.
    pub automatic: bool,
    /// For how long a server must be unreachable to a majority before it counts as lost.
    pub unreachable_after_ms: u64,
    /// Bound of the wait for a candidate to apply what it received.
    pub catch_up_ms: u64,
    /// Whether an automatic failover may move the writer to another zone.
    pub other_zone: bool,
    /// For how long a writer that somebody closed is left closed.
    pub closed_by_hand_ms: u64,
    /// What becomes of it then.
    pub on_closed_by_hand: OnClosedByHand,
    /// How many automatic failovers may follow each other quickly; 0 for any number.
    pub flap_limit: u32,
    /// After so long a completed failover counts half.
    pub flap_half_life_ms: u64,
    /// What becomes of a server that came back with transactions of its own.
    pub rebuild: RebuildPolicy,
    /// A replica further behind than this is not read from.
    pub reader_max_lag_ms: u64,
}

/// Who decides that a server with transactions of its own is rebuilt, once these are archived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RebuildPolicy {
    /// Baton, by itself.
    Automatic,
    /// An operator.
    #[default]
    Approve,
    /// Nobody: its data stays as it is.
    Never,
}

impl Default for Live {
    fn default() -> Self {
        Self {
            automatic: true,
            unreachable_after_ms: 1500,
            catch_up_ms: 30_000,
            other_zone: true,
            closed_by_hand_ms: 30_000,
            on_closed_by_hand: OnClosedByHand::Reopen,
            flap_limit: 0,
            flap_half_life_ms: 600_000,
            rebuild: RebuildPolicy::Approve,
            reader_max_lag_ms: 10_000,
        }
    }
}

impl Default for Safety {
    fn default() -> Self {
        Self {
            lease_ttl_ms: 1500,
            drift: 0.001,
            wait_count: 1,
            degrade_after_ms: 2000,
            on_loss: OnLoss::Wait,
            without_ackers: WithoutAckers::Degrade,
            hard_fence: HardFence::Sigkill,
            power_fence: Vec::new(),
            live: Live::default(),
        }
    }
}

/// The longest lease a voter gives for a planned restart of the writer's daemon.
const HAND_OVER_MS: u64 = 15_000;

/// The length of a lease that lasts as long as a pause: a hundred years.
pub const OPEN_ENDED: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

impl Safety {
    /// The longest length a voter grants.
    pub fn longest_grant(&self, hand_over: bool) -> Duration {
        Duration::from_millis(if hand_over { HAND_OVER_MS.max(self.lease_ttl_ms) } else { self.lease_ttl_ms })
    }

    /// The lease's length.
    pub fn lease_ttl(&self) -> Duration {
        Duration::from_millis(self.lease_ttl_ms)
    }

    /// `length` as a slower clock may have counted it.
    pub fn stretched(&self, length: Duration) -> Duration {
        length.mul_f64(1.0 + 2.0 * self.drift)
    }
}
