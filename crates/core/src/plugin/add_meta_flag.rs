//! `add_meta_flag`: notes a flag in the event's `meta.flags`.
//!
//! The payload stays as it was sent. A flag that is there already is not repeated.

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
    name: "add_meta_flag",
    summary: "Notes a flag in the event's meta.",
    example: "flag = \"reviewed\"",
    parse: |keys| Ok(Arc::new(Config::deserialize(ValueDeserializer::from(keys))?)),
    schema: |generator| generator.subschema_for::<Config>(),
};

/// Notes a flag in the event's meta.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "AddMetaFlag")]
struct Config {
    /// The flag, not empty.
    flag: NonEmpty,
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
        let mut event = event.clone();
        event.meta.add_flag(&self.flag);
        Ok(Verdict::Modify(Box::new(event)))
    }
}
