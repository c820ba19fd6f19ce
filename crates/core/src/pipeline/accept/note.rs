//! What accepting leaves behind besides the event: numbers and log lines.
//!
//! INVARIANT: no payload, header or secret comes near either. What an unknown sender
//! chose freely (a source's name that does not exist) is no label.

use std::sync::Arc;

use hook_event::Event;
use hook_log::{AppendError, Topic};

use crate::{
    metrics::Metrics,
    ports::{Answer, Refusal},
};

/// Where the numbers go.
#[derive(Clone)]
pub(super) struct Notes(pub(super) Arc<Metrics>);

impl Notes {
    /// An event is durable.
    pub(super) fn stored(&self, event: &Event, topic: &Topic) {
        self.0.published(topic.as_str());
        tracing::debug!(
            trace_id = event.meta.trace_id,
            event_id = %event.id,
            source = event.source,
            event_type = event.event_type,
            ingress_adapter = event.meta.ingress_adapter,
            kafka_topic = %topic,
            delivery_state = "stored",
            "an event was stored"
        );
    }

    /// An append failed.
    pub(super) fn not_stored(&self, topic: &Topic, error: &AppendError) {
        let reason = match error {
            AppendError::Full(_) => "full",
            AppendError::TooLarge { .. } => "too_large",
            AppendError::Refused(_) => "refused",
            AppendError::Poisoned(_) => "poisoned",
            AppendError::Unavailable { .. } => "unavailable",
            AppendError::Closed => "closed",
        };
        self.0.not_published(topic.as_str(), reason);
        tracing::warn!(kafka_topic = %topic, delivery_state = "not_stored", reason, %error, "an append failed");
    }

    /// A request was answered.
    pub(super) fn answered(&self, source: &str, adapter: &str, answer: &Result<Answer, Refusal>) {
        let name = name(answer);
        let source = if name == "unknown_source" { "unknown" } else { source };
        self.0.answered(adapter, source, name);
        let Err(refusal) = answer else { return };
        tracing::info!(
            source,
            ingress_adapter = adapter,
            delivery_state = "refused",
            reason = name,
            detail = %detail(refusal),
            "a request was refused"
        );
    }
}

/// What a person needs to know of a refusal that the name does not say.
fn detail(refusal: &Refusal) -> String {
    match refusal {
        Refusal::UnknownSource(_) => String::new(),
        other => other.to_string(),
    }
}

/// A refusal as a dead letter has it.
pub(super) fn reason(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Denied { .. } => "hook_denied",
        other => refused(other),
    }
}

/// The answer as a label.
fn name(answer: &Result<Answer, Refusal>) -> &'static str {
    match answer {
        Ok(Answer::Accepted { .. }) => "accepted",
        Ok(Answer::Duplicate { .. }) => "duplicate",
        Ok(Answer::Suppressed) => "suppressed",
        Ok(Answer::Handshake(_)) => "handshake",
        Err(refusal) => refused(refusal),
    }
}

fn refused(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::UnknownSource(_) => "unknown_source",
        Refusal::RateLimited { .. } => "rate_limited",
        Refusal::Unverified(_) => "unverified",
        Refusal::MethodNotAllowed(_) => "method_not_allowed",
        Refusal::Malformed(_) => "malformed",
        Refusal::UnsupportedMediaType(_) => "unsupported_media_type",
        Refusal::Denied { .. } => "denied",
        Refusal::Unroutable { .. } => "unroutable",
        Refusal::TooLarge { .. } => "too_large",
        Refusal::Unavailable { .. } => "unavailable",
    }
}
