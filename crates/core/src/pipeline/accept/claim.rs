//! A reserved delivery id, which is free again unless its event was stored.

use std::sync::Arc;

use hook_event::EventId;
use jiff::Timestamp;

use crate::ports::Claims;

/// Held from the reservation until the append is decided. Dropping it, for whatever
/// reason, releases the delivery id: a refused sender may come back with it.
pub(super) struct Claim {
    claims: Arc<dyn Claims>,
    key: String,
    id: EventId,
    kept: bool,
}

impl Claim {
    /// Guards a reservation that `claims` just made for `id`.
    pub(super) fn reserved(claims: &Arc<dyn Claims>, key: String, id: EventId) -> Self {
        Self { claims: Arc::clone(claims), key, id, kept: false }
    }

    /// The key that is reserved.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// The event is stored.
    pub(super) fn keep(mut self, at: Timestamp) {
        self.kept = true;
        self.claims.keep(&self.key, self.id, at);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.kept {
            self.claims.release(&self.key, self.id);
        }
    }
}
