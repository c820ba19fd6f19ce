//! The project's own commands: ci, test, tidy, bench.
fn main() {}
