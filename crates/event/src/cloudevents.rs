//! CloudEvents 1.0.2, structured JSON: an event as one object that any CloudEvents
//! reader understands.
//!
//! `(source, id)` names the event as the specification asks. Extension attributes
//! have lower-case alphanumeric names: `traceparent`, `partitionkey`, `redelivery`.
//! `data` is the sender's JSON text, inserted untouched.

use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;

use crate::{Event, EventId, trace};

/// The media type of [`structured`].
pub const CONTENT_TYPE: &str = "application/cloudevents+json";

/// The event as a structured CloudEvent.
pub fn structured(event: &Event) -> Bytes {
    let head = Head {
        specversion: "1.0",
        id: event.id,
        source: &event.source,
        kind: &event.event_type,
        time: event.received_at,
        subject: event.meta.subject.as_deref().filter(|subject| !subject.is_empty()),
        datacontenttype: "application/json",
        traceparent: trace::traceparent(event),
        partitionkey: event.meta.ordering_key.as_deref().filter(|key| !key.is_empty()),
        redelivery: event.meta.redelivery.as_ref().map(|redelivery| redelivery.reason.as_str()),
    };
    let mut out = Vec::with_capacity(event.payload.len() + 384);
    #[expect(clippy::expect_used, reason = "plain strings and a Vec cannot fail to serialize")]
    serde_json::to_writer(&mut out, &head).expect("a CloudEvent's attributes are always JSON");
    out.pop();
    out.extend_from_slice(b",\"data\":");
    out.extend_from_slice(&event.payload);
    out.push(b'}');
    out.into()
}

#[derive(Serialize)]
struct Head<'a> {
    specversion: &'static str,
    id: EventId,
    source: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    time: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    datacontenttype: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    partitionkey: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    redelivery: Option<&'a str>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Entropy, Meta, Redelivery};

    fn event(meta: Meta, payload: &'static [u8]) -> Event {
        let received_at = Timestamp::from_second(1_753_000_000).unwrap();
        Event {
            id: EventId::new(received_at, Entropy::of(|bytes| bytes.fill(0xab))),
            source: "github".into(),
            event_type: "pull_request.opened".into(),
            received_at,
            meta,
            payload: Bytes::from_static(payload),
        }
    }

    #[test]
    fn the_whole_form() {
        let meta = Meta {
            trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736".into()),
            subject: Some("acme/api#42".into()),
            ordering_key: Some("acme/api".into()),
            redelivery: Some(Redelivery {
                adapter: "a".into(),
                reason: "replay".into(),
                at: Timestamp::UNIX_EPOCH,
            }),
            ..Meta::default()
        };
        let text = structured(&event(meta, b"{\"n\" : 1.50}\n"));
        let expect = concat!(
            r#"{"specversion":"1.0","id":"019826f1-3a00-7bab-abab-abababababab","source":"github","#,
            r#""type":"pull_request.opened","time":"2025-07-20T08:26:40Z","subject":"acme/api#42","#,
            r#""datacontenttype":"application/json","#,
            r#""traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-abababababababab-01","#,
            r#""partitionkey":"acme/api","redelivery":"replay","data":{"n" : 1.50}"#,
            "\n}",
        );
        assert_eq!(std::str::from_utf8(&text).unwrap(), expect);
    }

    #[test]
    fn what_is_absent_is_left_out() {
        let json: serde_json::Value =
            serde_json::from_slice(&structured(&event(Meta::default(), b"[1]"))).unwrap();
        let names: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(names, ["specversion", "id", "source", "type", "time", "datacontenttype", "data"]);
    }
}
