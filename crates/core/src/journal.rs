//! What happened to events at destinations: one record per attempt, on the topic
//! `hook.deliveries`.
//!
//! The ledger and the console read it. It tells history and decides nothing, so a
//! crash may lose its last moments; the log's commits and dead letters never depend
//! on it.

use hook_event::EventId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The topic of attempt records.
pub const TOPIC: &str = "hook.deliveries";

/// One attempt, or the end of a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The event.
    pub event_id: EventId,
    /// The destination.
    pub adapter: String,
    /// The attempt's number, from 1; unavailable ones are not counted.
    pub attempt: u32,
    /// When it began.
    pub at: Timestamp,
    /// How long it took, in milliseconds.
    pub millis: u64,
    /// What came of it.
    pub outcome: Outcome,
    /// The HTTP status, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// A run id, or the reason of a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Whether the event was being delivered again on request.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub redelivery: bool,
}

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The destination took it. The end.
    Delivered,
    /// It failed and will be tried again.
    Failed,
    /// The destination was not there; the event waits.
    Unavailable,
    /// The destination takes nothing until a person acts; the event waits.
    Halted,
    /// It became a dead letter. The end.
    DeadLettered,
    /// It was given up and not kept, as `required = false` says. The end.
    Dropped,
}

impl Outcome {
    /// Whether nothing more will happen to the event at this destination.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Delivered | Self::DeadLettered | Self::Dropped)
    }

    /// The name in records, tables and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Unavailable => "unavailable",
            Self::Halted => "halted",
            Self::DeadLettered => "dead_lettered",
            Self::Dropped => "dropped",
        }
    }
}
