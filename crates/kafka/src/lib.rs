//! Kafka three ways, as the log, as an ingress and as an egress, over one client
//! configuration.
//!
//! The only crate that links librdkafka. What a contract says about a cluster becomes
//! [`Settings`] (or a [`Connection`] alone), and [`Settings::client_config`] is where
//! every client begins: the log's, and those of drivers.
//!
//! Deliberately absent from the log: anything about events. It knows bytes; what a record
//! means is the drivers' (`ingress`, `output`).

mod adapter;
mod append;
mod cluster;
mod exactly_once;
mod failure;
mod group;
mod health;
mod ingress;
mod keeper;
mod log;
mod member;
mod output;
mod place;
mod scan;
mod settings;
mod subscription;
#[cfg(test)]
mod testing;
mod transaction;
mod watch;

use hook_core::driver::{EgressDriver, IngressDriver};

pub use exactly_once::ExactlyOnce;
pub use log::{KafkaLog, OpenError};
pub use settings::{Connection, Settings, SettingsError};

/// Drivers that bring events in, alphabetical.
pub const INGRESS: &[IngressDriver] = &[ingress::DRIVER];

/// Drivers that take events out, alphabetical.
pub const EGRESS: &[EgressDriver] = &[output::DRIVER];

/// The version of librdkafka that is linked: `2.12.1`.
#[must_use]
pub fn librdkafka_version() -> String {
    rdkafka::util::get_rdkafka_version().1
}
