//! Rebuilding servers on real clusters under load.
#![allow(clippy::unwrap_used)]

mod backup;
mod bench;
mod clone;
