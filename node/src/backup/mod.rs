//! Backups: what a server's data goes through on its way into a store and back, and where it lies there. `docs/backup-format.md`
//! says what is stored, for a reader who has nothing of this program.
//!
//! Nothing here runs inside the daemon: a backup is made by a process of its own, at the lowest priority, so that neither its
//! appetite nor its end touches the process that holds a lease.

pub mod account;
pub mod engine;
pub mod lineage;
pub mod lineage_file;
pub mod manifest;
pub mod open;
pub mod pipeline;
pub mod process;
pub(crate) mod program;
pub mod remove;
pub mod run;
pub mod scan;
pub mod settings;
pub mod store;
pub mod verify;
pub mod worker;
