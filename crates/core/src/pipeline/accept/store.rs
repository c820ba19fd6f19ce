//! Appending: the moment at which an event is safe, and what is said until then.
//!
//! An append is seen through together with the claims of its events. So neither a
//! sender that hangs up nor the append timeout can separate the two: when a
//! slow append succeeds after its sender was told 503, the claim is kept and the
//! retry is a duplicate; when it fails, the claim is released and the retry is
//! welcome. Until it is decided a retry is told 503. After a crash the log alone
//! decides: an event that it has is a duplicate, one that it lacks is new. What may
//! happen at worst is a second copy, never a lost event.

use std::{sync::Arc, time::Duration};

use hook_event::{Clock, Event, EventId};
use hook_log::{AppendError, Log, Record, Topic};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{claim::Claim, cooldown::Subject, health::Health, note::Notes};
use crate::{ports::Refusal, to_the_end::to_the_end};

/// Bytes of events that may be on their way into the log at once. Whoever comes then
/// waits, and is told 503 when the append timeout ends.
const MOST_BYTES: usize = 64 << 20;
/// The unit in which those bytes are counted.
const UNIT: usize = 1024;
/// When to come back while another request with the same delivery id is being stored.
pub(super) const AFTER_TWIN: Duration = Duration::from_secs(1);
/// When to come back if nothing better is known.
const AFTER_FAILURE: Duration = Duration::from_secs(5);
/// When to come back if a person has to act first.
const AFTER_REPAIR: Duration = Duration::from_secs(30);

/// Puts events into the log.
#[derive(Clone)]
pub(super) struct Store {
    pub(super) log: Arc<dyn Log>,
    pub(super) timeout: Duration,
    pub(super) clock: Clock,
    pub(super) health: Arc<Health>,
    pub(super) notes: Notes,
    room: Arc<Semaphore>,
}

/// An event that is ready to be stored.
pub(super) struct Ready {
    pub(super) event: Event,
    pub(super) topic: Topic,
    pub(super) claim: Option<Claim>,
    pub(super) cooldown: Option<Subject>,
}

impl Store {
    pub(super) fn new(log: Arc<dyn Log>, timeout: Duration, clock: Clock, notes: Notes) -> Self {
        let room = Arc::new(Semaphore::new(MOST_BYTES / UNIT));
        Self { log, timeout, clock, health: Arc::default(), notes, room }
    }

    /// Returns when every event is durable, and how many there were.
    pub(super) async fn store(&self, events: Vec<Ready>) -> Result<usize, Refusal> {
        let count = events.len();
        if count == 0 {
            return Ok(0);
        }
        let stored = async {
            let room = self.room_for(&events).await?;
            to_the_end(self.clone().append(events, room)).await
        };
        match tokio::time::timeout(self.timeout, stored).await {
            Ok(stored) => stored.map(|()| count),
            Err(_elapsed) => {
                let reason = format!("the log did not answer within {:?}", self.timeout);
                self.health.passing(&reason, self.clock.now());
                Err(unavailable(&reason, AFTER_FAILURE))
            }
        }
    }

    async fn room_for(&self, events: &[Ready]) -> Result<OwnedSemaphorePermit, Refusal> {
        let bytes: usize = events.iter().map(|ready| ready.event.payload.len() + UNIT).sum();
        let units = bytes.div_ceil(UNIT).min(MOST_BYTES / UNIT);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).acquire_many_owned(units).await;
        room.map_err(|_closed| unavailable("the process is stopping", AFTER_TWIN))
    }

    /// One append per topic. When one fails, the events before it stay stored with
    /// their claims kept, so the sender's retry stores just the rest.
    async fn append(self, events: Vec<Ready>, _room: OwnedSemaphorePermit) -> Result<(), Refusal> {
        for (topic, events) in by_topic(events) {
            let records = events.iter().map(|ready| record(&ready.event)).collect();
            if let Err(error) = self.log.append(&topic, records).await {
                self.health.failed(&error, self.clock.now());
                self.notes.not_stored(&topic, &error);
                return Err(refusal(error));
            }
            self.health.recovered();
            events.into_iter().for_each(|ready| self.stored(ready));
        }
        Ok(())
    }

    fn stored(&self, ready: Ready) {
        let Ready { event, topic, claim, cooldown } = ready;
        self.notes.stored(&event, &topic);
        if let Some(claim) = claim {
            claim.keep(event.received_at);
        }
        if let Some(cooldown) = cooldown {
            cooldown.start(self.clock.now());
        }
    }
}

impl Ready {
    /// The event's id, if this is the one that holds `key`.
    pub(super) fn holds(&self, key: &str) -> Option<EventId> {
        let claim = self.claim.as_ref()?;
        (claim.key() == key).then_some(self.event.id)
    }
}

fn record(event: &Event) -> Record {
    Record { key: event.ordering_key(), value: event.encode() }
}

/// The events of each topic in their order, the topics in order of appearance.
fn by_topic(events: Vec<Ready>) -> Vec<(Topic, Vec<Ready>)> {
    let mut groups: Vec<(Topic, Vec<Ready>)> = Vec::new();
    for ready in events {
        match groups.iter_mut().find(|(topic, _)| *topic == ready.topic) {
            Some((_, group)) => group.push(ready),
            None => groups.push((ready.topic.clone(), vec![ready])),
        }
    }
    groups
}

/// What a sender is told when the log said no. The details are for the operator, who
/// finds them in the logs and in the readiness.
fn refusal(error: AppendError) -> Refusal {
    match error {
        AppendError::TooLarge { size, limit } => Refusal::TooLarge { size, limit },
        AppendError::Full(_) => unavailable("the log is full", AFTER_REPAIR),
        AppendError::Poisoned(_) => unavailable("the log stopped and must be restarted", AFTER_REPAIR),
        AppendError::Unavailable { after, .. } => {
            unavailable("the log cannot be reached", after.unwrap_or(AFTER_FAILURE))
        }
        AppendError::Refused(_) => unavailable("the log refuses the event", AFTER_REPAIR),
        AppendError::Closed => unavailable("the log is closed", AFTER_FAILURE),
    }
}

/// A refusal that asks the sender to come back.
pub(super) fn unavailable(reason: &str, after: Duration) -> Refusal {
    Refusal::Unavailable { reason: reason.to_owned(), after }
}
