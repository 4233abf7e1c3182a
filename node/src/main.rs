//! The daemon beside a server.
fn main() {}
