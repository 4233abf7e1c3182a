//! Baton's node: watches one MySQL or MariaDB server, takes its part in the group, and makes its server match what the
//! group agreed on. `ARCHITECTURE.md` has the map.

pub mod alert;
pub mod archive;
pub mod backup;
pub mod config;
pub mod consensus;
pub mod cut;
pub mod daemon;
pub mod decide;
pub mod gtid;
pub mod guard;
pub mod identity;
pub mod mutation;
pub mod observe;
pub mod operate;
pub(crate) mod paper;
pub mod peers;
pub mod proxysql;
pub mod quarantine;
pub mod restore;
pub mod route;
pub mod serve;
pub mod sql;
pub mod state;
pub mod task;
