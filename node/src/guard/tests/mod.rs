//! The guard and the voter against a world in memory: a server, a keeper, voters and a group that do as a test says.
#![allow(clippy::unwrap_used)]

mod adopting;
mod events;
mod guarding;
mod leases;
mod voting;
mod world;
