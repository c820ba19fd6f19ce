//! The right half of the pipeline: stored events, taken to their destinations.
//!
//! Every destination is a [`Delivery`] with a subscription of its own, so one that
//! is dead delays nobody else. Its loop (`engine`) reads, tries and commits; what
//! an answer means for an event is in `settle`; which events may be tried is in
//! `window`; whether the destination is there is in `breaker`; what may be
//! committed is in `lanes`; how lanes go to another process is in `handover`.
//!
//! INVARIANTS: nothing is committed past an unsettled event of its lane; a dead
//! letter is durable before its event is settled; an egress makes one attempt and
//! only the engine waits.
//!
//! An event's attempts and its deadline are counted in memory: after a restart an
//! unsettled event starts again with its full budget. The deadline counts from the
//! first attempt and, if there is one, also while the destination is away; without
//! a deadline an event waits for an absent destination for as long as it takes.

mod attempt;
mod breaker;
mod engine;
mod handover;
mod lanes;
mod letter;
mod note;
mod pending;
mod redeliver;
mod route;
mod settle;
mod status;
mod trouble;
mod unrouted;
mod window;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use hook_event::{Clock, Entropy};
use hook_log::{Log, Topic};
use hook_sdk::Chain;
use tokio_util::sync::CancellationToken;

pub use redeliver::{RedeliverError, redeliver};
pub use route::opinions;
pub use status::{DestinationStatus, LastError, Snapshot, State};
pub use unrouted::Unrouted;

use self::{attempt::Line, engine::Engine, route::Routes};
use crate::{
    metrics::Metrics,
    pipeline::{backoff, journal::Journal},
    plan::DestinationPlan,
    ports::{Egress, RunError},
};

/// What every destination's delivery shares.
#[derive(Clone)]
pub struct DeliverContext {
    /// Where events are read and dead letters written.
    pub log: Arc<dyn Log>,
    /// The process's counters.
    pub metrics: Arc<Metrics>,
    /// Where attempts are recorded.
    pub journal: Journal,
    /// The time.
    pub clock: Clock,
    /// Randomness, for jitter.
    pub entropy: Entropy,
    /// The contract's app id, part of every group's name.
    pub app_id: Arc<str>,
    /// The topic of dead letters.
    pub dead_letters: Topic,
}

/// The delivery of events to one destination.
pub struct Delivery(Engine);

impl Delivery {
    /// A delivery to `egress` as the plan says.
    pub fn new(plan: DestinationPlan, egress: Arc<dyn Egress>, context: DeliverContext) -> Self {
        let hooks =
            plan.plugins.iter().cloned().fold(Chain::builder(), |chain, hook| chain.hook(hook)).build();
        let line = Line { adapter: Arc::clone(&plan.id), egress, hooks, clock: context.clock };
        let routes = Routes::new(&plan.id, plan.routes, context.dead_letters.clone());
        Self(Engine::new(line, routes, plan.policy, context))
    }

    /// What an operator sees of it; it stays valid while and after it runs.
    pub fn status(&self) -> Arc<DestinationStatus> {
        self.0.status()
    }

    /// Delivers until `stop`; then begins nothing more, waits a while for what is
    /// under way, commits, and returns.
    ///
    /// # Errors
    /// When the log was closed while it still ran.
    pub async fn run(self, stop: CancellationToken) -> Result<(), RunError> {
        self.0.run(stop).await
    }
}
