//! Rebuilding servers on real clusters under load.
#![allow(clippy::unwrap_used)]

mod bench;
mod clone;
