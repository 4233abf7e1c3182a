//! What a node answers: the control service for `batonctl`, and health and metrics over HTTP.
//!
//! [`Control`] is the service. What it answers is made by pure functions of a [`View`]: [`status`], [`history`], [`why`],
//! [`check`]. Health and metrics are read at the moment they are asked for.

mod adopt;
mod alerts;
mod backup;
pub mod check;
mod control;
pub mod events;
mod foretold;
mod forward;
pub mod history;
mod hooks;
pub mod http;
mod maintenance;
mod members;
pub mod metrics;
mod orders;
pub mod page;
pub mod peer;
mod quarantine;
mod questions;
mod rebuild;
mod recovery;
mod refusal;
mod rehearsal;
mod retention;
pub mod roles;
pub mod routing;
pub mod settings;
pub mod status;
mod switchover;
#[cfg(test)]
mod tests;
mod view;
pub mod why;
mod words;

pub use control::{Callers, Control};
pub use view::{View, WithoutLeader};
