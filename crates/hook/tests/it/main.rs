//! The real binary, from outside: processes, sockets, signals, exit codes.
//!
//! Nothing in here uses the program's own code. Signatures are computed by hand,
//! receivers are servers of their own, and every wait is bounded.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod accept;
mod agents;
mod certs;
mod cli;
mod contract;
mod crash;
mod dead_letters;
mod debug;
mod delivery;
mod kafka;
mod kafka_chaos;
mod kafka_drivers;
mod lifecycle;
mod manager;
mod octokit;
mod relay;
mod support;
