//! What a user of this crate can and cannot do.
#![expect(clippy::unwrap_used, reason = "a test says what broke by panicking")]

mod relay_lines;
mod unverified;
