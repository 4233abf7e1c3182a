//! guard (to be written)

pub mod boot;
pub mod clock;
pub mod keeper;
pub mod process;

#[cfg(test)]
mod testing;
