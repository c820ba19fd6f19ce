//! The relay: records of some topics, carried to a topic of the same log or another.
//!
//! One loop per bridge (`engine`): read a batch, map each record (`map`), publish the
//! batch, settle it, read on. What publishing and settling mean together is the
//! [`Link`]'s affair; the loop decides what an error means and is the only one to wait.
//!
//! INVARIANTS: nothing is settled that was neither published nor durably dead-lettered;
//! records leave in the order in which they came, so those of a key stay in order; what
//! is held is bounded in records and bytes however long the target is away.
//!
//! A target that is not there is waited for without an end. A record that can never
//! arrive (no envelope, too large, refused again and again) becomes a dead letter that
//! names its position, and the next one goes on.

mod engine;
mod map;
mod note;
mod pending;
mod status;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use hook_event::{Clock, Entropy};
use hook_log::{Topic, forward::Link};
use tokio_util::sync::CancellationToken;

pub use status::{BridgeStatus, Snapshot, State};

use self::engine::Engine;
use crate::{metrics::Metrics, plan::BridgePlan, ports::RunError};

/// What every bridge shares.
#[derive(Clone)]
pub struct RelayContext {
    /// The process's counters.
    pub metrics: Arc<Metrics>,
    /// The time.
    pub clock: Clock,
    /// Randomness, for jitter.
    pub entropy: Entropy,
}

/// One bridge.
pub struct Relay(Engine);

impl Relay {
    /// A bridge as the plan says, over `link`; `dead_letters` is the topic of dead letters
    /// in the log that is read.
    pub fn new(plan: BridgePlan, link: Arc<dyn Link>, dead_letters: Topic, context: &RelayContext) -> Self {
        Self(Engine::new(plan, link, dead_letters, context))
    }

    /// What an operator sees of it; it stays valid while and after it runs.
    pub fn status(&self) -> Arc<BridgeStatus> {
        self.0.status()
    }

    /// Carries records until `stop`; then finishes the batch under way, settles it and returns.
    ///
    /// # Errors
    /// When a log was closed while it still ran.
    pub async fn run(self, stop: CancellationToken) -> Result<(), RunError> {
        self.0.run(stop).await
    }
}
