//! The event and its stored form, the envelope.
//!
//! Rules that hold on disk and on the wire:
//!
//! - The envelope is one JSON object with `id`, `source`, `event_type`,
//!   `received_at`, `meta` (absent when empty) and, last, `payload`.
//! - `payload` is the sender's JSON text byte for byte. It is never parsed and
//!   written again, so a signature over it can still be checked years later.
//! - The format only grows: readers ignore fields that they do not know.

use std::fmt;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::EventId;

/// One thing that happened, as it is stored and delivered.
#[derive(Clone, PartialEq, Eq)]
pub struct Event {
    /// The id that every delivery carries.
    pub id: EventId,
    /// Who sent it, lowercase: `github`.
    pub source: String,
    /// What happened: `pull_request.opened`.
    pub event_type: String,
    /// When its bytes arrived.
    pub received_at: Timestamp,
    /// What `hook` noted about it.
    pub meta: Meta,
    /// The sender's JSON text, untouched.
    pub payload: Bytes,
}

/// What `hook` noted about an event; never part of the payload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Meta {
    /// W3C trace id, 32 hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// The ingress adapter that received it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ingress_adapter: Option<String>,
    /// The serve route that chose its topic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route_key: Option<String>,
    /// The sender's own id of this delivery, used to recognise a repetition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery_id: Option<String>,
    /// Events with the same key are delivered in order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ordering_key: Option<String>,
    /// What the event is about: `acme/api#42`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The scheme and the name (never the value) of the secret that verified it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified_by: Option<String>,
    /// Hints that hooks and detection left.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<String>,
    /// Set when this is not the first time the event is sent on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redelivery: Option<Redelivery>,
}

/// Why an event is delivered again, by whom it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redelivery {
    /// The one destination it goes to.
    pub adapter: String,
    /// `replay` from the log, or `dead_letter`.
    pub reason: String,
    /// When it was asked for.
    pub at: Timestamp,
}

/// Why stored bytes are not an envelope.
#[derive(Debug, thiserror::Error)]
#[error("not an event envelope: {0}")]
pub struct DecodeError(#[from] serde_json::Error);

impl Meta {
    /// Adds a flag unless it is there already.
    pub fn add_flag(&mut self, flag: &str) {
        if !self.flags.iter().any(|have| have == flag) {
            self.flags.push(flag.to_owned());
        }
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Event {
    /// The envelope: one JSON object, the payload last and untouched.
    pub fn encode(&self) -> Bytes {
        let head = Head {
            id: self.id,
            source: &self.source,
            event_type: &self.event_type,
            received_at: self.received_at,
            meta: &self.meta,
        };
        let mut out = Vec::with_capacity(self.payload.len() + 384);
        #[expect(clippy::expect_used, reason = "plain strings and a Vec cannot fail to serialize")]
        serde_json::to_writer(&mut out, &head).expect("an envelope head is always JSON");
        out.pop();
        out.extend_from_slice(b",\"payload\":");
        out.extend_from_slice(&self.payload);
        out.push(b'}');
        out.into()
    }

    /// Reads an envelope; the payload is a slice of `stored`, not a copy.
    ///
    /// # Errors
    /// When `stored` is not a JSON object with the required fields.
    pub fn decode(stored: &Bytes) -> Result<Self, DecodeError> {
        let envelope: Envelope<'_> = serde_json::from_slice(stored)?;
        Ok(Self {
            id: envelope.id,
            source: envelope.source,
            event_type: envelope.event_type,
            received_at: envelope.received_at,
            meta: envelope.meta,
            payload: with_outer_whitespace(stored, envelope.payload),
        })
    }

    /// The key that keeps related events in order: the source's ordering key,
    /// or the event's own id when nothing relates it to others.
    pub fn ordering_key(&self) -> Bytes {
        match &self.meta.ordering_key {
            Some(key) => Bytes::from(format!("{}:{key}", self.source)),
            None => Bytes::copy_from_slice(self.id.to_string().as_bytes()),
        }
    }

    /// The payload, parsed.
    ///
    /// # Errors
    /// When the payload is not JSON, which no accepted event is.
    pub fn payload_json(&self) -> Result<serde_json::Value, serde_json::Error> {
        serde_json::from_slice(&self.payload)
    }
}

/// Shows no payload, so that an event can never reach a log line whole.
impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("id", &self.id)
            .field("source", &self.source)
            .field("event_type", &self.event_type)
            .field("payload_bytes", &self.payload.len())
            .finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct Head<'a> {
    id: EventId,
    source: &'a str,
    event_type: &'a str,
    received_at: Timestamp,
    #[serde(skip_serializing_if = "Meta::is_empty")]
    meta: &'a Meta,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    id: EventId,
    source: String,
    event_type: String,
    received_at: Timestamp,
    #[serde(default)]
    meta: Meta,
    #[serde(borrow)]
    payload: &'a RawValue,
}

/// The payload's slice of `stored`, widened over the white space around it: the
/// sender's leading blanks and trailing newline are part of what was signed.
fn with_outer_whitespace(stored: &Bytes, payload: &RawValue) -> Bytes {
    let blank = |byte: &&u8| matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
    let raw = payload.get().as_bytes();
    let start = raw.as_ptr().addr() - stored.as_ptr().addr();
    let end = start + raw.len();
    let before = stored[..start].iter().rev().take_while(blank).count();
    let after = stored[end..].iter().take_while(blank).count();
    stored.slice(start - before..end + after)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Entropy;

    fn event(payload: &'static [u8]) -> Event {
        let received_at = Timestamp::from_millisecond(1_753_000_000_123).unwrap();
        Event {
            id: EventId::new(received_at, Entropy::SYSTEM),
            source: "github".into(),
            event_type: "pull_request.opened".into(),
            received_at,
            meta: Meta::default(),
            payload: Bytes::from_static(payload),
        }
    }

    #[test]
    fn the_payload_survives_byte_for_byte() {
        for payload in [
            &b"{}"[..],
            b" {\"a\" : 1.50,\n\t\"a\": 2e3}\r\n",
            "{\"emoji\":\"\u{1f600}\",\"esc\":\"\\u00e9\"}".as_bytes(),
            b"[1, 2,3]",
        ] {
            let event = event(payload);
            let decoded = Event::decode(&event.encode()).unwrap();
            assert_eq!(decoded, event);
            assert_eq!(decoded.payload, payload);
        }
    }

    #[test]
    fn a_seed_envelope_is_read() {
        let stored = Bytes::from_static(
            br#"{"id":"0198f3c2-0000-7000-8000-000000000001","source":"linear","event_type":"Issue.create",
                "received_at":"2026-03-04T05:06:07Z","payload":{"x":1},"meta":{"trace_id":"t","flags":["a"]},"later":true}"#,
        );
        let event = Event::decode(&stored).unwrap();
        assert_eq!(event.meta.flags, ["a"]);
        assert_eq!(event.payload, &br#"{"x":1}"#[..]);
    }

    #[test]
    fn empty_meta_is_absent() {
        let text = event(b"{}").encode();
        assert!(!String::from_utf8_lossy(&text).contains("meta"));
    }

    #[test]
    fn debug_never_shows_the_payload() {
        assert!(!format!("{:?}", event(b"{\"token\":\"s3cret\"}")).contains("s3cret"));
    }

    #[test]
    fn what_is_no_envelope_is_refused() {
        for stored in [&b""[..], b"{}", b"[1]", b"{\"id\":\"x\"}", b"\xff"] {
            assert!(Event::decode(&Bytes::copy_from_slice(stored)).is_err());
        }
    }
}
