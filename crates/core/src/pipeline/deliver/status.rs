//! What an operator sees of one destination.

use std::sync::{Mutex, MutexGuard, PoisonError};

use hook_log::Position;
use jiff::Timestamp;
use serde::Serialize;

/// A destination's state, written by its delivery and read by anybody.
#[derive(Debug)]
pub struct DestinationStatus(Mutex<Snapshot>);

/// A destination at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    /// The adapter's id.
    pub adapter: String,
    /// What it is doing.
    #[serde(flatten)]
    pub state: State,
    /// Attempts under way.
    pub in_flight: usize,
    /// Events read and not settled, those in flight included.
    pub waiting: usize,
    /// Of those, the ones that wait for an earlier event of their key.
    pub parked: usize,
    /// Whether reading stopped because too much is read and not settled.
    pub reading_paused: bool,
    /// Events delivered since the start.
    pub delivered: u64,
    /// Attempts that failed since the start.
    pub failed: u64,
    /// Dead letters written since the start.
    pub dead_lettered: u64,
    /// Events given up and not kept, as `required = false` says.
    pub dropped: u64,
    /// Dead letters that are not durable yet; their events stay unsettled.
    pub dead_letters_waiting: usize,
    /// Why dead letters cannot be written now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead_letter_error: Option<String>,
    /// Why the log cannot be read or committed to now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_error: Option<String>,
    /// The last attempt that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<LastError>,
    /// How far each lane is settled.
    pub committed: Vec<Position>,
}

/// What a destination is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// It takes events.
    Running,
    /// It is not there; events wait in the log.
    Waiting {
        /// Since when.
        since: Timestamp,
        /// What was said last.
        reason: String,
        /// When it is asked again.
        next_probe: Timestamp,
    },
    /// It takes nothing until a person acts; events wait in the log.
    Halted {
        /// Since when.
        since: Timestamp,
        /// What was said last.
        reason: String,
        /// When it is asked again.
        next_probe: Timestamp,
    },
    /// It was stopped.
    Stopped,
}

/// A failed attempt, for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LastError {
    /// When.
    pub at: Timestamp,
    /// Why; never a payload.
    pub reason: String,
}

impl DestinationStatus {
    pub(super) fn new(adapter: &str) -> Self {
        Self(Mutex::new(Snapshot {
            adapter: adapter.to_owned(),
            state: State::Running,
            in_flight: 0,
            waiting: 0,
            parked: 0,
            reading_paused: false,
            delivered: 0,
            failed: 0,
            dead_lettered: 0,
            dropped: 0,
            dead_letters_waiting: 0,
            dead_letter_error: None,
            log_error: None,
            last_error: None,
            committed: Vec::new(),
        }))
    }

    /// How it is now.
    pub fn snapshot(&self) -> Snapshot {
        self.lock().clone()
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut Snapshot)) {
        change(&mut self.lock());
    }

    fn lock(&self) -> MutexGuard<'_, Snapshot> {
        // A snapshot is valid after every single assignment.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Snapshot {
    pub(super) fn commit(&mut self, position: &Position) {
        let same = |have: &&mut Position| (&have.topic, have.lane) == (&position.topic, position.lane);
        match self.committed.iter_mut().find(same) {
            Some(have) => have.offset = position.offset,
            None => self.committed.push(position.clone()),
        }
    }
}
