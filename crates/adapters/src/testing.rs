//! What the drivers' own tests share: an event and a context.

use std::sync::Arc;

use bytes::Bytes;
use hook_core::{driver::BuildContext, inherited::Inherited, plan::KafkaConnection, secret::Environment};
use hook_event::{Clock, Entropy, Event, EventId, Meta};
use jiff::Timestamp;

/// The time that [`context`]'s clock shows.
pub(crate) const NOW: i64 = 1_753_000_000;

/// A pull request with this payload, always with the same id.
pub(crate) fn event(payload: &[u8]) -> Event {
    let received_at = Timestamp::from_second(NOW).unwrap();
    Event {
        id: EventId::new(received_at, Entropy::of(|bytes| bytes.fill(0xab))),
        source: "github".into(),
        event_type: "pull_request.opened".into(),
        received_at,
        meta: Meta {
            trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736".into()),
            subject: Some("acme/api#42".into()),
            ..Meta::default()
        },
        payload: Bytes::copy_from_slice(payload),
    }
}

/// A context with these variables and a clock that stands still.
pub(crate) fn context(variables: &[(&str, &str)]) -> BuildContext {
    BuildContext {
        id: Arc::from("reviewer"),
        environment: Environment::new(variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))),
        clock: Clock::of(|| Timestamp::from_second(NOW).unwrap()),
        entropy: Entropy::SYSTEM,
        inherited: Inherited::default(),
        kafka: KafkaConnection::default(),
    }
}
