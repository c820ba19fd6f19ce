//! Hooks in your own process: the [`Hook`] port and the [`Chain`].
//!
//! A plugin in a contract and a hook in a host program are the same trait, and
//! run by the same chain.

mod chain;
mod hook;

pub use chain::{Chain, ChainBuilder, Denial, Outcome, Step};
pub use hook::{Context, Hook, HookError, OnFailure, Point, Verdict};
