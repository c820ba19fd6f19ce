//! How a driver's row reads its keys: the strict `Config` beside the driver, with
//! the spans of the contract kept for error messages.

use std::sync::Arc;

pub(crate) use hook_core::driver::as_settings;
use hook_core::driver::{EgressConfig, IngressConfig, Problem};
use serde::de::DeserializeOwned;
use toml::{
    Spanned,
    de::{DeValue, Error, ValueDeserializer},
};

/// Reads an ingress driver's keys.
pub(crate) fn ingress<C>(value: Spanned<DeValue<'_>>) -> Result<Arc<dyn IngressConfig>, Error>
where
    C: DeserializeOwned + IngressConfig + 'static,
{
    Ok(Arc::new(C::deserialize(ValueDeserializer::from(value))?))
}

/// Reads an egress driver's keys.
pub(crate) fn egress<C>(value: Spanned<DeValue<'_>>) -> Result<Arc<dyn EgressConfig>, Error>
where
    C: DeserializeOwned + EgressConfig + 'static,
{
    Ok(Arc::new(C::deserialize(ValueDeserializer::from(value))?))
}

/// Seconds that one attempt may take, where the contract does not say.
pub(crate) fn default_timeout_seconds() -> u64 {
    20
}

/// A problem with one key.
pub(crate) fn problem(key: &'static str, message: impl Into<String>) -> Problem {
    Problem { key, message: message.into() }
}

/// A problem if a number that must be at least one is zero.
pub(crate) fn at_least_one(key: &'static str, value: u64) -> Option<Problem> {
    (value == 0).then(|| problem(key, format!("`{key}` must be at least 1")))
}
