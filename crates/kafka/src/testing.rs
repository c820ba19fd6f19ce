//! What the drivers' own tests share.

use bytes::Bytes;
use hook_event::{Entropy, Event, EventId, Meta};
use jiff::Timestamp;

/// A pull request with this payload, always with the same id.
pub(crate) fn event(payload: &[u8]) -> Event {
    let received_at = Timestamp::from_second(1_753_000_000).unwrap();
    Event {
        id: EventId::new(received_at, Entropy::of(|bytes| bytes.fill(0xab))),
        source: "github".into(),
        event_type: "pull_request.opened".into(),
        received_at,
        meta: Meta {
            trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736".into()),
            subject: Some("acme/api#42".into()),
            ordering_key: Some("acme/api".into()),
            ..Meta::default()
        },
        payload: Bytes::copy_from_slice(payload),
    }
}
