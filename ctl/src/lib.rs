//! `batonctl`: what an operator says to a cluster, and how it answers.

pub mod certs;
