//! The log and the drivers against a real Apache Kafka, which `cargo xtask test` starts.
#![expect(clippy::unwrap_used, reason = "a test says what broke by panicking")]

mod drivers;
mod groups;
mod log;
mod outage;
mod relay;
mod secured;
mod support;
mod topics;
