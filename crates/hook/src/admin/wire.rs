//! What the admin API sends and takes. Programs read these through `--json`, so
//! fields are only ever added.

use hook_core::journal::Attempt;
use hook_event::{EventId, Meta};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Why a call was refused (RFC 9457).
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Problem {
    pub(crate) title: String,
    pub(crate) status: u16,
    pub(crate) detail: String,
}

/// The process at a glance.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Status {
    /// Whether a process runs; when not, the figures are those of the directory.
    pub(crate) running: bool,
    pub(crate) app: String,
    pub(crate) profile: String,
    pub(crate) validation_mode: String,
    pub(crate) version: String,
    pub(crate) data: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) role: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) since: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) not_ready: Option<String>,
    pub(crate) listening: Vec<Listening>,
    pub(crate) destinations: Vec<Destination>,
    /// What carries records from topics to a topic in this process.
    #[serde(default)]
    pub(crate) bridges: Vec<Bridge>,
    pub(crate) topics: Vec<Topic>,
    pub(crate) dead_letters: u64,
}

/// One ingress adapter.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Listening {
    pub(crate) adapter: String,
    pub(crate) at: String,
}

/// One destination.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Destination {
    pub(crate) adapter: String,
    pub(crate) driver: String,
    pub(crate) endpoint: String,
    /// Stored events that it has not settled.
    pub(crate) lag: u64,
    /// The delivery's own account; absent when nothing runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) delivery: Option<serde_json::Value>,
}

/// One bridge.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Bridge {
    pub(crate) bridge: String,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) output_topic: String,
    /// Records that it has not settled; absent while the log cannot say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lag: Option<u64>,
    /// The bridge's own account.
    pub(crate) relay: serde_json::Value,
}

/// One topic of the log.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Topic {
    pub(crate) topic: String,
    pub(crate) first: u64,
    pub(crate) next: u64,
    pub(crate) bytes: u64,
}

/// Which events.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct EventQuery {
    pub(crate) source: Option<String>,
    pub(crate) event_type: Option<String>,
    pub(crate) since: Option<Timestamp>,
    pub(crate) until: Option<Timestamp>,
    pub(crate) limit: Option<usize>,
}

/// One event in a list.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct EventLine {
    pub(crate) id: EventId,
    pub(crate) source: String,
    pub(crate) event_type: String,
    pub(crate) received_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) subject: Option<String>,
    pub(crate) position: String,
    /// The last outcome at each destination, in the order of their first attempt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) fate: Vec<Fate>,
}

/// How an event stands at one destination.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Fate {
    pub(crate) adapter: String,
    pub(crate) outcome: String,
    pub(crate) attempts: u32,
}

/// One event's whole life.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Life {
    pub(crate) id: EventId,
    pub(crate) source: String,
    pub(crate) event_type: String,
    pub(crate) received_at: Timestamp,
    pub(crate) position: String,
    /// Whether the ledger has read it; if not, attempts and dead letters are not known yet.
    #[serde(default = "yes")]
    pub(crate) indexed: bool,
    pub(crate) meta: Meta,
    pub(crate) payload_bytes: usize,
    /// Destinations that want it by their routes.
    pub(crate) routes: Vec<Routed>,
    /// Routes that cannot say whether they want it: their `when` fails on it.
    #[serde(default)]
    pub(crate) when_failed: Vec<WhenFailed>,
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) dead_letters: Vec<DeadLetterLine>,
}

fn yes() -> bool {
    true
}

/// A route's claim on an event.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Routed {
    pub(crate) adapter: String,
    pub(crate) route: String,
}

/// A route whose `when` fails on an event.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct WhenFailed {
    pub(crate) adapter: String,
    pub(crate) route: String,
    pub(crate) error: String,
}

/// Which dead letters.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct DeadLetterQuery {
    pub(crate) adapter: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) event: Option<EventId>,
    pub(crate) since: Option<Timestamp>,
    pub(crate) until: Option<Timestamp>,
    #[serde(default)]
    pub(crate) all: bool,
    pub(crate) limit: Option<usize>,
    pub(crate) rate: Option<u32>,
    #[serde(default)]
    pub(crate) dry_run: bool,
}

/// One dead letter in a list.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct DeadLetterLine {
    /// Where the dead letter itself lies.
    pub(crate) position: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) adapter: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) event_id: Option<EventId>,
    pub(crate) failed_at: Timestamp,
    pub(crate) reason: String,
    pub(crate) error: String,
    pub(crate) attempts: u32,
    /// `open`, `replayed` or `purged`.
    pub(crate) state: String,
}

/// One dead letter, whole.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct DeadLetterView {
    #[serde(flatten)]
    pub(crate) line: DeadLetterLine,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<u16>,
    /// Where the event lies.
    pub(crate) event_position: String,
    /// The envelope, as JSON where it is JSON.
    pub(crate) envelope: serde_json::Value,
}

/// A replay from the log.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ReplayQuery {
    pub(crate) topic: String,
    pub(crate) to: String,
    pub(crate) since: Option<Timestamp>,
    pub(crate) until: Option<Timestamp>,
    pub(crate) event_type: Option<String>,
    pub(crate) when: Option<String>,
    pub(crate) rate: Option<u32>,
    #[serde(default)]
    pub(crate) dry_run: bool,
}

/// How far long work is; the last line has `done`.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// Looked at.
    pub(crate) seen: u64,
    /// How many there are to look at, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) total: Option<u64>,
    /// Sent on, or counted in a dry run.
    pub(crate) matched: u64,
    /// Left out because nobody can say whether or where they should go.
    #[serde(default)]
    pub(crate) failed: u64,
    /// Why the first of those was left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) first_failure: Option<String>,
    pub(crate) done: bool,
    /// Why it ended early.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

impl Progress {
    /// Counts one that was left out; the first says why.
    pub(crate) fn leave_out(&mut self, why: String) {
        self.failed += 1;
        self.first_failure.get_or_insert(why);
    }
}
