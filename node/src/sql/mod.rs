//! Everything that sends SQL to a server that Baton manages.
//!
//! [`ManagedServer`] is what the rest of Baton sees: read a server, close it, steer its replication and the two sides
//! of semi-sync. It can close a server and cannot open one. Opening exists on [`Pinned`] alone, a connection whose
//! server process is known by its pid; only the guard makes one.

pub mod error;
pub mod managed;
pub mod status;

pub use error::SqlError;
pub use managed::{
    Account, CloseOptions, ClosedProof, Killed, ManagedServer, Permit, Privileges, Source, SourceTls,
    SqlFuture,
};
pub use status::{
    Identity, Inventory, Pulse, Replication, SemiSync, ServerStatus, Settings, Switch, ThreadError, Version,
};
