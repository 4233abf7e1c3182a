//! The single actions of operations, run by the node beside the server.

use std::time::Duration;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::switchover::Foretell;
use crate::decide::hooks::Event;
use crate::gtid::GtidSet;
use crate::guard::{ExpiryAnswer, Fenced, Frozen};
use crate::sql::{Inspection, RehearsalSeen};
use crate::state::{Epoch, NodeName, UnixMillis};

/// One action. Each is idempotent and reads back what it did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Action {
    /// End the epoch on this host: the server closed or gone, and never opened under it again.
    Fence {
        /// It hangs: a close would wait for it, so it is killed. Going on, it could still answer clients whose writes
        /// were acknowledged to it before it stood still.
        hangs: bool,
    },
    /// Promise on disk never to receive from this epoch again, stop receiving, then say what there is.
    StopReceiver,
    /// Say what there is.
    ReadSets,
    /// Wait until this set is applied.
    WaitApplied(GtidSet),
    /// The same while nobody can write: sessions that hold the applier up are ended.
    ApplyAll(GtidSet),
    /// Replicate from another closed server until this set is there, then stop. Needs no promise to be broken: that one is
    /// about the revoked epoch's writer.
    CatchUp {
        /// `host:port` of that server.
        source: String,
        /// What to fetch.
        set: GtidSet,
    },
    /// Make the open writer wait for its ackers; decided on the state of this index.
    MakeWait(u64),
    /// See one commit acknowledged.
    ProveCommit,
    /// Close the open writer for the switchover under way.
    Freeze {
        /// The whole close ends within so many milliseconds, and leaves nothing behind where it does not come through.
        within_ms: u64,
        /// Sessions that hold it up are killed.
        kill_blockers: bool,
    },
    /// Wait until this node's router leads nobody to the open writer, and its sessions there have ended between two
    /// statements. Every node does, a witness too; the order's epoch is that writer's.
    LeaveWriter {
        /// How many milliseconds sessions get for the end of their statements, once nobody is led there any more.
        sessions_ms: u64,
    },
    /// The switchover is taken back: nothing closes the server for it from now on, and one that is closed already is
    /// closed for good.
    Settle,
    /// Run the hook of this name, by the node's own file.
    Hook {
        /// The hook's name.
        name: String,
        /// What it is told.
        event: Box<Event>,
    },
    /// A part of a rehearsal; refused where the node's configuration does not allow it.
    Rehearse(Part),
    /// Stop the server and start it again; the order's operation names the request, and the same again waits for the same.
    RestartServer,
    /// Begin a new binlog file, so that replicas that connect are served at once.
    RotateBinlog,
    /// Say what a planned switchover wants to know; transactions and locks count from so many seconds on.
    Inspect(u64),
    /// Say what a switchover would send to the server.
    Foretell(Foretell),
}

/// A part of a rehearsal at one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// Say whether the node may be asked for the others.
    Ask,
    /// End the server as a crash would.
    Kill,
    /// Start the server, where it does not run.
    Start,
    /// Make the rehearsal's table, empty.
    Begin,
    /// Write the row of this number.
    Write(u32),
    /// Say how the server's switches stand and which rows it has.
    Look,
    /// Drop the table.
    End,
}

/// What became of an action.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Acted {
    /// Of [`Action::Fence`].
    Fenced(Fenced),
    /// Of [`Action::StopReceiver`] and [`Action::ReadSets`].
    Sets(Sets),
    /// Of [`Action::WaitApplied`]: false when the bound passed first.
    Applied(bool),
    /// Of [`Action::ApplyAll`].
    AppliedAll {
        /// False when the bound passed first.
        applied: bool,
        /// The sessions that were ended for it, in words.
        ended: Vec<String>,
    },
    /// Of [`Action::Freeze`] and [`Action::Settle`].
    Frozen(Frozen),
    /// Of [`Part::Look`].
    Rehearsed(RehearsalSeen),
    /// Of [`Action::Inspect`].
    Inspected(Box<Inspection>),
    /// Of [`Action::Foretell`]: statements, in their order.
    Foretold(Vec<String>),
    /// Done and read back.
    Done,
    /// Not done.
    Failed(String),
}

/// What a server has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sets {
    /// Committed.
    pub executed: GtidSet,
    /// Committed ∪ in the relay log.
    pub received: GtidSet,
    /// Nothing more arrives: its receiver is off, or it has none.
    pub still: bool,
    /// It is closed.
    pub closed: bool,
    /// A delayed replica.
    pub delayed: bool,
    /// When the server began to run, by its own host's clock.
    #[serde(default)]
    pub began_ms: Option<UnixMillis>,
}

/// The leader's hands: what it has other nodes do.
pub trait Hands: Send + Sync {
    /// Has a node run an action within `bound`. `None` when it cannot be asked.
    fn act(
        &self,
        node: NodeName,
        order: Order,
        action: Action,
        bound: Duration,
    ) -> BoxFuture<'_, Option<Acted>>;
    /// Asks a voter whether its grants of `epoch` have run out; it answers when they have, or after `wait`.
    fn expired(&self, voter: NodeName, epoch: Epoch, wait: Duration) -> BoxFuture<'_, Option<ExpiryAnswer>>;
    /// Asks a voter whether it still grants `epoch`. `lane` chooses one of two connections, as for lease requests.
    fn still_grants(&self, voter: NodeName, epoch: Epoch, lane: usize) -> BoxFuture<'static, Option<bool>>;
    /// Closes a server directly over SQL, the one thing that may go past its own node. The detail, or why not.
    fn close_over_sql(&self, node: NodeName, bound: Duration) -> BoxFuture<'_, Result<String, String>>;
    /// Runs the configured power fence for a node's host, here. The evidence, or why it is no proof.
    fn power_fence(
        &self,
        _command: Vec<String>,
        _node: NodeName,
        _epoch: Epoch,
        _bound: Duration,
    ) -> BoxFuture<'_, Result<String, String>> {
        Box::pin(async { Err("no command can be run here".to_owned()) })
    }
}

/// On whose authority an action is run. A node refuses an older one than it has seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The leader's term.
    pub term: u64,
    /// The epoch that the action belongs to.
    pub epoch: Epoch,
    /// The operation, for the logs.
    pub operation: String,
}
