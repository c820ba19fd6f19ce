//! Sources as data: who sends, how it is verified, what it means.
//!
//! A [`SourceSpec`] is what a preset or a contract's `[sources.<name>]` says. The
//! engine interprets it; no provider has code of its own. Everything here is pure
//! and synchronous: no socket, no clock, and of the environment only what `build`
//! is handed.
//!
//! INVARIANT: [`Source::verify`] is the only way to a [`Verified`], and a
//! [`Verified`] the only way to a [`Draft`].

mod check;
mod content;
mod contract;
mod handshake;
mod json;
mod key;
mod normalize;
mod pick;
mod presets;
mod request;
mod sign;
mod spec;
mod verify;

#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::Method;
use jiff::Timestamp;

use crate::{
    plan::SourcePlan,
    ports::{RawEvent, Refusal, Reply},
    secret::{Environment, SecretError},
};
use key::Key;
use request::{Reading, Request};

pub use check::check;
pub use content::Content;
pub use contract::{parse, schema, seed_default, vouched_for};
pub use json::Pointer;
pub use pick::Pick;
pub use presets::{PRESETS, Preset, preset};
pub use spec::{
    Algorithm, Encoding, FixedReply, Handshake, Header, SecretEncoding, SourceSpec, TimestampRule, Unit,
};

/// A source with its live secrets, ready to run.
pub struct Source {
    name: String,
    spec: Arc<SourceSpec>,
    content: Content,
    keys: Vec<(String, Key)>,
    reading: Reading,
}

/// A request whose sender is known. Only [`Source::verify`] makes one.
pub struct Verified {
    request: Request,
    by: String,
}

/// An event as its sender meant it, not yet given an id.
#[derive(Clone, PartialEq, Eq)]
pub struct Draft {
    /// What happened.
    pub event_type: String,
    /// The sender's id of the delivery.
    pub delivery_id: Option<String>,
    /// Events with the same key are delivered in order.
    pub ordering_key: Option<String>,
    /// What the event is about.
    pub subject: Option<String>,
    /// The scheme and the name (never the value) of the secret that verified it.
    pub verified_by: String,
    /// The sender's JSON text, untouched.
    pub payload: Bytes,
    /// Hints for `meta`: `unverified` when nothing was checked.
    pub flags: Vec<String>,
}

/// Why a source cannot run.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SourceError {
    /// A secret cannot be read.
    #[error("source `{source_name}`: {reason}")]
    Secret {
        /// The source.
        source_name: String,
        /// What is wrong with the secret.
        reason: SecretError,
    },
    /// A secret is not what the algorithm needs.
    #[error("source `{source_name}`: the secret `{secret}` cannot be used: {reason}")]
    NotAKey {
        /// The source.
        source_name: String,
        /// The secret's name.
        secret: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No secret is named.
    #[error("source `{0}` names no secret, so nothing it sends could be verified")]
    NoSecret(String),
}

impl Source {
    /// Reads the secrets. A source whose secret is missing does not run.
    ///
    /// # Errors
    /// When a secret is missing or unusable.
    pub fn build(name: &str, plan: &SourcePlan, environment: &Environment) -> Result<Self, SourceError> {
        let spec = Arc::clone(&plan.spec);
        let mut keys = Vec::new();
        if spec.algorithm.uses_secrets() {
            for secret in &plan.secrets {
                let text = environment
                    .secret(secret)
                    .map_err(|reason| SourceError::Secret { source_name: name.to_owned(), reason })?;
                let (source_name, secret) = (name.to_owned(), secret.to_string());
                match Key::parse(&spec, &text) {
                    Ok(key) => keys.push((secret, key)),
                    Err(reason) => return Err(SourceError::NotAKey { source_name, secret, reason }),
                }
            }
            if keys.is_empty() {
                return Err(SourceError::NoSecret(name.to_owned()));
            }
        }
        let content = spec.content.clone().unwrap_or_else(Content::body);
        let reading = Reading { form_field: spec.form_field.clone(), wanted: handshake::wanted(&spec) };
        Ok(Self { name: name.to_owned(), spec, content, keys, reading })
    }

    /// Answers what needs no proof: handshakes that anybody may have, and methods
    /// that cannot carry an event. None means: go on and [`verify`](Self::verify).
    pub fn preflight(&self, raw: &RawEvent) -> Option<Result<Reply, Refusal>> {
        let named = |signed| self.handshakes(signed, &raw.method).next().is_some();
        if named(false) {
            let answer = self.shake(false, &Request::new(raw.clone()));
            if let Some(reply) = answer {
                return Some(Ok(reply));
            }
        }
        if raw.method != Method::POST && !named(true) {
            return Some(Err(Refusal::MethodNotAllowed(raw.method.clone())));
        }
        None
    }

    /// Believes a request, over its raw bytes and in constant time.
    ///
    /// # Errors
    /// [`Refusal::Unverified`] when no live secret made the signature, or when the
    /// time it was made is too far from `now`; [`Refusal::Malformed`] when a body
    /// that is signed well cannot be read for the time it should hold.
    pub fn verify(&self, raw: RawEvent, now: Timestamp) -> Result<Verified, Refusal> {
        let request = Request::new(raw);
        let by = self.believe(&request, now)?;
        Ok(Verified { request, by })
    }

    /// Answers a handshake that its provider signs. Nothing is to be stored then.
    pub fn handshake(&self, verified: &Verified) -> Option<Reply> {
        self.shake(true, &verified.request)
    }

    /// The answer that the provider insists on when its event was taken.
    pub fn reply(&self) -> Option<Reply> {
        self.spec.reply.as_ref().map(handshake::fixed)
    }

    /// The source's name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Verified {
    /// The request as it came.
    pub fn raw(&self) -> &RawEvent {
        &self.request.raw
    }
}

/// Names the secrets, never shows them.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secrets: Vec<&str> = self.keys.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Source").field("name", &self.name).field("secrets", &secrets).finish_non_exhaustive()
    }
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified").field("by", &self.by).field("raw", &self.request.raw).finish()
    }
}

/// Shows the payload's size only.
impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Draft")
            .field("event_type", &self.event_type)
            .field("delivery_id", &self.delivery_id)
            .field("ordering_key", &self.ordering_key)
            .field("subject", &self.subject)
            .field("verified_by", &self.verified_by)
            .field("payload_bytes", &self.payload.len())
            .field("flags", &self.flags)
            .finish()
    }
}
