//! CloudEvents 1.0.2: an event as any CloudEvents reader understands it, structured (one
//! JSON object) or binary (attributes beside the data), and the structured form read back.
//!
//! `(source, id)` names the event as the specification asks. Extension attributes
//! have lower-case alphanumeric names: `traceparent`, `partitionkey`, `redelivery`.
//! `data` is the sender's JSON text, inserted and taken out untouched. How a transport
//! spells the attributes (`ce_id`, `ce-id`) is the transport's.

use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, value::RawValue};

use crate::{Event, EventId, standard_webhooks, trace};

/// The media type of [`structured`].
pub const CONTENT_TYPE: &str = "application/cloudevents+json";

/// A structured CloudEvent, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Structured {
    /// Its attributes as text, by name; always with `specversion`, `id`, `source` and `type`.
    pub attributes: BTreeMap<String, String>,
    /// What it is about.
    pub data: Data,
}

/// The data of a structured CloudEvent.
#[derive(Clone, PartialEq, Eq)]
pub enum Data {
    /// There is none.
    None,
    /// JSON, as it was written.
    Json(Bytes),
    /// Bytes that were written in base64.
    Bytes(Bytes),
}

/// Why a text is no CloudEvent of this version.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is no JSON object.
    #[error("not a CloudEvent: {0}")]
    Json(#[from] serde_json::Error),
    /// An attribute is missing or wrong.
    #[error("not a CloudEvent: {0}")]
    Attribute(String),
}

/// Reads a structured CloudEvent; JSON data is a slice of `text`, not a copy.
///
/// # Errors
/// When `text` is no object, lacks an attribute, or is of another version.
pub fn read(text: &Bytes) -> Result<Structured, ReadError> {
    let fields: BTreeMap<String, &RawValue> = serde_json::from_slice(text)?;
    let mut attributes = BTreeMap::new();
    for (name, raw) in fields.iter().filter(|(name, _)| !matches!(name.as_str(), "data" | "data_base64")) {
        match serde_json::from_str(raw.get())? {
            Value::Null => {}
            Value::String(value) => drop(attributes.insert(name.clone(), value)),
            Value::Bool(value) => drop(attributes.insert(name.clone(), value.to_string())),
            Value::Number(value) => drop(attributes.insert(name.clone(), value.to_string())),
            Value::Array(_) | Value::Object(_) => {
                return Err(ReadError::Attribute(format!(
                    "the attribute `{name}` is no text, number or boolean"
                )));
            }
        }
    }
    check(|name| attributes.get(name).map(String::as_str)).map_err(ReadError::Attribute)?;
    Ok(Structured { attributes, data: data(text, &fields)? })
}

/// What is wrong with the attributes that every CloudEvent has, if anything is.
///
/// # Errors
/// The attribute, and what it should be.
pub fn check<'a>(attribute: impl Fn(&str) -> Option<&'a str>) -> Result<(), String> {
    match attribute("specversion") {
        Some(version) if version == "1.0" || version.starts_with("1.0.") => {}
        Some(_) => return Err("`specversion` is not `1.0`".to_owned()),
        None => return Err("the attribute `specversion` is missing".to_owned()),
    }
    match ["id", "source", "type"].into_iter().find(|name| attribute(name).is_none_or(str::is_empty)) {
        Some(name) => Err(format!("the attribute `{name}` is missing or empty")),
        None => Ok(()),
    }
}

fn data(text: &Bytes, fields: &BTreeMap<String, &RawValue>) -> Result<Data, ReadError> {
    match (fields.get("data"), fields.get("data_base64")) {
        (Some(_), Some(_)) => Err(ReadError::Attribute("it has both `data` and `data_base64`".to_owned())),
        (Some(raw), None) => Ok(Data::Json(text.slice_ref(raw.get().as_bytes()))),
        (None, Some(raw)) => {
            let encoded: String = serde_json::from_str(raw.get())?;
            let decoded = standard_webhooks::from_base64(&encoded);
            let wrong = || ReadError::Attribute("`data_base64` is not base64".to_owned());
            Ok(Data::Bytes(decoded.ok_or_else(wrong)?.into()))
        }
        (None, None) => Ok(Data::None),
    }
}

