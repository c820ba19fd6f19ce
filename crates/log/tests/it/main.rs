//! Everything that needs a log opened as its users open it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod crash;
mod embedded;
mod fuzz;
mod memory;
mod repair;
mod retention;
mod support;
