//! What a record says: a record of a topic becomes the request that the pipeline takes.
//!
//! | record | becomes |
//! |---|---|
//! | `content-type: application/cloudevents+json` | a CloudEvent: its attributes as headers `ce_*`, its data as the body |
//! | header `ce_specversion` | the same, with the attributes where they are |
//! | an envelope of hook's | what it holds: its payload as the body, and `webhook-id`, `hook-source`, `hook-event-type`, `hook-subject`, `hook-ordering-key` as headers |
//! | other JSON | itself, byte for byte |
//! | other text | `{"text": "…"}` |
//! | other bytes | `{"base64": "…"}` |
//! | no value (a tombstone) | `null` |
//!
//! The record's own headers stay; `kafka-topic`, `kafka-partition`, `kafka-offset`,
//! `kafka-key` and `kafka-record` (place and time) are set here and can be forged by
//! nobody. What all of it means is the source's to say (`preset = "kafka"`).

use bytes::Bytes;
use hook_core::ports::Refusal;
use hook_event::{
    Event,
    cloudevents::{self, Data},
    standard_webhooks, trace,
};
use http::{HeaderMap, HeaderName, HeaderValue, header::CONTENT_TYPE};
use rdkafka::{
    Message,
    message::{BorrowedMessage, Headers},
};
use serde_json::{json, value::RawValue};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const CLOUDEVENTS: &str = "application/cloudevents";
/// Headers that only we set.
const OURS: &str = "kafka-";

/// A record, owned.
#[derive(Clone)]
pub(super) struct Record {
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) offset: i64,
    /// Milliseconds since 1970, of the producer or the broker.
    pub(super) timestamp: Option<i64>,
    pub(super) key: Option<Bytes>,
    pub(super) value: Option<Bytes>,
    pub(super) headers: Vec<(String, Bytes)>,
}

/// What the pipeline is given of a record.
pub(super) struct Request {
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Record {
    pub(super) fn of(message: &BorrowedMessage<'_>) -> Self {
        let bytes = |bytes: &[u8]| Bytes::copy_from_slice(bytes);
        let headers = message.headers().into_iter().flat_map(Headers::iter);
        let headers =
            headers.map(|header| (header.key.to_owned(), header.value.map(bytes).unwrap_or_default()));
        Self {
            topic: message.topic().to_owned(),
            partition: message.partition(),
            offset: message.offset(),
            timestamp: message.timestamp().to_millis(),
            key: message.key().map(bytes),
            value: message.payload().map(bytes),
            headers: headers.collect(),
        }
    }

    /// Where it lies: `orders/3/17`.
    pub(super) fn position(&self) -> String {
        format!("{}/{}/{}", self.topic, self.partition, self.offset)
    }

    /// What it holds in memory.
    pub(super) fn size(&self) -> usize {
        let headers: usize = self.headers.iter().map(|(name, value)| name.len() + value.len() + 64).sum();
        self.key.as_ref().map_or(0, Bytes::len) + self.value.as_ref().map_or(0, Bytes::len) + headers + 256
    }

    /// The request that it stands for.
    ///
    /// # Errors
    /// When it says that it is a CloudEvent and is none.
    pub(super) fn request(&self) -> Result<Request, Refusal> {
        let mut headers = self.sent_headers();
        let body = self.body(&mut headers)?;
        if let Some(traceparent) = headers.get("ce_traceparent").cloned()
            && !headers.contains_key("traceparent")
        {
            headers.insert("traceparent", traceparent);
        }
        set(&mut headers, "kafka-topic", &self.topic);
        set(&mut headers, "kafka-partition", &self.partition.to_string());
        set(&mut headers, "kafka-offset", &self.offset.to_string());
        // A topic that was removed and made again has the same offsets at other times.
        let time = self.timestamp.map(|time| format!("/{time}")).unwrap_or_default();
        set(&mut headers, "kafka-record", &format!("{}{time}", self.position()));
        if let Some(key) = self.key.as_deref().filter(|key| !key.is_empty()) {
            set(&mut headers, "kafka-key", &as_text(key));
        }
        headers.insert(CONTENT_TYPE, JSON);
        Ok(Request { headers, body })
    }

    /// The record's own headers, as far as a header can be written so; none of ours.
    fn sent_headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else { continue };
            let Ok(value) = HeaderValue::from_bytes(value) else { continue };
            if !name.as_str().starts_with(OURS) {
                headers.append(name, value);
            }
        }
        headers
    }

    fn body(&self, headers: &mut HeaderMap) -> Result<Bytes, Refusal> {
        let value = self.value.clone().unwrap_or_default();
        let content_type = essence(headers);
        if content_type.starts_with(CLOUDEVENTS) {
            return structured(&content_type, &value, headers);
        }
        if headers.contains_key("ce_specversion") {
            let attribute = |name: &str| headers.get(format!("ce_{name}"))?.to_str().ok();
            cloudevents::check(attribute).map_err(no_cloudevent)?;
            return Ok(self.plain(&content_type, value));
        }
        match Event::decode(&value) {
            Ok(event) => Ok(envelope(event, headers)),
            Err(_) => Ok(self.plain(&content_type, value)),
        }
    }

    /// The value as JSON. What says that it is JSON and is not stays as it is, for the
    /// pipeline to refuse.
    fn plain(&self, content_type: &str, value: Bytes) -> Bytes {
        if self.value.is_none() {
            return Bytes::from_static(b"null");
        }
        let says_json = content_type == "application/json" || content_type.ends_with("+json");
        match says_json || is_json(&value) {
            true => value,
            false => wrapped(&value),
        }
    }
}

