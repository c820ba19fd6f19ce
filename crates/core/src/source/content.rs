//! What is signed: a text such as `v0:{timestamp}:{body}`.
//!
//! The parts are handed to the hash one after another, so the body is never
//! copied, and never written anew.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// The signed content's parts, in order.
#[derive(Clone, PartialEq, Eq)]
pub struct Content(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Name(Name),
}

/// What a part stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Id,
    Timestamp,
    Body,
    Url,
    Method,
}

const NAMES: &[(&str, Name)] = &[
    ("body", Name::Body),
    ("id", Name::Id),
    ("method", Name::Method),
    ("timestamp", Name::Timestamp),
    ("url", Name::Url),
];

impl Content {
    /// Nothing but the body.
    pub(super) fn body() -> Self {
        Self(vec![Part::Name(Name::Body)])
    }

    /// Reads `v0:{timestamp}:{body}`.
    ///
    /// # Errors
    /// When a `{name}` is none of the known ones, or is not closed.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((literal, after)) = rest.split_once('{') {
            let (name, after) =
                after.split_once('}').ok_or_else(|| format!("`{{` is not closed in `{text}`"))?;
            let Some((_, found)) = NAMES.iter().find(|(known, _)| *known == name) else {
                let known: Vec<String> = NAMES.iter().map(|(name, _)| format!("`{{{name}}}`")).collect();
                return Err(format!("`{{{name}}}` is not known here, expected one of {}", known.join(", ")));
            };
            parts.push(Part::Literal(literal.to_owned()));
            parts.push(Part::Name(*found));
            rest = after;
        }
        parts.push(Part::Literal(rest.to_owned()));
        parts.retain(|part| *part != Part::Literal(String::new()));
        Ok(Self(parts))
    }

    pub(super) fn uses(&self, name: Name) -> bool {
        self.0.contains(&Part::Name(name))
    }

    /// The parts, with what each name stands for.
    pub(super) fn fill<'a>(&'a self, value: impl Fn(Name) -> Cow<'a, [u8]>) -> Vec<Cow<'a, [u8]>> {
        let fill = |part: &'a Part| match part {
            Part::Literal(text) => Cow::Borrowed(text.as_bytes()),
            Part::Name(name) => value(*name),
        };
        self.0.iter().map(fill).collect()
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl JsonSchema for Content {
    fn schema_name() -> Cow<'static, str> {
        "Content".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "What is signed, made of `{id}`, `{timestamp}`, `{body}`, `{url}` and `{method}`.",
        })
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Literal(text) => f.write_str(text),
            Part::Name(name) => {
                let text = NAMES.iter().find(|(_, known)| known == name).map_or("", |(text, _)| text);
                write!(f, "{{{text}}}")
            }
        })
    }
}

/// As the contract writes it.
impl Serialize for Content {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.0).finish()
    }
}
