//! The binary: parses flags, assembles a role, runs it.
fn main() {}
