//! The guard and the voter against a world in memory: a server, a keeper, voters and a group that do as a test says.
//! Its time is the runtime's, which is paused: a `sleep` is how a test lets the world go on, and takes no time.
#![allow(clippy::unwrap_used)]

mod adopting;
mod events;
mod freezing;
mod guarding;
mod leases;
mod voting;
mod world;
