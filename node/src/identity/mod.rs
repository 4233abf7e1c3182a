//! Who this node is and who is calling: certificates of the cluster's own CA.
//!
//! `load` reads this node's files and refuses them with the mend when they cannot work, before anything connects.
//! `peer` tells from a caller's certificate which node or client it is.

mod check;
mod load;
mod peer;
#[cfg(test)]
pub(crate) mod tests;

pub use check::{EXPIRY_WARNING, IdentityError};
pub use load::Identity;
pub use peer::{Peer, Refusal, node_of, peer_of};
