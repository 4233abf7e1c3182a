//! ProxySQL: the hostgroups of every instance follow the replicated state.
//!
//! [`desired`] says where each server belongs, [`plan`] which statements bring an instance there; both are pure.
//! [`admin`] speaks to an admin interface, [`push`] takes one instance through a plan and reads back what came of it,
//! [`reconcile`] keeps one instance right for as long as this node leads, and [`follow`] hands every instance what is
//! wanted now. [`board`] is what all others may know of this room: what each instance was last seen to have.
//!
//! Nothing here is waited for by a failover. Only the leader speaks to an instance.

mod admin;
mod board;
mod desired;
mod fault;
mod follow;
mod foretell;
mod plan;
mod push;
mod reconcile;
mod rows;
#[cfg(test)]
mod tests;

pub use admin::{Admin, Limits};
pub use board::{Board, Condition, Drained, Shown};
pub use desired::{Desired, Placement, Want, desired};
pub use fault::AdminError;
pub use follow::{Follow, Leading};
pub use plan::{Plan, plan};
pub use rows::{Actual, Difference, Groups, Row, Table, Tuning};
