//! A real Apache Kafka for the tests: brokers in KRaft mode as child processes.
//!
//! ```no_run
//! let kafka = hook_broker::Kafka::start(hook_broker::Options::three_nodes())?;
//! let bootstrap = kafka.bootstrap(); // what a client is given
//! kafka.kill(2)?;                    // SIGKILL
//! kafka.restart(2)?;                 // the same ports, the same directory
//! kafka.wait_ready()?;
//! # Ok::<(), hook_broker::Error>(())
//! ```
//!
//! `cargo xtask test` fetches the jars and starts one broker that all tests may
//! share: [`shared`]. A test that kills its broker, or wants three, or TLS, starts
//! its own. The rule: whatever is started here ends with the process that started
//! it, however that ends. What is deliberately not here: a Kafka client.

mod error;
mod jars;
mod kafka;
mod node;
mod options;
mod process;
mod properties;
mod slot;

pub use error::{Error, Result};
pub use jars::Jars;
pub use kafka::Kafka;
pub use options::{ClientAuth, Mechanism, Options, Sasl, Security, Tls};

/// Names the shared broker's bootstrap address to the tests.
pub const SHARED: &str = "HOOK_TEST_KAFKA";
/// Names the folder with the jars to the tests.
pub const LIBS: &str = "HOOK_TEST_KAFKA_LIBS";

/// The bootstrap address of the broker that `cargo xtask test` started: one node,
/// plaintext, no topics made by themselves. Tests share it, so each makes topics
/// and groups with names of its own.
///
/// # Panics
///
/// When the tests run without it, so that none passes without having run.
#[must_use]
pub fn shared() -> String {
    told(SHARED)
}

/// A variable that `cargo xtask test` sets.
#[expect(clippy::disallowed_methods, reason = "a test has no other way to be told where the broker is")]
fn told(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("`{name}` is not set: run `cargo xtask test`"))
}
