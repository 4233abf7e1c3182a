//! What Baton's tests on real servers stand on: several hosts with real servers on one machine.

pub mod sandbox;
