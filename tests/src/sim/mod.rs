//! The deterministic simulation: Baton's own code on virtual time, against doubles of what is around it.

pub mod fleet;
#[cfg(feature = "simulation")]
pub mod invariants;
#[cfg(feature = "simulation")]
pub mod run;
#[cfg(feature = "simulation")]
pub mod world;
