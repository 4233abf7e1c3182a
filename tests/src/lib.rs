//! What Baton's tests stand on: several hosts with real servers on one machine and clusters on them, and servers in memory.

pub mod cluster;
pub mod sandbox;
pub mod sim;
