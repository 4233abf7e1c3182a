//! The gRPC contract of Baton: [`peer`] between nodes, [`control`] between `batonctl` and a node.
//!
//! The packages are versioned; a field is never given another meaning, only a new number. [`names`] is what the
//! certificates of both ends call their holders.

pub mod names;

/// Node to node.
pub mod peer {
    #![allow(missing_docs, unreachable_pub, unused_qualifications, clippy::all, rust_2018_idioms)]
    tonic::include_proto!("baton.peer.v1");
}

/// `batonctl` to node. The messages serialise to what `batonctl --json` prints.
pub mod control {
    #![allow(missing_docs, unreachable_pub, unused_qualifications, clippy::all, rust_2018_idioms)]
    tonic::include_proto!("baton.control.v1");
}
