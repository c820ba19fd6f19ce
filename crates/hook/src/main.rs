//! One binary that verifies events from anywhere, stores them durably and delivers them.
fn main() {}
