//! The `vectrion` command.
fn main() {}
