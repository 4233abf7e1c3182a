//! Bad input to the real programs: each gives one clear error that names the key, file or privilege and the mend, and
//! changes nothing.
#![allow(clippy::unwrap_used)]

mod bench;
mod certificates;
mod configuration;
mod disks;
mod old_server;
mod ports;
mod servers;
