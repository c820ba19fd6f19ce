//! The pipeline, knowing no transport.
//!
//! `contract` (as written) → `plan` (one profile, every reference resolved) →
//! what the binary builds and runs. `pipeline::accept` is left of the log, where
//! a sender is waiting; `pipeline::deliver` is right of it, where nobody is.

pub mod contract;
pub mod driver;
pub mod expr;
pub mod glob;
pub mod inherited;
pub mod journal;
pub mod metrics;
pub mod pipeline;
pub mod plan;
pub mod plugin;
pub mod ports;
pub mod secret;
pub mod source;
pub mod testing;
pub mod to_the_end;
