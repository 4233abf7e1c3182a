//! Puts the rooms together: what `baton-node run` is.

mod assembly;
mod claim;
mod names;
mod ports;
mod recover;
mod reports;
mod routes;
mod servers;
mod serving;
mod settings;
mod start;
mod stopping;
mod watchdog;

pub use assembly::{Assembly, BesideParts, ConfigDiffers, Parts};
pub use recover::{Recovery, recover};
pub use start::{Daemon, Reloader, StartError, Steps};
pub use stopping::{stop, stop_server};
