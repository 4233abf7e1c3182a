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
pub mod binlog;
pub mod capabilities;
mod change_source;
pub mod clone;
mod close;
pub mod connector;
pub mod error;
mod fields;
mod inventory;
mod line;
pub mod managed;
pub mod pinned;
mod pulse;
mod release;
mod replica_status;
mod replication;
mod semi_sync;
pub mod server;
mod sessions;
pub mod status;
mod wire;

pub use binlog::{BinlogEvents, BinlogFile, BinlogReader, TableColumn};
pub use connector::{Address, Connector, Limits};
pub use error::SqlError;
pub use managed::{
    Account, CloseOptions, ClosedProof, Killed, LongTransaction, ManagedServer, Permit, Privileges, Source,
    SourceTls, SqlFuture,
};
pub use pinned::Pinned;
pub use server::SqlServer;
pub use status::{
    Identity, Inventory, Pulse, Replication, SemiSync, ServerStatus, Settings, Switch, ThreadError, Version,
};
