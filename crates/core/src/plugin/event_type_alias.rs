//! `event_type_alias`: gives one event type another name.
//!
//! Only an event type that is exactly `from` is renamed; routes see the new name.

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
    name: "event_type_alias",
    summary: "Renames one event type.",
    example: "from = \"pull_request.opened\"\nto = \"review.requested\"",
    parse: |keys| Ok(Arc::new(Config::deserialize(ValueDeserializer::from(keys))?)),
    schema: |generator| generator.subschema_for::<Config>(),
};

/// Renames one event type.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "EventTypeAlias")]
struct Config {
    /// The event type to rename, compared exactly.
    #[schemars(with = "String", length(min = 1))]
    from: EventType,
    /// Its new name.
    #[schemars(with = "String", length(min = 1))]
    to: EventType,
}

/// An event type: any text but the empty one.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct EventType(String);

impl TryFrom<String> for EventType {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.is_empty() {
            Err("the event type is empty, write one such as `push`")
        } else {
            Ok(Self(text))
        }
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
        if event.event_type != self.from.0 {
            return Ok(Verdict::Allow);
        }
        let mut event = event.clone();
        event.event_type.clone_from(&self.to.0);
        Ok(Verdict::Modify(Box::new(event)))
    }
}
