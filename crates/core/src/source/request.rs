//! A request as the engine looks at it: headers and query at once, the body only
//! when something asks, and then only once.
//!
//! INVARIANT: the payload is the sender's bytes. A form's JSON is decoded from its
//! form, which is the one thing that is ever done to it.

use std::sync::OnceLock;

use bytes::Bytes;
use http::header::CONTENT_TYPE;

use super::{
    json::{Found, Pointer, Wanted},
    pick::{Pick, Place},
    spec::Header,
};
use crate::ports::{RawEvent, Refusal};

pub(super) struct Request {
    pub(super) raw: RawEvent,
    body: OnceLock<Result<Body, Refusal>>,
}

/// A body that is JSON, with what is wanted of it.
pub(super) struct Body {
    pub(super) payload: Bytes,
    pub(super) found: Found,
}

/// How bodies of a source are read.
pub(super) struct Reading {
    pub(super) form_field: Option<String>,
    pub(super) wanted: Wanted,
}

impl Request {
    pub(super) fn new(raw: RawEvent) -> Self {
        Self { raw, body: OnceLock::new() }
    }

    /// The body, read the first time that somebody asks.
    pub(super) fn body(&self, reading: &Reading) -> Result<&Body, Refusal> {
        self.body.get_or_init(|| reading.read(&self.raw)).as_ref().map_err(Clone::clone)
    }

    /// The one value of a header; none when it is missing, repeated or not UTF-8.
    pub(super) fn header(&self, header: &Header) -> Option<&str> {
        let mut values = self.raw.headers.get_all(header.as_str()).iter();
        let value = std::str::from_utf8(values.next()?.as_bytes()).ok()?;
        values.next().is_none().then(|| value.trim())
    }

    /// What the body has at a place.
    pub(super) fn inside<'a>(&'a self, reading: &Reading, pointer: &Pointer) -> Option<&'a str> {
        reading.wanted.value(&self.body(reading).ok()?.found, pointer)
    }

    /// Fills a text in from this request.
    pub(super) fn fill(&self, reading: &Reading, pick: &Pick) -> Option<String> {
        pick.fill(&|place| match place {
            Place::Pointer(pointer) => self.inside(reading, pointer).map(str::to_owned),
            outside => self.outside(outside),
        })
    }

    /// What stands at a place that is not in the body.
    pub(super) fn outside(&self, place: &Place) -> Option<String> {
        match place {
            Place::Header(header) => self.header(header).map(str::to_owned),
            Place::Query(name) => form_field(self.raw.query.as_deref()?.as_bytes(), name).ok()?,
            Place::Pointer(_) => None,
        }
    }
}

impl Reading {
    fn read(&self, raw: &RawEvent) -> Result<Body, Refusal> {
        if raw.body.is_empty() {
            return Err(Refusal::Malformed("the body is empty".to_owned()));
        }
        let payload = match self.form(raw)? {
            Some(field) => form_payload(&raw.body, field)?,
            None => raw.body.clone(),
        };
        let text = utf8(&payload)?;
        let found = self.wanted.scan(text).map_err(|error| malformed_json(&error))?;
        Ok(Body { payload, found })
    }

    /// The form's field that holds the event, or none when the body is the event.
    fn form(&self, raw: &RawEvent) -> Result<Option<&str>, Refusal> {
        let Some(value) = raw.headers.get(CONTENT_TYPE) else { return Ok(None) };
        let value = String::from_utf8_lossy(value.as_bytes());
        let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match (essence.as_str(), &self.form_field) {
            ("" | "application/json", _) => Ok(None),
            ("application/x-www-form-urlencoded", Some(field)) => Ok(Some(field)),
            (other, _) if other.starts_with("application/") && other.ends_with("+json") => Ok(None),
            (other, _) => Err(Refusal::UnsupportedMediaType(other.chars().take(100).collect())),
        }
    }
}

/// A JSON error for the sender: where, and never what stood there.
pub(super) fn malformed_json(error: &serde_json::Error) -> Refusal {
    let (line, column) = (error.line(), error.column());
    let reason = match error.classify() {
        serde_json::error::Category::Eof => "ends too early",
        _ if error.to_string().starts_with("recursion limit") => "is nested too deeply",
        _ => "is not JSON",
    };
    Refusal::Malformed(format!("the body {reason} at line {line} column {column}"))
}

pub(super) fn utf8(payload: &[u8]) -> Result<&str, Refusal> {
    std::str::from_utf8(payload).map_err(|_| Refusal::Malformed("the body is not UTF-8".to_owned()))
}

fn form_payload(body: &[u8], field: &str) -> Result<Bytes, Refusal> {
    match form_field(body, field)? {
        Some(text) => Ok(text.into()),
        None => Err(Refusal::Malformed(format!("the form has no field `{field}`"))),
    }
}

/// The one value of a field in `a=1&b=2`.
fn form_field(form: &[u8], name: &str) -> Result<Option<String>, Refusal> {
    let mut found = None;
    for pair in form.split(|byte| *byte == b'&') {
        let mut halves = pair.splitn(2, |byte| *byte == b'=');
        let (key, value) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
        if decode(key) != name.as_bytes() {
            continue;
        }
        if found.is_some() {
            return Err(Refusal::Malformed(format!("the field `{name}` is there more than once")));
        }
        let text = String::from_utf8(decode(value));
        found = Some(text.map_err(|_| Refusal::Malformed(format!("the field `{name}` is not UTF-8")))?);
    }
    Ok(found)
}

/// `+` and `%41`; a `%` that is no escape stands for itself.
fn decode(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        let escaped = tail.get(..2).filter(|_| *first == b'%').and_then(|pair| hex::decode(pair).ok());
        match (first, escaped) {
            (_, Some(byte)) => {
                out.extend(byte);
                rest = &tail[2..];
            }
            (b'+', None) => {
                out.push(b' ');
                rest = tail;
            }
            (byte, None) => {
                out.push(*byte);
                rest = tail;
            }
        }
    }
    out
}
