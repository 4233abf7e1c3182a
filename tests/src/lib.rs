//! What Baton's tests on real servers stand on: several hosts with real servers on one machine, and clusters on them.

pub mod cluster;
pub mod sandbox;
