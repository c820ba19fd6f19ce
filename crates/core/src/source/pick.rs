//! A text that is filled in from a request: `{X-GitHub-Event}[.{/action}]`.
//!
//! `{/a/b}` is a place in the body (JSON pointer), `{?name}` a query parameter and
//! `{Name}` a header. `[…]` is left out when something inside it is missing;
//! anything else that is missing makes the whole text missing.

use std::fmt;

use http::HeaderMap;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use super::{json::Pointer, spec::Header};

/// A text with places in it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pick(Vec<Part>);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Literal(String),
    Place(Place),
    Optional(Vec<Part>),
}

/// Where a value is to be found.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Header(Header),
    Query(String),
    Pointer(Pointer),
}

impl Pick {
    /// Reads `{X-GitHub-Event}[.{/action}]`.
    ///
    /// # Errors
    /// When a bracket is not closed, or a place is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find('[') {
            let end = rest[at..].find(']').ok_or_else(|| format!("`[` is not closed in `{text}`"))? + at;
            places(&rest[..at], &mut parts)?;
            let mut inner = Vec::new();
            places(&rest[at + 1..end], &mut inner)?;
            parts.push(Part::Optional(inner));
            rest = &rest[end + 1..];
        }
        places(rest, &mut parts)?;
        Ok(Self(parts))
    }

    /// The text, or none when a place that it needs is empty or missing.
    pub(super) fn fill(&self, look: &dyn Fn(&Place) -> Option<String>) -> Option<String> {
        fill(&self.0, look).filter(|text| !text.is_empty())
    }

    /// The text, filled in from headers alone; none when a place that it needs is not there.
    pub fn fill_from(&self, headers: &HeaderMap) -> Option<String> {
        let text = |header: &Header| headers.get(header.as_str()).map(|value| value.as_bytes());
        self.fill(&|place| match place {
            Place::Header(header) => Some(std::str::from_utf8(text(header)?).ok()?.to_owned()),
            Place::Query(_) | Place::Pointer(_) => None,
        })
    }

    /// The whole text, where there is no place in it.
    pub fn literal(&self) -> Option<&str> {
        match self.0.as_slice() {
            [Part::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// Whether it looks at headers alone.
    pub fn needs_only_headers(&self) -> bool {
        self.places().all(|place| matches!(place, Place::Header(_)))
    }

    /// The places in it.
    pub(super) fn places(&self) -> impl Iterator<Item = &Place> {
        self.0.iter().flat_map(Part::places)
    }

    /// The header that the whole text begins with, and whether it is the whole text.
    pub(super) fn leading_header(&self) -> Option<(&Header, bool)> {
        match self.0.first() {
            Some(Part::Place(Place::Header(header))) => Some((header, self.0.len() == 1)),
            _ => None,
        }
    }

    /// Whether it looks into the body.
    pub(super) fn looks_inside(&self) -> bool {
        self.places().any(|place| matches!(place, Place::Pointer(_)))
    }
}

impl Part {
    fn places(&self) -> Box<dyn Iterator<Item = &Place> + '_> {
        match self {
            Self::Literal(_) => Box::new(std::iter::empty()),
            Self::Place(place) => Box::new(std::iter::once(place)),
            Self::Optional(parts) => Box::new(parts.iter().flat_map(Self::places)),
        }
    }
}

impl Place {
    fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with('/') {
            return Pointer::parse(text).map(Self::Pointer);
        }
        match text.strip_prefix('?') {
            Some("") => Err("`{?}` needs the name of a query parameter".to_owned()),
            Some(name) => Ok(Self::Query(name.to_owned())),
            None => Header::parse(text).map(Self::Header),
        }
    }
}

fn fill(parts: &[Part], look: &dyn Fn(&Place) -> Option<String>) -> Option<String> {
    let mut out = String::new();
    for part in parts {
        match part {
            Part::Literal(text) => out.push_str(text),
            Part::Place(place) => out.push_str(&look(place).filter(|text| !text.is_empty())?),
            Part::Optional(inner) => out.push_str(&fill(inner, look).unwrap_or_default()),
        }
    }
    Some(out)
}

fn places(text: &str, parts: &mut Vec<Part>) -> Result<(), String> {
    let mut rest = text;
    while let Some((literal, after)) = rest.split_once('{') {
        let (place, after) =
            after.split_once('}').ok_or_else(|| format!("`{{` is not closed in `{text}`"))?;
        push(literal, parts);
        parts.push(Part::Place(Place::parse(place)?));
        rest = after;
    }
    push(rest, parts);
    Ok(())
}

fn push(literal: &str, parts: &mut Vec<Part>) {
    if !literal.is_empty() {
        parts.push(Part::Literal(literal.to_owned()));
    }
}

impl<'de> Deserialize<'de> for Pick {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl JsonSchema for Pick {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Pick".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A text with places: `{Header}`, `{/json/pointer}`, `{?query}`; `[…]` may be missing.",
        })
    }
}

/// As it was written.
impl fmt::Display for Pick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| part.fmt(f))
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(text) => f.write_str(text),
            Self::Place(Place::Header(header)) => write!(f, "{{{}}}", header.as_str()),
            Self::Place(Place::Query(name)) => write!(f, "{{?{name}}}"),
            Self::Place(Place::Pointer(pointer)) => write!(f, "{{{pointer}}}"),
            Self::Optional(parts) => {
                f.write_str("[")?;
                parts.iter().try_for_each(|part| part.fmt(f))?;
                f.write_str("]")
            }
        }
    }
}

/// As the contract writes it.
impl Serialize for Pick {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Debug for Pick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&str>) {
        let look = |place: &Place| match place {
            Place::Header(header) if header.as_str() == "x-event" => Some("push".to_owned()),
            Place::Query(name) if name == "hub.mode" => Some("subscribe".to_owned()),
            Place::Pointer(pointer) if pointer.to_string() == "/a/b" => Some("opened".to_owned()),
            _ => None,
        };
        assert_eq!(Pick::parse(text).unwrap().fill(&look).as_deref(), expected, "{text}");
    }

    #[test]
    fn a_text_is_filled_in_or_missing_as_a_whole() {
        check("{X-Event}[.{/a/b}]", Some("push.opened"));
        check("{X-Event}[.{/none}]", Some("push"));
        check("{X-Event}.{/none}", None);
        check("{x-event}#{?hub.mode}", Some("push#subscribe"));
        check("event", Some("event"));
        check("[{/none}]", None);
        check("", None);
    }

    #[test]
    fn a_text_that_cannot_be_filled_in_is_refused() {
        for (text, says) in [
            ("{X-Event", "`{` is not closed"),
            ("[.{/a}", "`[` is not closed"),
            ("{no header}", "`no header` is not a header's name"),
            ("{}", "`` is not a header's name"),
            ("{?}", "query parameter"),
            ("{/a~2}", "`~`"),
        ] {
            let error = Pick::parse(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
