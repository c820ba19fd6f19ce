//! What the events of one request have in common, and how a draft becomes an event.

use std::sync::Arc;

use hook_event::{Entropy, Event, EventId, Meta};
use jiff::Timestamp;

use super::trace::trace_id;
use crate::{ports::RawEvent, source::Draft};

/// Where the events of one request come from.
pub(super) struct Origin {
    pub(super) source: String,
    pub(super) adapter: Arc<str>,
    pub(super) received_at: Timestamp,
    trace_id: String,
}

impl Origin {
    pub(super) fn of(raw: &RawEvent, entropy: Entropy) -> Self {
        Self {
            source: raw.source.clone(),
            adapter: Arc::clone(&raw.adapter),
            received_at: raw.received_at,
            trace_id: trace_id(&raw.headers, entropy),
        }
    }

    /// The draft as an event of this origin.
    pub(super) fn event(&self, id: EventId, draft: Draft) -> Event {
        Event {
            id,
            source: self.source.clone(),
            event_type: draft.event_type,
            received_at: self.received_at,
            meta: Meta {
                trace_id: Some(self.trace_id.clone()),
                ingress_adapter: Some(self.adapter.to_string()),
                route_key: None,
                delivery_id: draft.delivery_id,
                ordering_key: draft.ordering_key,
                subject: draft.subject,
                verified_by: Some(draft.verified_by),
                flags: draft.flags,
                redelivery: None,
            },
            payload: draft.payload,
        }
    }
}
