//! What a driver is: a row of a constant table.
//!
//! A driver's file holds its row, its strict configuration and its port. The
//! contract's checker, the docs, `hook drivers`, the schema and the tests all
//! iterate the tables, so adding a driver touches its file and one line.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use hook_event::{Clock, Entropy};
use hook_sdk::Hook;
use schemars::{Schema, SchemaGenerator};
use serde::Serialize;
use toml::{Spanned, de::DeValue};

use crate::{
    inherited::Inherited,
    plan::KafkaConnection,
    ports::{Egress, Ingress},
    secret::{Environment, SecretRef},
    source::Pick,
};

/// Reads a driver's own keys off a table; its errors carry their place in the file.
pub type Parse<T> = fn(Spanned<DeValue<'_>>) -> Result<Arc<T>, toml::de::Error>;

/// The tables that a contract is checked against.
#[derive(Clone, Copy)]
pub struct Drivers {
    /// Drivers that bring events in, alphabetical.
    pub ingress: &'static [IngressDriver],
    /// Drivers that take events out, alphabetical.
    pub egress: &'static [EgressDriver],
    /// Hooks that a contract can configure, alphabetical.
    pub plugins: &'static [PluginDriver],
}

/// One kind of adapter or hook: `T` is what its keys are read as.
pub struct Driver<T: ?Sized> {
    /// The name in the contract.
    pub name: &'static str,
    /// One line for a person.
    pub summary: &'static str,
    /// A table that parses: the keys of the driver's own.
    pub example: &'static str,
    /// Reads the keys that are left when the common ones were taken off.
    pub parse: Parse<T>,
    /// The keys as JSON Schema.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
}

/// One kind of ingress adapter.
pub type IngressDriver = Driver<dyn IngressConfig>;
/// One kind of egress adapter.
pub type EgressDriver = Driver<dyn EgressConfig>;
/// One kind of hook that a contract can configure under `plugins`.
pub type PluginDriver = Driver<dyn Hook>;

/// The rows of two tables as one, alphabetical as both are; `N` is how many there are.
pub const fn merged<T: ?Sized, const N: usize>(one: &[Driver<T>], other: &[Driver<T>]) -> [Driver<T>; N] {
    assert!(one.len() + other.len() == N && N > 0, "`N` is the number of rows");
    let (mut left, mut right) = (0, 0);
    let mut rows = [if one.is_empty() { other[0] } else { one[0] }; N];
    while left + right < N {
        let from_one =
            right == other.len() || (left < one.len() && is_before(one[left].name, other[right].name));
        rows[left + right] = if from_one { one[left] } else { other[right] };
        if from_one {
            left += 1;
        } else {
            right += 1;
        }
    }
    rows
}

const fn is_before(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let mut at = 0;
    while at < one.len() && at < other.len() {
        if one[at] != other[at] {
            return one[at] < other[at];
        }
        at += 1;
    }
    one.len() < other.len()
}

impl<T: ?Sized> Clone for Driver<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: ?Sized> Copy for Driver<T> {}

/// An ingress adapter as the contract wrote it.
#[async_trait]
pub trait IngressConfig: fmt::Debug + Send + Sync {
    /// Its keys with all defaults, for `hook config show`; secrets by name only.
    fn settings(&self) -> serde_json::Value {
        serde_json::Value::Null
    }

    /// The secrets that it names.
    fn secrets(&self) -> Vec<SecretRef> {
        Vec::new()
    }

    /// What is wrong beyond types, found without any I/O: key and message.
    fn check(&self) -> Vec<Problem> {
        Vec::new()
    }

    /// Where it takes webhooks, `{source}` standing for the source; none for what is not HTTP.
    fn url_template(&self) -> Option<String> {
        None
    }

    /// The source of what it brings in, for an ingress that knows its senders by itself.
    /// Where it names one that the contract does not describe, that one is believed for
    /// its transport.
    fn source(&self) -> Option<&Pick> {
        None
    }

    /// Opens sockets and reads secrets; re-validates nothing.
    async fn build(&self, context: &BuildContext) -> Result<Box<dyn Ingress>, BuildError>;
}

/// An egress adapter as the contract wrote it.
#[async_trait]
pub trait EgressConfig: fmt::Debug + Send + Sync {
    /// Its keys with all defaults, for `hook config show`; secrets by name only.
    fn settings(&self) -> serde_json::Value {
        serde_json::Value::Null
    }

    /// The secrets that it names.
    fn secrets(&self) -> Vec<SecretRef> {
        Vec::new()
    }

    /// What is wrong beyond types, found without any I/O: key and message.
    fn check(&self) -> Vec<Problem> {
        Vec::new()
    }

    /// Where it delivers to, for a person: a URL without credentials, a path.
    fn endpoint(&self) -> String;

    /// Opens sockets and reads secrets; re-validates nothing.
    async fn build(&self, context: &BuildContext) -> Result<Arc<dyn Egress>, BuildError>;
}

/// A driver's keys as `hook config show` prints them.
pub fn as_settings(keys: &impl Serialize) -> serde_json::Value {
    serde_json::to_value(keys).unwrap_or_default()
}

/// Something wrong with the value of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key, or the empty text for the whole table.
    pub key: &'static str,
    /// What is wrong, and what is valid.
    pub message: String,
}

/// What a driver needs to come to life.
#[derive(Clone, Debug)]
pub struct BuildContext {
    /// The adapter's id.
    pub id: Arc<str>,
    /// The environment, for secrets.
    pub environment: Environment,
    /// The time.
    pub clock: Clock,
    /// Randomness.
    pub entropy: Entropy,
    /// Sockets that were opened for the process before it began.
    pub inherited: Inherited,
    /// How the contract's own log is reached, where that is in Kafka.
    pub kafka: KafkaConnection,
}

/// Why an adapter could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A secret is missing.
    #[error(transparent)]
    Secret(#[from] crate::secret::SecretError),
    /// A socket, file or certificate cannot be had.
    #[error("{0}")]
    Resource(String),
}
