//! What an event becomes as a record: its key, its headers and its value.
//!
//! Every record says what it is in headers, whatever its value is: `webhook-id` (the
//! event's id), `hook-source`, `hook-event-type`, `hook-subject`, `hook-ordering-key`,
//! `traceparent` and `content-type`. `kafka_ingress` reads the same ones.

use std::collections::BTreeMap;

use bytes::Bytes;
use hook_event::{Event, cloudevents, trace};
use rdkafka::message::{Header, OwnedHeaders};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a record is made.
pub(super) struct Wire {
    pub(super) key: KeyMode,
    pub(super) body: Body,
    pub(super) headers: BTreeMap<String, String>,
}

/// What the record's key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum KeyMode {
    /// The event's id.
    EventId,
    /// The source.
    Source,
    /// The ordering key, as in the log: related events share a partition.
    OrderingKey,
    /// There is none; records go round the partitions.
    None,
}

/// What the record's value is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Body {
    /// The stored form.
    #[default]
    Envelope,
    /// The sender's bytes.
    Payload,
    /// CloudEvents 1.0, structured.
    #[serde(rename = "cloudevents")]
    CloudEvents,
    /// CloudEvents 1.0: attributes in headers `ce_*`, the payload as it is.
    #[serde(rename = "cloudevents_binary")]
    CloudEventsBinary,
}

/// A record, ready to be produced.
pub(super) struct Outgoing {
    pub(super) key: Option<Bytes>,
    pub(super) value: Bytes,
    pub(super) headers: Vec<(String, String)>,
}

impl Wire {
    pub(super) fn record(&self, event: &Event) -> Outgoing {
        let value = match self.body {
            Body::Envelope => event.encode(),
            Body::CloudEvents => cloudevents::structured(event),
            Body::Payload | Body::CloudEventsBinary => event.payload.clone(),
        };
        let key = match self.key {
            KeyMode::EventId => Some(Bytes::from(event.id.to_string())),
            KeyMode::Source => Some(Bytes::from(event.source.clone())),
            KeyMode::OrderingKey => Some(event.ordering_key()),
            KeyMode::None => None,
        };
        Outgoing { key, value, headers: self.headers(event) }
    }

    fn headers(&self, event: &Event) -> Vec<(String, String)> {
        let content_type = match self.body {
            Body::CloudEvents => "application/cloudevents+json; charset=UTF-8",
            Body::Envelope | Body::Payload | Body::CloudEventsBinary => "application/json",
        };
        let named = [
            ("content-type", Some(content_type.to_owned())),
            ("webhook-id", Some(event.id.to_string())),
            ("hook-source", Some(event.source.clone())),
            ("hook-event-type", Some(event.event_type.clone())),
            ("hook-subject", event.meta.subject.clone()),
            ("hook-ordering-key", event.meta.ordering_key.clone()),
            ("traceparent", trace::traceparent(event)),
        ];
        let named = named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        let attributes = match self.body {
            Body::CloudEventsBinary => cloudevents::attributes(event),
            Body::Envelope | Body::Payload | Body::CloudEvents => Vec::new(),
        };
        let attributes = attributes.into_iter().map(|(name, value)| (format!("ce_{name}"), value));
        let written = self.headers.iter().map(|(name, value)| (name.clone(), value.clone()));
        named.chain(attributes).chain(written).collect()
    }
}

impl Outgoing {
    pub(super) fn owned_headers(&self) -> OwnedHeaders {
        let headers = OwnedHeaders::new_with_capacity(self.headers.len());
        self.headers
            .iter()
            .fold(headers, |headers, (key, value)| headers.insert(Header { key, value: Some(value) }))
    }
}

/// Whether a header is ours to set.
pub(super) fn is_reserved(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    name.is_empty()
        || ["content-type", "webhook-id", "traceparent"].contains(&lower.as_str())
        || ["hook-", "ce_", "kafka-"].iter().any(|prefix| lower.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::event;

    const ID: &str = "019826f1-3a00-7bab-abab-abababababab";

    fn record(key: KeyMode, body: Body) -> Outgoing {
        let headers = BTreeMap::from([("team".to_owned(), "reviews".to_owned())]);
        Wire { key, body, headers }.record(&event(b"{\"n\": 1}"))
    }

    #[test]
    fn every_key_mode() {
        let check = |mode, expected: Option<&str>| {
            let key = record(mode, Body::Payload).key;
            assert_eq!(key.as_deref(), expected.map(str::as_bytes), "{mode:?}");
        };
        check(KeyMode::EventId, Some(ID));
        check(KeyMode::Source, Some("github"));
        check(KeyMode::OrderingKey, Some("github:acme/api"));
        check(KeyMode::None, None);
    }

    #[test]
    fn every_body_says_what_it_is() {
        let common = |content_type: &str| {
            vec![
                ("content-type".to_owned(), content_type.to_owned()),
                ("webhook-id".to_owned(), ID.to_owned()),
                ("hook-source".to_owned(), "github".to_owned()),
                ("hook-event-type".to_owned(), "pull_request.opened".to_owned()),
                ("hook-subject".to_owned(), "acme/api#42".to_owned()),
                ("hook-ordering-key".to_owned(), "acme/api".to_owned()),
                (
                    "traceparent".to_owned(),
                    "00-4bf92f3577b34da6a3ce929d0e0e4736-abababababababab-01".to_owned(),
                ),
            ]
        };
        let event = event(b"{\"n\": 1}");
        let check = |body, value: &[u8], content_type: &str, attributes: &[(&str, &str)]| {
            let record = record(KeyMode::None, body);
            assert_eq!(record.value, value, "{body:?}");
            let own = [("team", "reviews")];
            let more = attributes.iter().chain(&own).map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
            let expected: Vec<_> = common(content_type).into_iter().chain(more).collect();
            assert_eq!(record.headers, expected, "{body:?}");
        };
        check(Body::Envelope, &event.encode(), "application/json", &[]);
        check(Body::Payload, b"{\"n\": 1}", "application/json", &[]);
        let structured = "application/cloudevents+json; charset=UTF-8";
        check(Body::CloudEvents, &cloudevents::structured(&event), structured, &[]);
        check(
            Body::CloudEventsBinary,
            b"{\"n\": 1}",
            "application/json",
            &[
                ("ce_specversion", "1.0"),
                ("ce_id", ID),
                ("ce_source", "github"),
                ("ce_type", "pull_request.opened"),
                ("ce_time", "2025-07-20T08:26:40Z"),
                ("ce_subject", "acme/api#42"),
                ("ce_traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-abababababababab-01"),
                ("ce_partitionkey", "acme/api"),
            ],
        );
    }
}
