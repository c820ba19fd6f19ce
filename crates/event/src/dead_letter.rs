//! An event that a destination will not get without help, with the reason.
//!
//! The stored form keeps seed readers working: `failed_at`, `error` and the
//! unchanged `envelope`; everything else was added.

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{DecodeError, EventId};

/// One record of the dead-letter topic.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// The destination that did not get it; none when no route wanted it.
    pub adapter: Option<String>,
    /// The event's id, if the record was an envelope at all.
    pub event_id: Option<EventId>,
    /// When it was given up.
    pub failed_at: Timestamp,
    /// What a person should read first.
    pub error: String,
    /// `refused`, `exhausted`, `expired`, `hook_denied`, `when_failed`, `unroutable`,
    /// `malformed`, or what an ingress was told: `unverified`, `too_large`, …
    pub reason: String,
    /// How many attempts were made.
    pub attempts: u32,
    /// The last HTTP status, where there was one.
    pub status: Option<u16>,
    /// Where the event lies in the log: `topic/lane/offset`.
    pub position: String,
    /// The envelope as it was stored.
    pub envelope: Bytes,
}

impl DeadLetter {
    /// The stored form.
    pub fn encode(&self) -> Bytes {
        let head = Head {
            failed_at: self.failed_at,
            error: &self.error,
            reason: &self.reason,
            adapter: self.adapter.as_deref(),
            event_id: self.event_id,
            attempts: self.attempts,
            status: self.status,
            position: &self.position,
        };
        let mut out = Vec::with_capacity(self.envelope.len() + 384);
        #[expect(clippy::expect_used, reason = "plain strings and a Vec cannot fail to serialize")]
        serde_json::to_writer(&mut out, &head).expect("a dead letter head is always JSON");
        out.pop();
        if serde_json::from_slice::<&RawValue>(&self.envelope).is_ok() {
            out.extend_from_slice(b",\"envelope\":");
            out.extend_from_slice(&self.envelope);
        } else {
            out.extend_from_slice(b",\"envelope_base64\":\"");
            out.extend_from_slice(crate::standard_webhooks::base64(&self.envelope).as_bytes());
            out.push(b'"');
        }
        out.push(b'}');
        out.into()
    }

    /// Reads a stored dead letter, this program's or the seed's.
    ///
    /// # Errors
    /// When `stored` is not a JSON object with `failed_at` and `error`.
    pub fn decode(stored: &Bytes) -> Result<Self, DecodeError> {
        let read: Read<'_> = serde_json::from_slice(stored)?;
        let envelope = match (read.envelope, read.envelope_base64) {
            (Some(raw), _) => stored.slice_ref(raw.get().as_bytes()),
            (None, Some(text)) => crate::standard_webhooks::from_base64(&text).unwrap_or_default().into(),
            (None, None) => Bytes::new(),
        };
        Ok(Self {
            adapter: read.adapter,
            event_id: read.event_id,
            failed_at: read.failed_at,
            error: read.error,
            reason: read.reason,
            attempts: read.attempts,
            status: read.status,
            position: read.position,
            envelope,
        })
    }
}

#[derive(Serialize)]
struct Head<'a> {
    failed_at: Timestamp,
    error: &'a str,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    adapter: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<EventId>,
    attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    position: &'a str,
}

#[derive(Deserialize)]
struct Read<'a> {
    failed_at: Timestamp,
    error: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    adapter: Option<String>,
    #[serde(default)]
    event_id: Option<EventId>,
    #[serde(default)]
    attempts: u32,
    #[serde(default)]
    status: Option<u16>,
    #[serde(default)]
    position: String,
    #[serde(borrow, default)]
    envelope: Option<&'a RawValue>,
    #[serde(default)]
    envelope_base64: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(envelope: &'static [u8]) -> DeadLetter {
        DeadLetter {
            adapter: Some("reviewer".into()),
            event_id: None,
            failed_at: Timestamp::from_second(1_753_000_000).unwrap(),
            error: "the destination answered 400: \"message\" required".into(),
            reason: "refused".into(),
            attempts: 1,
            status: Some(400),
            position: "webhooks.core/0/17".into(),
            envelope: Bytes::from_static(envelope),
        }
    }

    #[test]
    fn the_envelope_is_kept_whatever_it_is() {
        for envelope in [&br#"{"a": 1}"#[..], b"\xff\x00not json", b""] {
            let read = DeadLetter::decode(&letter(envelope).encode()).unwrap();
            assert_eq!(read.envelope, envelope);
            assert_eq!(read.error, letter(envelope).error);
            assert_eq!(read.status, Some(400));
        }
    }

    #[test]
    fn a_seed_dead_letter_is_read() {
        let stored = Bytes::from_static(
            br#"{"failed_at":"2026-03-04T05:06:07Z","error":"boom","envelope":{"id":"x"}}"#,
        );
        let read = DeadLetter::decode(&stored).unwrap();
        assert_eq!(read.envelope, &br#"{"id":"x"}"#[..]);
    }
}
