//! The log lines of a delivery, with the seed's field names.
//!
//! INVARIANT: reasons and ids only; never a payload, a header or a secret.

use hook_event::Event;
use hook_log::Position;

use crate::ports::Failure;

/// An event and where it goes, as log fields.
#[derive(Clone, Copy)]
pub(super) struct Subject<'a> {
    pub(super) adapter: &'a str,
    pub(super) position: &'a Position,
    pub(super) event: Option<&'a Event>,
}

macro_rules! line {
    ($level:ident, $subject:expr, $state:expr, $($rest:tt)*) => {{
        let subject: Subject<'_> = $subject;
        tracing::$level!(
            trace_id = subject.event.and_then(|event| event.meta.trace_id.as_deref()),
            event_id = subject.event.map(|event| tracing::field::display(event.id)),
            source = subject.event.map(|event| event.source.as_str()),
            event_type = subject.event.map(|event| event.event_type.as_str()),
            egress_adapter = subject.adapter,
            kafka_topic = %subject.position.topic,
            position = %subject.position,
            delivery_state = $state,
            $($rest)*
        );
    }};
}

pub(super) fn delivered(subject: Subject<'_>, attempt: u32) {
    line!(debug, subject, "delivered", attempt, "the event was delivered");
}

pub(super) fn not_delivered(subject: Subject<'_>, state: &'static str, attempt: u32, failure: &Failure) {
    let status = failure.status;
    line!(info, subject, state, attempt, status, reason = failure.reason, "an attempt did not deliver");
}

pub(super) fn given_up(subject: Subject<'_>, state: &'static str, reason: &'static str, error: &str) {
    line!(warn, subject, state, reason, error, "the event was given up");
}

pub(super) fn away(adapter: &str, halted: bool, reason: &str) {
    match halted {
        true => tracing::error!(
            egress_adapter = adapter,
            delivery_state = "halted",
            reason,
            "the destination takes nothing until a person acts; its events wait in the log"
        ),
        false => tracing::warn!(
            egress_adapter = adapter,
            delivery_state = "unavailable",
            reason,
            "the destination is not there; its events wait in the log"
        ),
    }
}

pub(super) fn back(adapter: &str) {
    tracing::info!(egress_adapter = adapter, delivery_state = "running", "the destination is back");
}

pub(super) fn log_failed(adapter: &str, doing: &'static str, error: &dyn std::fmt::Display) {
    tracing::error!(egress_adapter = adapter, doing, %error, "the log failed; trying again");
}
