#![allow(clippy::unwrap_used)]
//! What is cut where, and what entries say together. Events are made up; `tests/suites/backup` has real ones.

mod cover;
mod cuts;
mod parts;
mod rolled;
