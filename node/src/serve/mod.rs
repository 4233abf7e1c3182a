//! What the node answers: its peers over gRPC ([`peer`]).

pub mod peer;
