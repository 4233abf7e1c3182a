//! consensus (under construction)

pub mod store;
#[cfg(test)]
mod tests;
mod types;

pub use types::Member;
