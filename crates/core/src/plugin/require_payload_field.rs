//! `require_payload_field`: stops an event whose payload lacks a field.
//!
//! The field is named by a JSON Pointer (RFC 6901). It must be there; what it holds,
//! `null` included, is the sender's business.

use std::sync::Arc;

use async_trait::async_trait;
use hook_event::Event;
use hook_sdk::{Context, Hook, HookError, Point, Verdict};
use schemars::JsonSchema;
use serde::Deserialize;
use toml::de::ValueDeserializer;

use super::BOTH_SIDES;
use crate::driver::PluginDriver;

/// The row of the table.
pub(super) const DRIVER: PluginDriver = PluginDriver {
    name: "require_payload_field",
    summary: "Stops an event whose payload lacks a field.",
    example: "pointer = \"/repository/id\"",
    parse: |keys| Ok(Arc::new(Config::deserialize(ValueDeserializer::from(keys))?)),
    schema: |generator| generator.subschema_for::<Config>(),
};

/// Stops an event whose payload lacks a field.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RequirePayloadField")]
struct Config {
    /// The field as a JSON Pointer: `/repository/id`.
    #[schemars(with = "String", regex(pattern = "^/"))]
    pointer: Pointer,
}

/// A JSON Pointer to something inside the payload.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Pointer(String);

impl TryFrom<String> for Pointer {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if !text.starts_with('/') {
            return Err(format!("`{text}` is no JSON Pointer: it starts with `/`, such as `/repository/id`"));
        }
        let mut rest = text.split('~').skip(1);
        if rest.any(|after| !after.starts_with(['0', '1'])) {
            return Err(format!("`{text}` is no JSON Pointer: `~` is written `~0`, and `/` in a name `~1`"));
        }
        Ok(Self(text))
    }
}

#[async_trait]
impl Hook for Config {
    fn name(&self) -> &str {
        DRIVER.name
    }

    fn settings(&self) -> String {
        format!("{self:?}")
    }

    fn points(&self) -> &[Point] {
        BOTH_SIDES
    }

    async fn call(&self, event: &Event, _context: &Context) -> Result<Verdict, HookError> {
        let payload = event.payload_json().map_err(|_| HookError("the payload is not JSON".into()))?;
        match payload.pointer(&self.pointer.0) {
            Some(_) => Ok(Verdict::Allow),
            None => Ok(Verdict::Deny(format!("the payload has no `{}`", self.pointer.0))),
        }
    }
}
