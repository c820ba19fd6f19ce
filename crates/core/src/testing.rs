//! Doubles for tests of the pipeline, and what every egress adapter must show.
//!
//! They are part of the library so that the adapters' tests, in another crate,
//! use the very same ones.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use hook_event::{Event, EventId, Meta};
use jiff::Timestamp;

use crate::ports::{DeliverError, Delivered, Egress, Failure};

/// What a scripted destination does with one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Takes the event.
    Deliver,
    /// Answers this.
    Fail(DeliverError),
    /// Panics.
    Panic,
    /// Never answers.
    Hang,
}

type Script = dyn Fn(&Event, u32) -> (Duration, Step) + Send + Sync;

/// A destination that does what a script says, and remembers what it was given.
pub struct ScriptedEgress {
    script: Box<Script>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    attempts: HashMap<EventId, u32>,
    began: Vec<EventId>,
    delivered: Vec<Event>,
}

impl ScriptedEgress {
    /// The script is asked with the event and the number of the attempt, from 1,
    /// and says how long the attempt takes and how it ends.
    pub fn new(script: impl Fn(&Event, u32) -> (Duration, Step) + Send + Sync + 'static) -> Self {
        Self { script: Box::new(script), seen: Mutex::default() }
    }

    /// A destination that takes everything at once.
    pub fn willing() -> Self {
        Self::new(|_, _| (Duration::ZERO, Step::Deliver))
    }

    /// Every event it took, in order, repetitions included.
    pub fn delivered(&self) -> Vec<Event> {
        self.lock().delivered.clone()
    }

    /// The event of every attempt that began, in order.
    pub fn began(&self) -> Vec<EventId> {
        self.lock().began.clone()
    }

    /// How often an event was tried.
    pub fn attempts(&self, id: EventId) -> u32 {
        self.lock().attempts.get(&id).copied().unwrap_or(0)
    }

    fn begin(&self, event: &Event) -> u32 {
        let mut seen = self.lock();
        seen.began.push(event.id);
        let attempts = seen.attempts.entry(event.id).or_default();
        *attempts += 1;
        *attempts
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Egress for ScriptedEgress {
    #[expect(clippy::panic, reason = "a script may ask for it")]
    async fn deliver(&self, event: &Event) -> Result<Delivered, DeliverError> {
        let attempt = self.begin(event);
        let (takes, step) = (self.script)(event, attempt);
        if !takes.is_zero() {
            tokio::time::sleep_until(tokio::time::Instant::now() + takes).await;
        }
        match step {
            Step::Deliver => {
                self.lock().delivered.push(event.clone());
                Ok(Delivered { status: Some(200), detail: None })
            }
            Step::Fail(error) => Err(error),
            Step::Panic => panic!("as the script says"),
            Step::Hang => std::future::pending().await,
        }
    }
}

/// The answers of a destination and how an egress must judge them.
pub const JUDGEMENTS: &[(u16, Judged)] = &[
    (200, Judged::Delivered),
    (202, Judged::Delivered),
    (204, Judged::Delivered),
    (301, Judged::Refused),
    (302, Judged::Refused),
    (304, Judged::Refused),
    (400, Judged::Refused),
    (404, Judged::Refused),
    (408, Judged::Failed),
    (409, Judged::Failed),
    (413, Judged::Refused),
    (422, Judged::Refused),
    (429, Judged::Unavailable),
    (500, Judged::Failed),
    (502, Judged::Unavailable),
    (503, Judged::Unavailable),
    (504, Judged::Unavailable),
];

/// The judgement without its facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judged {
    /// It was taken.
    Delivered,
    /// The destination is not there.
    Unavailable,
    /// It is there and this event failed.
    Failed,
    /// It will never take this event.
    Refused,
    /// It will take nothing until a person acts.
    Halted,
}

impl Judged {
    /// The judgement in an egress's answer.
    pub fn of(answer: &Result<Delivered, DeliverError>) -> Self {
        match answer {
            Ok(_) => Self::Delivered,
            Err(DeliverError::Unavailable(_)) => Self::Unavailable,
            Err(DeliverError::Failed(_)) => Self::Failed,
            Err(DeliverError::Refused(_)) => Self::Refused,
            Err(DeliverError::Halted(_)) => Self::Halted,
        }
    }
}

/// Shows an egress every answer of [`JUDGEMENTS`] and says which of them it judges
/// otherwise than the table, or `except`, has it. `attempt` makes one attempt at a
/// destination that answers the given status.
pub async fn misjudged<F>(except: &[(u16, Judged)], attempt: impl Fn(u16) -> F) -> Vec<String>
where
    F: Future<Output = Result<Delivered, DeliverError>>,
{
    let mut wrong = Vec::new();
    for &(status, usual) in JUDGEMENTS {
        let expected = except.iter().find(|(other, _)| *other == status).map_or(usual, |(_, judged)| *judged);
        let judged = Judged::of(&attempt(status).await);
        if judged != expected {
            wrong.push(format!("{status} is judged {judged:?} instead of {expected:?}"));
        }
    }
    wrong
}

/// An event whose id, time and source follow from `n`.
pub fn event(n: u64, event_type: &str, payload: &'static [u8]) -> Event {
    let mut id = [0; 16];
    id[8..].copy_from_slice(&n.to_be_bytes());
    Event {
        id: EventId::from_bytes(id),
        source: "github".into(),
        event_type: event_type.into(),
        received_at: Timestamp::UNIX_EPOCH,
        meta: Meta::default(),
        payload: Bytes::from_static(payload),
    }
}

/// An event that must stay in order with others of `key`.
pub fn keyed_event(n: u64, key: &str) -> Event {
    let mut event = event(n, "push", b"{}");
    event.meta.ordering_key = Some(key.to_owned());
    event
}

/// The number from which [`event`] made the id.
pub fn number(id: EventId) -> u64 {
    let mut n = [0; 8];
    n.copy_from_slice(&id.as_bytes()[8..]);
    u64::from_be_bytes(n)
}

/// A failure that asks to be tried again after this time, if any.
pub fn failure(after: Option<Duration>) -> Failure {
    Failure { reason: "as the script says".into(), status: Some(500), after, ..Failure::default() }
}
