//! Finds stored events that no smash route wants.
//!
//! It has a subscription of its own (`hook.<app>/unrouted`, which no adapter's id can make) over every topic that
//! is not the pipeline's own, and settles an event once somebody wants it, or it
//! is counted, or its dead letter is durable. A record that is no envelope is left
//! to the destinations that read its topic; where none does, it is dead-lettered
//! here, so that it is told of once at least.

use std::{sync::Arc, time::Duration};

use hook_event::{DeadLetter, Event};
use hook_log::{Entry, Next, ReadError, Start, Subscription, TopicSet};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{
    DeliverContext,
    backoff::Backoff,
    letter::{self, Letter, Reason},
    note,
    route::{Judgement, Routes, is_internal},
};
use crate::{
    plan::{self, DestinationPlan},
    ports::RunError,
};

const NAME: &str = "unrouted";
const MOST_READ: usize = 256;

/// Watches for events that nobody wants.
pub struct Unrouted {
    destinations: Vec<Routes>,
    /// Topics that bridges carry on.
    carried: TopicSet,
    policy: plan::Unrouted,
    context: DeliverContext,
    backoff: Backoff,
    failures: u32,
}

impl Unrouted {
    /// A watch over events that none of `destinations` wants.
    pub fn new(destinations: &[DestinationPlan], policy: plan::Unrouted, context: DeliverContext) -> Self {
        let routes =
            |plan: &DestinationPlan| Routes::new(&plan.id, plan.routes.clone(), context.dead_letters.clone());
        Self {
            destinations: destinations.iter().map(routes).collect(),
            carried: TopicSet::matching(|_| false),
            policy,
            backoff: Backoff::new(Duration::from_millis(100), Duration::from_secs(60), context.entropy),
            failures: 0,
            context,
        }
    }

    /// The same, with events of these topics wanted by whoever carries them on.
    #[must_use]
    pub fn except(self, carried: TopicSet) -> Self {
        Self { carried, ..self }
    }

    /// Watches until `stop`.
    ///
    /// # Errors
    /// When the log was closed while it still ran.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), RunError> {
        let Some(result) = stop.run_until_cancelled(self.watch()).await else { return Ok(()) };
        result
    }

    async fn watch(&mut self) -> Result<(), RunError> {
        let mut subscription = loop {
            match self.subscribe().await {
                Ok(subscription) => break subscription,
                Err(error) => self.log_failed("subscribing", error).await?,
            }
        };
        loop {
            match subscription.next(MOST_READ).await {
                Ok(Next::Entries(entries)) => self.judge(subscription.as_mut(), entries).await?,
                // Everything that was read is settled and committed.
                Ok(Next::Revoked(_)) => {}
                Err(error) => self.log_failed("reading", error).await?,
            }
        }
    }

    async fn subscribe(&self) -> Result<Box<dyn Subscription>, ReadError> {
        let dead_letters = self.context.dead_letters.clone();
        let topics = TopicSet::matching(move |topic| !is_internal(topic, &dead_letters));
        let group = format!("hook.{}/{NAME}", self.context.app_id);
        self.context.log.subscribe(&group, topics, Start::Beginning).await
    }

    async fn judge(
        &mut self,
        subscription: &mut dyn Subscription,
        entries: Vec<Entry>,
    ) -> Result<(), RunError> {
        let letters: Vec<Letter> = entries.iter().filter_map(|entry| self.letter(entry)).collect();
        self.write(letters).await;
        let mut last: Vec<&Entry> = Vec::new();
        for entry in &entries {
            last.retain(|have| {
                (&have.position.topic, have.position.lane) != (&entry.position.topic, entry.position.lane)
            });
            last.push(entry);
        }
        for entry in last {
            while let Err(error) = subscription.commit(&entry.position).await {
                self.log_failed("committing", error).await?;
            }
        }
        self.failures = 0;
        Ok(())
    }

    /// The letter that an entry needs; none if somebody wants it, or nobody is to be told.
    fn letter(&self, entry: &Entry) -> Option<Letter> {
        let topic = &entry.position.topic;
        if self.carried.contains(topic) {
            return None;
        }
        let (reason, error, event_id) = match Event::decode(&entry.value) {
            Err(_) if self.destinations.iter().any(|routes| routes.reads(topic)) => return None,
            Err(error) => (Reason::Malformed, error.to_string(), None),
            Ok(event) => {
                let unwanted = |routes: &Routes| routes.judge(topic, &event) == Judgement::Unwanted;
                if !self.destinations.iter().all(unwanted) {
                    return None;
                }
                self.context.metrics.unrouted(topic.as_str());
                if self.policy == plan::Unrouted::Discard {
                    return None;
                }
                let error = format!("no smash route wants `{}` from `{topic}`", event.event_type);
                (Reason::Unroutable, error, Some(event.id))
            }
        };
        self.context.metrics.dead_letter(topic.as_str());
        let letter = DeadLetter {
            adapter: None,
            event_id,
            failed_at: self.context.clock.now(),
            error,
            reason: reason.as_str().to_owned(),
            attempts: 0,
            status: None,
            position: entry.position.to_string(),
            envelope: entry.value.clone(),
        };
        Some(Letter::new(0, entry.key.clone(), letter))
    }

    /// Writes the letters, for as long as that takes.
    async fn write(&mut self, mut letters: Vec<Letter>) {
        while !letters.is_empty() {
            let (log, topic) = (Arc::clone(&self.context.log), self.context.dead_letters.clone());
            let (back, result) = letter::write(log, topic, letters).await;
            let Err(error) = result else { return };
            letters = back;
            note::log_failed(NAME, "writing dead letters", &error);
            self.wait().await;
        }
    }

    async fn log_failed(&mut self, doing: &'static str, error: ReadError) -> Result<(), RunError> {
        note::log_failed(NAME, doing, &error);
        if matches!(error, ReadError::Closed) {
            return Err(RunError(format!("the watch for unrouted events stopped: {error}")));
        }
        self.wait().await;
        Ok(())
    }

    async fn wait(&mut self) {
        self.failures = self.failures.saturating_add(1);
        sleep_until(Instant::now() + self.backoff.half(self.failures, None)).await;
    }
}
