//! One attempt: the destination's hooks, then the egress, once.
//!
//! The hooks run before the first attempt only, so every retry sends the same
//! bytes. A panic in an adapter is a failed attempt and nothing else, and so is an
//! adapter that forgets its own time limit.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt;
use hook_event::{Clock, Event};
use hook_sdk::{Chain, Context, Denial, Point};
use jiff::Timestamp;
use tokio::time::{Instant, timeout};

use super::window::Id;
use crate::ports::{DeliverError, Delivered, Egress, Failure};

/// Adapters keep shorter times themselves; this one keeps a slot from being lost.
const LONGEST_ATTEMPT: Duration = Duration::from_secs(3600);

/// The way to one destination.
pub(super) struct Line {
    pub(super) adapter: Arc<str>,
    pub(super) egress: Arc<dyn Egress>,
    pub(super) hooks: Chain,
    pub(super) clock: Clock,
}

/// What is to be tried.
pub(super) struct Attempt {
    pub(super) id: Id,
    pub(super) epoch: u64,
    pub(super) event: Arc<Event>,
    /// Whether the hooks have seen it already.
    pub(super) prepared: bool,
}

/// What came of an attempt.
pub(super) struct Answer {
    pub(super) id: Id,
    pub(super) epoch: u64,
    pub(super) at: Timestamp,
    pub(super) took: Duration,
    /// The event as the hooks left it.
    pub(super) event: Arc<Event>,
    pub(super) outcome: Outcome,
}

/// What was said of the event, and by whom.
pub(super) enum Outcome {
    /// A hook stopped it before it left.
    Denied(Denial),
    /// The egress answered.
    Answered(Result<Delivered, DeliverError>),
}

impl Line {
    /// Makes one attempt.
    pub(super) async fn attempt(&self, attempt: Attempt) -> Answer {
        let (at, began) = (self.clock.now(), Instant::now());
        let Attempt { id, epoch, event, prepared } = attempt;
        let (event, outcome) = match self.prepare(event, prepared).await {
            Ok(event) => {
                let answer = self.send(&event).await;
                (event, Outcome::Answered(answer))
            }
            Err((event, denial)) => (event, Outcome::Denied(denial)),
        };
        Answer { id, epoch, at, took: began.elapsed(), event, outcome }
    }

    /// Asks whether the destination is there.
    pub(super) async fn probe(&self) -> Result<(), DeliverError> {
        AssertUnwindSafe(self.egress.probe()).catch_unwind().await.unwrap_or_else(|_| Err(panicked()))
    }

    async fn prepare(&self, event: Arc<Event>, prepared: bool) -> Result<Arc<Event>, (Arc<Event>, Denial)> {
        if prepared || self.hooks.is_empty() {
            return Ok(event);
        }
        let context = Context { point: Point::Deliver, adapter: self.adapter.to_string() };
        let outcome = self.hooks.run(Event::clone(&event), &context).await;
        match outcome.denied {
            Some(denial) => Err((event, denial)),
            None => Ok(Arc::new(outcome.event)),
        }
    }

    async fn send(&self, event: &Event) -> Result<Delivered, DeliverError> {
        let sending = AssertUnwindSafe(self.egress.deliver(event)).catch_unwind();
        match timeout(LONGEST_ATTEMPT, sending).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_panic)) => Err(panicked()),
            Err(_elapsed) => Err(DeliverError::Failed(Failure::because("no answer within an hour"))),
        }
    }
}

fn panicked() -> DeliverError {
    DeliverError::Failed(Failure::because("the adapter panicked"))
}
