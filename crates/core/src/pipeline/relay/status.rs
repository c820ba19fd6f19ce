//! What an operator sees of one bridge.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hook_log::{
    Position,
    forward::{Guarantee, Link, Reading},
};
use jiff::Timestamp;
use serde::Serialize;

/// How long a log may take to say how far behind a bridge is.
const ASKED: Duration = Duration::from_secs(3);

/// A bridge's state, written by its loop and read by anybody.
pub struct BridgeStatus {
    snapshot: Mutex<Snapshot>,
    link: Arc<dyn Link>,
    reading: Reading,
}

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
    pub(super) fn new(bridge: &str, link: Arc<dyn Link>, reading: Reading) -> Self {
        let snapshot = Mutex::new(Snapshot {
            bridge: bridge.to_owned(),
            exactly_once: link.guarantee() == Guarantee::ExactlyOnce,
            state: State::Running,
            waiting: 0,
            carried: 0,
            dead_lettered: 0,
            committed: Vec::new(),
        });
        Self { snapshot, link, reading }
    }

    /// Records that the bridge's group has not settled; none while the log cannot say.
    pub async fn lag(&self) -> Option<u64> {
        tokio::time::timeout(ASKED, self.link.lag(&self.reading)).await.ok()?.ok()
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
        self.snapshot.lock().unwrap_or_else(PoisonError::into_inner)
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
