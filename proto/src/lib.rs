//! The contract between Baton's processes: what they call each other, and what they say.

pub mod names;
