//! What an operator sees of one bridge.

use std::sync::{Mutex, MutexGuard, PoisonError};

use hook_log::Position;
use jiff::Timestamp;
use serde::Serialize;

/// A bridge's state, written by its loop and read by anybody.
#[derive(Debug)]
pub struct BridgeStatus(Mutex<Snapshot>);

/// A bridge at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    /// Its id.
    pub bridge: String,
    /// Whether readers of what is committed see every record once.
    pub exactly_once: bool,
    /// What it is doing.
    #[serde(flatten)]
    pub state: State,
    /// Records read and not carried yet.
    pub waiting: usize,
    /// Records carried since the start.
    pub carried: u64,
    /// Dead letters written since the start.
    pub dead_lettered: u64,
    /// How far each lane is settled, as far as it went since the start.
    pub committed: Vec<Position>,
}

/// What a bridge is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// It carries what comes.
    Running,
    /// It cannot, and tries again.
    Waiting {
        /// Since when.
        since: Timestamp,
        /// What was said last.
        reason: String,
    },
    /// It was stopped.
    Stopped,
}

impl BridgeStatus {
    pub(super) fn new(bridge: &str, exactly_once: bool) -> Self {
        Self(Mutex::new(Snapshot {
            bridge: bridge.to_owned(),
            exactly_once,
            state: State::Running,
            waiting: 0,
            carried: 0,
            dead_lettered: 0,
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

    pub(super) fn is_waiting(&self) -> bool {
        matches!(self.state, State::Waiting { .. })
    }
}
