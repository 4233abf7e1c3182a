//! What happens at a server, and what of it waits for its disk.

use super::faults::Disk;
use super::transaction::Shared;

/// Something that happens at a server.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) server: usize,
    /// The run of the server that it belongs to; what the network brings belongs to none.
    pub(super) life: Option<u64>,
    pub(super) event: Event,
}

/// What a packet of a stream says of where it comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) stream: u64,
    pub(super) source: usize,
    pub(super) dump: u64,
}

/// What happens.
#[derive(Debug)]
pub(super) enum Event {
    /// The process has recovered.
    Up,
    /// The process that was told to stop exits.
    Exits,
    /// The binlog is on disk up to here.
    BinlogSynced(usize),
    /// The server's own timeout of a waiting commit.
    WaitedLongEnough(usize),
    /// `lock_wait_timeout` of the closing statement of this session.
    LockWaited(u64),
    /// A replica asks to be sent the binlog.
    DumpAsked { replica: usize, stream: u64, has: baton_node::gtid::GtidSet, acks: bool },
    /// The source goes on sending.
    Sends(u64),
    /// The source sends a heartbeat if it had nothing else to send.
    Beats(u64),
    /// The replica's end of a stream is gone.
    DumpEnds(u64),
    /// A replica acknowledged the binlog up to here.
    Acknowledges { dump: u64, replica: usize, end: usize },
    /// The receiver connects.
    Connects(u64),
    /// The source has accepted.
    Connected { stream: u64, dump: u64 },
    /// The source has refused or gone; with an error that stops the receiver, or one to try again after.
    StreamEnds { stream: u64, errno: u32, message: String, fatal: bool },
    /// Nothing was heard for long.
    HeardNothing(u64),
    /// A heartbeat has arrived.
    Heartbeat { sent: Sent },
    /// The beginning of a transaction has arrived.
    Half { sent: Sent },
    /// A transaction has arrived; `end` is its end in the source's binlog.
    Arrives { sent: Sent, transaction: Shared, end: usize },
    /// It is in the relay log.
    Stored { stream: u64, transaction: Shared, end: usize },
    /// The newest acknowledgement leaves.
    AcknowledgementLeaves(u64),
    /// A client on this host has closed its connection.
    LogsOut { session: u64, from: String },
    /// The applier looks at the relay log.
    Applies,
    /// One transaction is applied.
    Applied,
}

impl Event {
    /// What goes on while nothing happens.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self, Self::Heartbeat { .. } | Self::Beats(_) | Self::HeardNothing(_))
    }

    /// What writes to disk, and waits for one that stands still or has no room.
    pub(super) fn waits_for(&self, disk: Disk) -> bool {
        match disk {
            Disk::Fine => false,
            Disk::Full => matches!(self, Self::Stored { .. }),
            Disk::Stalled => {
                matches!(
                    self,
                    Self::Stored { .. } | Self::BinlogSynced(_) | Self::Applied | Self::Exits | Self::Up
                )
            }
        }
    }
}
