//! Requests that are answered and not stored: a challenge, a ping.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::Value;

use super::{
    Source,
    json::Wanted,
    pick::{Pick, Place},
    request::Request,
    spec::{FixedReply, Handshake, SourceSpec},
};
use crate::ports::Reply;

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

impl Source {
    pub(super) fn handshakes(&self, signed: bool, method: &Method) -> impl Iterator<Item = &Handshake> {
        let all = self.spec.handshakes.iter();
        all.filter(move |handshake| handshake.signed == signed && handshake.method == method.as_str())
    }

    /// The answer of the first handshake whose conditions hold.
    pub(super) fn shake(&self, signed: bool, request: &Request) -> Option<Reply> {
        let fill = |pick: &Pick| request.fill(&self.reading, pick);
        let holds = |handshake: &&Handshake| {
            handshake.when.iter().all(|(pick, expected)| fill(pick).unwrap_or_default() == *expected)
        };
        let handshake = self.handshakes(signed, &request.raw.method).find(holds)?;
        answer(handshake, &fill)
    }
}

/// The places that any part of the spec looks at.
pub(super) fn wanted(spec: &SourceSpec) -> Wanted {
    let texts: Vec<Pick> =
        spec.handshakes.iter().filter_map(|handshake| handshake.json.as_ref()).flat_map(picks).collect();
    let places = spec.picks().chain(&texts).flat_map(Pick::places);
    let pointers = places.filter_map(|place| match place {
        Place::Pointer(pointer) => Some(pointer),
        Place::Header(_) | Place::Query(_) => None,
    });
    Wanted::of(pointers.chain(spec.timestamp.iter().filter_map(|rule| rule.pointer.as_ref())))
}

pub(super) fn fixed(reply: &FixedReply) -> Reply {
    Reply {
        status: reply.status,
        content_type: Cow::Owned(reply.content_type.clone()),
        body: Bytes::copy_from_slice(reply.body.as_bytes()),
        headers: HeaderMap::new(),
    }
}

/// None when something that has to be echoed is missing.
fn answer(handshake: &Handshake, fill: &dyn Fn(&Pick) -> Option<String>) -> Option<Reply> {
    let (content_type, body) = match (&handshake.echo, &handshake.json) {
        (Some(pick), _) => (TEXT, fill(pick)?),
        (None, Some(json)) => (JSON, filled(json, fill)?.to_string()),
        (None, None) => (TEXT, String::new()),
    };
    let mut headers = HeaderMap::new();
    for (name, pick) in &handshake.headers {
        let name = HeaderName::from_bytes(name.as_str().as_bytes()).ok()?;
        headers.insert(name, HeaderValue::from_str(&fill(pick)?).ok()?);
    }
    Some(Reply { status: handshake.status, content_type: content_type.into(), body: body.into(), headers })
}

/// The same JSON with its texts filled in.
fn filled(json: &Value, fill: &dyn Fn(&Pick) -> Option<String>) -> Option<Value> {
    match json {
        Value::String(text) => fill(&Pick::parse(text).ok()?).map(Value::String),
        Value::Array(items) => items.iter().map(|item| filled(item, fill)).collect(),
        Value::Object(entries) => {
            entries.iter().map(|(key, value)| Some((key.clone(), filled(value, fill)?))).collect()
        }
        other => Some(other.clone()),
    }
}

/// The texts in a JSON value that are filled in.
fn picks(json: &Value) -> Vec<Pick> {
    match json {
        Value::String(text) => Pick::parse(text).into_iter().collect(),
        Value::Array(items) => items.iter().flat_map(picks).collect(),
        Value::Object(entries) => entries.values().flat_map(picks).collect(),
        _ => Vec::new(),
    }
}
