//! The events of one request: most bodies hold one, some hold many.

use hook_event::EventId;

use super::store::Ready;
use crate::ports::{Answer, Reply};

/// What became of the events of a request before the append.
#[derive(Default)]
pub(super) struct Batch {
    /// To be stored.
    pub(super) ready: Vec<Ready>,
    /// One id per event that is or was stored.
    pub(super) ids: Vec<EventId>,
    /// The first event that was stored before this request.
    pub(super) duplicate: Option<EventId>,
    /// Whether a cooldown dropped any.
    pub(super) suppressed: bool,
}

impl Batch {
    /// The event of this request that holds the claim `key`.
    pub(super) fn holder(&self, key: &str) -> Option<EventId> {
        self.ready.iter().find_map(|ready| ready.holds(key))
    }

    /// What the sender is told once `stored` events of the request are durable.
    pub(super) fn answer(self, stored: usize, reply: Option<Reply>) -> Answer {
        match self.duplicate {
            Some(id) if stored == 0 => Answer::Duplicate { id, reply },
            None if stored == 0 && self.suppressed => Answer::Suppressed,
            Some(_) | None => Answer::Accepted { ids: self.ids, reply },
        }
    }
}
