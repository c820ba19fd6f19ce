//! `event_type_alias`: gives one event type another name.
//!
//! Only an event type that is exactly `from` is renamed; routes see the new name.

use std::sync::Arc;

use async_trait::async_trait;
use hook_event::Event;
use hook_sdk::{Context, Hook, HookError, Point, Verdict};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::de::ValueDeserializer;

use super::{BOTH_SIDES, non_empty::NonEmpty};
use crate::driver::{PluginDriver, as_settings};

/// The row of the table.
pub(super) const DRIVER: PluginDriver = PluginDriver {
    name: "event_type_alias",
    summary: "Renames one event type.",
    example: "from = \"pull_request.opened\"\nto = \"review.requested\"",
    parse: |keys| Ok(Arc::new(Config::deserialize(ValueDeserializer::from(keys))?)),
    schema: |generator| generator.subschema_for::<Config>(),
};

/// Renames one event type.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "EventTypeAlias")]
struct Config {
    /// The event type to rename, compared exactly.
    from: NonEmpty,
    /// Its new name.
    to: NonEmpty,
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
        if event.event_type != *self.from {
            return Ok(Verdict::Allow);
        }
        let mut event = event.clone();
        event.event_type = self.to.to_string();
        Ok(Verdict::Modify(Box::new(event)))
    }
}
