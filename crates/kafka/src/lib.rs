//! Kafka as the log, over one client configuration.
//!
//! The only crate that links librdkafka. What a contract says about a cluster becomes
//! [`Settings`] (or a [`Connection`] alone), and [`Settings::client_config`] is where
//! every client begins: the log's, and those of drivers.
//!
//! Deliberately absent: anything about events. The log knows bytes.

mod append;
mod cluster;
mod exactly_once;
mod failure;
mod group;
mod health;
mod keeper;
mod log;
mod member;
mod place;
mod scan;
mod settings;
mod subscription;
mod transaction;
mod watch;

pub use exactly_once::ExactlyOnce;
pub use log::{KafkaLog, OpenError};
pub use settings::{Connection, Settings, SettingsError};

/// The version of librdkafka that is linked: `2.12.1`.
#[must_use]
pub fn librdkafka_version() -> String {
    rdkafka::util::get_rdkafka_version().1
}
