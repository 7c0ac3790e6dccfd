//! The `bankd` program.
fn main() {}
