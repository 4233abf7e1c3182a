//! Puts the rooms together: what `baton-node run` is.

mod claim;
mod names;
mod ports;
mod reports;
mod routes;
mod servers;
mod serving;
mod settings;
mod start;

pub use start::{Daemon, Reloader, StartError};
