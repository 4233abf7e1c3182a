//! The group: everything that names openraft.
//!
//! [`Group`] is the one handle. Behind it: the [`store`], messages over the peer service, who leads, when openraft's
//! clock ticks, how a command gets into the log, how the group comes into being, and how nodes come and go.

mod formation;
mod group;
mod leadership;
mod left_behind;
mod membership;
mod network;
mod options;
mod propose;
mod receive;
#[cfg(feature = "simulation")]
mod runtime;
pub mod store;
#[cfg(test)]
pub(crate) mod tests;
mod ticking;
mod types;
mod wire;

pub use formation::FormationStatus;
pub use group::{Group, OpenError};
pub use leadership::{Leadership, NotLeader};
pub use left_behind::LeftBehind;
pub use membership::MembershipError;
pub use options::{FormationCommand, GroupOptions, Pace};
pub use propose::ProposeError;
pub use receive::Refused;
#[cfg(feature = "simulation")]
pub use store::MemoryDisk;
pub use store::{
    Applied, AtRest, Binding, Medium, MembershipView, Notes, RecoveryError, StoreError, Survey, since_boot,
};
pub use types::Member;
