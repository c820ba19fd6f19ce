//! Plugins: the hooks that a contract can configure under `plugins`.
//!
//! They work on both sides of the log, in the order in which they are written, and
//! fail closed. Each file holds one driver; what a contract can name is [`PLUGINS`].

use hook_sdk::Point;

use crate::driver::PluginDriver;

mod add_meta_flag;
mod event_type_alias;
mod non_empty;
mod require_payload_field;

/// Every plugin driver, alphabetical.
pub const PLUGINS: &[PluginDriver] =
    &[add_meta_flag::DRIVER, event_type_alias::DRIVER, require_payload_field::DRIVER];

/// A plugin is asked on whichever side it was written.
const BOTH_SIDES: &[Point] = &[Point::Accept, Point::Deliver];

#[cfg(test)]
mod tests;
