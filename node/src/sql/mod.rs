//! Everything that sends SQL to a server that Baton manages.
//!
//! [`ManagedServer`] is what the rest of Baton sees: read a server, close it, steer its replication and the two sides
//! of semi-sync. It can close a server and cannot open one. Opening exists on [`Pinned`] alone, a connection whose
//! server process is known by its pid; only the guard makes one.
//!
//! [`SqlServer`] is the trait on real servers. It holds a few [`line`]s, each a lazily made connection ([`wire`]) on
//! which every statement has a deadline. The rest is one file per subject; where the dialects differ, they differ there.

mod accounts;
mod applied;
pub mod backup;
pub mod backup_facts;
pub mod binlog;
pub(crate) mod binlog_event;
pub mod binlog_follow;
pub mod capabilities;
mod change_source;
pub mod clone;
pub mod clone_local;
mod close;
pub mod connector;
pub mod error;
mod events;
mod fields;
pub mod foretell;
mod grants;
mod inspect;
mod inventory;
mod line;
pub mod loading;
mod locks;
pub mod managed;
pub mod pinned;
pub mod privileges;
mod pulse;
pub mod rehearsal;
mod release;
pub mod replaying;
mod replica_status;
mod replication;
mod replication_words;
mod semi_sync;
pub mod server;
mod sessions;
mod source_login;
pub mod status;
pub mod trial;
mod unplug;
mod wire;

pub use binlog::{BinlogEvents, BinlogFile, BinlogReader, TableColumn};
pub use binlog_follow::{BinlogStart, BinlogTail, OwnId};
pub use connector::{Address, Connector, Limits};
pub use error::SqlError;
pub use foretell::Call;
pub use grants::Place;
pub use managed::{
    Account, CloseOptions, ClosedProof, EventSeen, EventsSeen, HeldLock, Inspection, Killed, LongTransaction,
    ManagedServer, Permit, Privileges, Source, SourceTls, SqlFuture,
};
pub use pinned::Pinned;
pub use privileges::Needed;
pub use rehearsal::RehearsalSeen;
pub use server::SqlServer;
pub use source_login::may_replicate;
pub use status::{
    Glance, Identity, Inventory, Pulse, Replication, SemiSync, ServerStatus, Settings, Switch, ThreadError,
    Version,
};
