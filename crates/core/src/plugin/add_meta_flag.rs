//! `add_meta_flag`: notes a flag in the event's `meta.flags`.
//!
//! The payload stays as it was sent. A flag that is there already is not repeated.

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
    name: "add_meta_flag",
    summary: "Notes a flag in the event's meta.",
    example: "flag = \"reviewed\"",
    parse: |keys| Ok(Arc::new(Config::deserialize(ValueDeserializer::from(keys))?)),
    schema: |generator| generator.subschema_for::<Config>(),
};

/// Notes a flag in the event's meta.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "AddMetaFlag")]
struct Config {
    /// The flag, not empty.
    #[schemars(with = "String", length(min = 1))]
    flag: Flag,
}

/// A flag: any text but the empty one.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Flag(String);

impl TryFrom<String> for Flag {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.is_empty() {
            Err("the flag is empty, write a word such as `reviewed`")
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
        let mut event = event.clone();
        event.meta.add_flag(&self.flag.0);
        Ok(Verdict::Modify(Box::new(event)))
    }
}
