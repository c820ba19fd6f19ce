//! One file or folder per driver.
//!
//! A driver is a row of [`INGRESS`] or [`EGRESS`]; the contract's checker, the
//! schema, the docs and the tests all iterate these tables. Adding one touches its
//! own file and one line here. What several drivers share and no driver owns:
//! `body` (what an event becomes on the wire), `client` (one guarded HTTP attempt),
//! `guard` (which networks may be called), `listener` (where an ingress listens) and
//! `row` (how a row reads its keys).

mod body;
mod client;
mod guard;
mod http_output;
mod http_webhook_ingress;
mod jsonl_output;
mod listener;
mod openclaw_http_output;
mod row;
mod stdout_output;
#[cfg(test)]
mod testing;

use hook_core::driver::{EgressDriver, IngressDriver};

/// Drivers that bring events in, alphabetical.
pub const INGRESS: &[IngressDriver] = &[http_webhook_ingress::DRIVER];

/// Drivers that take events out, alphabetical.
pub const EGRESS: &[EgressDriver] =
    &[http_output::DRIVER, jsonl_output::DRIVER, openclaw_http_output::DRIVER, stdout_output::DRIVER];
