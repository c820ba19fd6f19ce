//! Lanes that go to another process of the same group.
//!
//! Nothing of them is begun any more, and what waits is forgotten: the other process
//! reads it again. What is at work is waited for, so that its end is committed and the
//! other process does not deliver beside this one, which would break the order of keys.
//! Until then nothing is read; other lanes' events are delivered meanwhile.

use std::time::Duration;

use hook_log::{LaneId, Position};
use tokio::time::Instant;

use super::engine::Engine;

/// How long attempts at work are waited for. After it the lanes go all the same, and
/// what those attempts say is not heard: their events are delivered again.
const LONGEST: Duration = Duration::from_secs(15);

/// Lanes that are going.
pub(super) struct Handover {
    lanes: Vec<LaneId>,
    until: Instant,
}

impl Engine {
    pub(super) fn revoked(&mut self, lanes: Vec<LaneId>) {
        self.handover = Some(Handover { lanes, until: Instant::now() + LONGEST });
    }

    /// When the lanes go at the latest.
    pub(super) fn handover_ends(&self) -> Option<Instant> {
        self.handover.as_ref().map(|handover| handover.until)
    }

    /// Drops what nobody is at work on. Called before anything is begun.
    pub(super) fn shed(&mut self) {
        if let Some(handover) = &self.handover {
            self.window.abandon(|pending| handover.has(&pending.position));
        }
    }

    /// Lets the lanes go once their last attempt has ended and what was settled is
    /// committed, or when it is too late; the next read hands them over.
    pub(super) fn hand_over(&mut self) {
        let Some(handover) = self.handover.take() else { return };
        let busy = self.window.any(|pending| handover.has(&pending.position));
        let owed = self.lanes.due().iter().any(|position| handover.has(position));
        if (busy || owed) && Instant::now() < handover.until {
            self.handover = Some(handover);
            return;
        }
        self.window.cut_off(|pending| handover.has(&pending.position));
        handover.lanes.iter().for_each(|lane| self.lanes.forget(lane));
    }
}

impl Handover {
    fn has(&self, position: &Position) -> bool {
        self.lanes.iter().any(|lane| lane.topic == position.topic && lane.lane == position.lane)
    }
}
