//! Puts the rooms together: what `baton-node run` is.

mod alerts;
mod assembly;
mod backups;
mod claim;
mod declared;
mod names;
mod ordered;
mod ports;
mod proxies;
mod readers;
mod recover;
mod reports;
mod routes;
mod servers;
mod serving;
mod settings;
mod start;
mod stopping;
mod watchdog;

pub use assembly::{Assembly, BesideParts, CertificateLeft, ConfigDiffers, Parts};
pub use recover::{Recovery, recover};
pub use start::{Daemon, Reloader, StartError, Steps};
pub use stopping::{stop, stop_server};
