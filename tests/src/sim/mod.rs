//! The deterministic simulation: Baton's own code on virtual time, against doubles of what is around it.

pub mod fleet;
