//! `require_payload_field`: stops an event whose payload lacks a field.
//!
//! The field is named by a JSON Pointer (RFC 6901). It must be there; what it holds,
//! `null` included, is the sender's business.

use std::sync::Arc;

use async_trait::async_trait;
use hook_event::Event;
use hook_sdk::{Context, Hook, HookError, Point, Verdict};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de::Error};
use toml::de::ValueDeserializer;

use super::BOTH_SIDES;
use crate::{
    driver::{PluginDriver, as_settings},
    source::Pointer,
};

/// The row of the table.
pub(super) const DRIVER: PluginDriver = PluginDriver {
    name: "require_payload_field",
    summary: "Stops an event whose payload lacks a field.",
    example: "pointer = \"/repository/id\"",
    parse: |keys| Ok(Arc::new(Config::deserialize(ValueDeserializer::from(keys))?)),
    schema: |generator| generator.subschema_for::<Config>(),
};

/// Stops an event whose payload lacks a field.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RequirePayloadField")]
struct Config {
    /// The field as a JSON Pointer: `/repository/id`.
    #[serde(deserialize_with = "inside")]
    #[schemars(with = "String", regex(pattern = "^/"))]
    pointer: Pointer,
}

/// A place inside the payload: the whole of it is always there.
fn inside<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Pointer, D::Error> {
    let pointer = Pointer::deserialize(deserializer)?;
    match pointer.is_whole() {
        true => {
            Err(D::Error::custom("the whole payload is always there, name a field such as `/repository/id`"))
        }
        false => Ok(pointer),
    }
}

#[async_trait]
impl Hook for Config {
    fn name(&self) -> &str {
        DRIVER.name
    }

    fn settings(&self) -> serde_json::Value {
        as_settings(self)
    }

    fn points(&self) -> &[Point] {
        BOTH_SIDES
    }

    async fn call(&self, event: &Event, _context: &Context) -> Result<Verdict, HookError> {
        let payload = event.payload_json().map_err(|_| HookError("the payload is not JSON".into()))?;
        match self.pointer.find(&payload) {
            Some(_) => Ok(Verdict::Allow),
            None => Ok(Verdict::Deny(format!("the payload has no `{}`", self.pointer))),
        }
    }
}
