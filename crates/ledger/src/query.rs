//! What can be asked of a ledger, and what it answers.

use hook_core::{glob::Glob, journal::Outcome};
use hook_event::EventId;
use hook_log::Position;
use jiff::Timestamp;
use serde::Serialize;

/// Which events are asked for. Empty fields ask nothing.
#[derive(Clone, Debug, Default)]
pub struct EventQuery {
    /// Received at or after.
    pub since: Option<Timestamp>,
    /// Received before.
    pub until: Option<Timestamp>,
    /// Older than this event, to turn the page.
    pub before: Option<EventId>,
    /// From sources that fit.
    pub source: Option<Glob>,
    /// Of event types that fit.
    pub event_type: Option<Glob>,
    /// That had an attempt at this destination.
    pub adapter: Option<String>,
    /// Whose last attempt at a destination (at `adapter`, if given) ended so.
    pub outcome: Option<Outcome>,
    /// At most so many; none means 100.
    pub limit: Option<usize>,
}

/// An event's place and name. Its payload is read from the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EventRow {
    /// Its id.
    pub id: EventId,
    /// Where it lies in the log.
    pub position: Position,
    /// When it was received.
    pub received_at: Timestamp,
    /// Who sent it.
    pub source: String,
    /// What happened.
    pub event_type: String,
    /// Through which ingress adapter it came.
    pub ingress_adapter: Option<String>,
    /// The sender's id of the delivery.
    pub delivery_id: Option<String>,
    /// What it is about.
    pub subject: Option<String>,
    /// How it stands at each destination that has tried it.
    pub fates: Vec<Fate>,
}

/// How an event stands at one destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fate {
    /// The destination.
    pub adapter: String,
    /// What came of the last attempt.
    pub outcome: Outcome,
    /// How many attempts were spent.
    pub attempts: u32,
    /// When the last one began.
    pub at: Timestamp,
}

/// Which dead letters are asked for. Empty fields ask nothing.
#[derive(Clone, Debug, Default)]
pub struct DeadLetterQuery {
    /// Of this destination.
    pub adapter: Option<String>,
    /// Given up for this reason.
    pub reason: Option<String>,
    /// Of this event.
    pub event: Option<EventId>,
    /// Given up at or after.
    pub since: Option<Timestamp>,
    /// Given up before.
    pub until: Option<Timestamp>,
    /// Only those that were sent again since, or only those that were not.
    pub replayed: Option<bool>,
    /// Also those that were purged.
    pub purged: bool,
    /// At most so many; none means all.
    pub limit: Option<usize>,
}

/// A dead letter. Its envelope is read from the log at `position`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeadLetterRow {
    /// Lane and offset in the dead-letter topic.
    pub lane: u32,
    /// The offset within the lane.
    pub offset: u64,
    /// The event, if the record was one.
    pub event_id: Option<EventId>,
    /// The destination that did not get it.
    pub adapter: Option<String>,
    /// Who sent it.
    pub source: Option<String>,
    /// What happened.
    pub event_type: Option<String>,
    /// When it was given up.
    pub failed_at: Timestamp,
    /// What a person should read first.
    pub error: String,
    /// `refused`, `exhausted`, …
    pub reason: String,
    /// How many attempts were made.
    pub attempts: u32,
    /// The last HTTP status.
    pub status: Option<u16>,
    /// Where the event lies in the log: `topic/lane/offset`.
    pub event_position: String,
    /// When it was last sent again.
    pub replayed_at: Option<Timestamp>,
    /// When it was purged.
    pub purged_at: Option<Timestamp>,
}

/// How much the ledger knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Events.
    pub events: u64,
    /// Delivery ids that are remembered.
    pub claims: u64,
    /// Attempts.
    pub attempts: u64,
    /// Dead letters neither sent again nor purged.
    pub dead_letters: u64,
}

impl EventQuery {
    pub(crate) fn wants_name(&self, row: &EventRow) -> bool {
        let fits = |glob: &Option<Glob>, name: &str| glob.as_ref().is_none_or(|glob| glob.matches(name));
        fits(&self.source, &row.source) && fits(&self.event_type, &row.event_type)
    }

    pub(crate) fn wants_fate(&self, row: &EventRow) -> bool {
        if self.adapter.is_none() && self.outcome.is_none() {
            return true;
        }
        row.fates.iter().any(|fate| {
            self.adapter.as_ref().is_none_or(|adapter| fate.adapter == *adapter)
                && self.outcome.is_none_or(|outcome| fate.outcome == outcome)
        })
    }
}

impl DeadLetterQuery {
    pub(crate) fn wants(&self, row: &DeadLetterRow) -> bool {
        self.adapter.as_ref().is_none_or(|adapter| row.adapter.as_ref() == Some(adapter))
            && self.reason.as_ref().is_none_or(|reason| row.reason == *reason)
            && self.since.is_none_or(|since| row.failed_at >= since)
            && self.until.is_none_or(|until| row.failed_at < until)
            && self.replayed.is_none_or(|replayed| row.replayed_at.is_some() == replayed)
            && (self.purged || row.purged_at.is_none())
    }
}