/// The event's attributes, for a transport that carries them beside the data.
pub fn attributes(event: &Event) -> Vec<(&'static str, String)> {
    let head = head(event);
    let always = [
        ("specversion", head.specversion.to_owned()),
        ("id", head.id.to_string()),
        ("source", head.source.to_owned()),
        ("type", head.kind.to_owned()),
        ("time", head.time.to_string()),
    ];
    let some = [
        ("subject", head.subject.map(str::to_owned)),
        ("traceparent", head.traceparent),
        ("partitionkey", head.partitionkey.map(str::to_owned)),
        ("redelivery", head.redelivery.map(str::to_owned)),
    ];
    always.into_iter().chain(some.into_iter().filter_map(|(name, value)| Some((name, value?)))).collect()
}

/// The event as a structured CloudEvent.
pub fn structured(event: &Event) -> Bytes {
    let head = head(event);
    let mut out = Vec::with_capacity(event.payload.len() + 384);
    #[expect(clippy::expect_used, reason = "plain strings and a Vec cannot fail to serialize")]
    serde_json::to_writer(&mut out, &head).expect("a CloudEvent's attributes are always JSON");
    out.pop();
    out.extend_from_slice(b",\"data\":");
    out.extend_from_slice(&event.payload);
    out.push(b'}');
    out.into()
}

fn head(event: &Event) -> Head<'_> {
    Head {
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
    }
}

/// Shows the size only.
impl std::fmt::Debug for Data {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Json(data) => write!(f, "Json({} bytes)", data.len()),
            Self::Bytes(data) => write!(f, "Bytes({} bytes)", data.len()),
        }
    }
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

    #[test]
    fn what_was_written_structured_is_read_back() {
        let meta = Meta { subject: Some("acme/api#42".into()), ..Meta::default() };
        let event = event(meta, b"{\"n\" : 1.50}");
        let read = read(&structured(&event)).unwrap();
        assert_eq!(read.data, Data::Json(event.payload.clone()));
        for (name, value) in attributes(&event) {
            assert_eq!(read.attributes.get(name), Some(&value), "{name}");
        }
        assert_eq!(read.attributes.len(), attributes(&event).len() + 1, "and `datacontenttype`");
    }

    #[test]
    fn what_is_no_cloudevent_is_refused_and_says_why() {
        let check = |text: &'static str, expected: Result<Data, &str>| {
            let found = read(&Bytes::from_static(text.as_bytes())).map(|read| read.data);
            match (found, expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{text}"),
                (Err(error), Err(says)) => assert!(error.to_string().contains(says), "{text}: {error}"),
                (found, _) => panic!("{text}: {found:?}"),
            }
        };
        check(r#"{"specversion":"1.0","id":"1","source":"/a","type":"t"}"#, Ok(Data::None));
        check(
            r#"{"specversion":"1.0","id":"1","source":"/a","type":"t","n":7,"x":null,"data_base64":"AQI="}"#,
            Ok(Data::Bytes(Bytes::from_static(&[1, 2]))),
        );
        check("[]", Err("invalid type"));
        check(r#"{"id":"1","source":"/a","type":"t"}"#, Err("`specversion` is missing"));
        check(r#"{"specversion":"0.3","id":"1","source":"/a","type":"t"}"#, Err("is not `1.0`"));
        check(r#"{"specversion":"1.0","id":"","source":"/a","type":"t"}"#, Err("`id` is missing or empty"));
        check(r#"{"specversion":"1.0","id":"1","source":"/a"}"#, Err("`type` is missing"));
        check(r#"{"specversion":"1.0","id":"1","source":"/a","type":"t","o":{}}"#, Err("`o` is no text"));
        check(
            r#"{"specversion":"1.0","id":"1","source":"/a","type":"t","data":1,"data_base64":"AQI="}"#,
            Err("both"),
        );
        check(
            r#"{"specversion":"1.0","id":"1","source":"/a","type":"t","data_base64":"~"}"#,
            Err("not base64"),
        );
    }
}