/// A CloudEvent in one JSON object.
fn structured(content_type: &str, value: &Bytes, headers: &mut HeaderMap) -> Result<Bytes, Refusal> {
    if content_type != cloudevents::CONTENT_TYPE {
        return Err(Refusal::UnsupportedMediaType(content_type.chars().take(100).collect()));
    }
    let event = cloudevents::read(value).map_err(|error| match error {
        // serde_json may repeat what it read.
        cloudevents::ReadError::Json(error) => {
            no_cloudevent(format!("no JSON object at line {} column {}", error.line(), error.column()))
        }
        cloudevents::ReadError::Attribute(what) => no_cloudevent(what),
    })?;
    let sent: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with("ce_")).cloned().collect();
    sent.into_iter().for_each(|name| drop(headers.remove(name)));
    for (name, value) in &event.attributes {
        set(headers, &format!("ce_{name}"), value);
    }
    Ok(match event.data {
        Data::None => Bytes::from_static(b"null"),
        Data::Json(json) => json,
        Data::Bytes(bytes) if is_json(&bytes) => bytes,
        Data::Bytes(bytes) => wrapped(&bytes),
    })
}

/// An envelope of hook's, taken apart.
fn envelope(event: Event, headers: &mut HeaderMap) -> Bytes {
    let traceparent = trace::traceparent(&event);
    let named = [
        ("webhook-id", Some(event.id.to_string())),
        ("hook-source", Some(event.source)),
        ("hook-event-type", Some(event.event_type)),
        ("hook-subject", event.meta.subject),
        ("hook-ordering-key", event.meta.ordering_key),
        ("traceparent", traceparent),
    ];
    for (name, value) in named {
        match value {
            Some(value) => set(headers, name, &value),
            None => drop(headers.remove(name)),
        }
    }
    event.payload
}

/// Sets a header; of what no header can hold, what is left of it.
fn set(headers: &mut HeaderMap, name: &str, value: &str) {
    let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else { return };
    let clean = || value.replace(char::is_control, " ");
    let value =
        HeaderValue::from_bytes(value.as_bytes()).or_else(|_| HeaderValue::from_bytes(clean().as_bytes()));
    match value {
        Ok(value) => drop(headers.insert(name, value)),
        Err(_) => drop(headers.remove(name)),
    }
}

/// A key as text: itself, or its base64 when it is none.
fn as_text(key: &[u8]) -> String {
    match std::str::from_utf8(key) {
        Ok(text) if !text.contains(char::is_control) => text.to_owned(),
        _ => format!("base64:{}", standard_webhooks::base64(key)),
    }
}

fn wrapped(value: &[u8]) -> Bytes {
    let wrapped = match std::str::from_utf8(value) {
        Ok(text) => json!({ "text": text }),
        Err(_) => json!({ "base64": standard_webhooks::base64(value) }),
    };
    wrapped.to_string().into()
}

fn is_json(value: &[u8]) -> bool {
    serde_json::from_slice::<&RawValue>(value).is_ok()
}

fn essence(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let text = String::from_utf8_lossy(value);
    text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn no_cloudevent(what: impl std::fmt::Display) -> Refusal {
    Refusal::Malformed(format!("the record says that it is a CloudEvent: {what}"))
}

#[cfg(test)]
mod tests;
