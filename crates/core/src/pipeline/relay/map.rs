//! What becomes of one record: where it goes and under which key, or why it cannot go.

use bytes::Bytes;
use hook_event::{DeadLetter, Event, EventId};
use hook_log::{Entry, Record, Topic};
use jiff::Timestamp;

use crate::plan::{BridgePlan, RelayMode};

/// A record larger than this is not copied into its dead letter, which names its position.
const MOST_COPIED: usize = 256 << 10;

/// Where a record goes, or why it cannot.
pub(super) fn map(plan: &BridgePlan, entry: &Entry) -> Result<(Topic, Record), String> {
    let topic = &entry.position.topic;
    let (key, source) = match plan.mode {
        RelayMode::Raw => (entry.key.clone(), None),
        RelayMode::Envelope => {
            let event = Event::decode(&entry.value).map_err(|error| error.to_string())?;
            (event.ordering_key(), Some(event.source))
        }
    };
    let to = plan.output_topic.of(topic, source.as_deref()).map_err(|error| error.to_string())?;
    Ok((to, Record { key, value: entry.value.clone() }))
}

/// Why a record is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// It is no envelope, or names no topic.
    Malformed,
    /// The target does not take it.
    Refused,
}

impl Reason {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Refused => "refused",
        }
    }
}

/// A dead letter for a record.
pub(super) struct Letter<'a> {
    pub(super) bridge: &'a str,
    pub(super) entry: &'a Entry,
    pub(super) reason: Reason,
    pub(super) error: &'a str,
    pub(super) attempts: u32,
    pub(super) at: Timestamp,
}

impl Letter<'_> {
    /// As it is stored.
    pub(super) fn encode(&self) -> Record {
        let Self { bridge, entry, error, .. } = self;
        let copied = entry.value.len() <= MOST_COPIED;
        let error = match copied {
            true => format!("the relay `{bridge}` cannot carry it: {error}"),
            false => format!(
                "the relay `{bridge}` cannot carry it: {error} (too large to be copied here, see its position)"
            ),
        };
        let letter = DeadLetter {
            adapter: None,
            event_id: self.event_id(),
            failed_at: self.at,
            error,
            reason: self.reason.as_str().to_owned(),
            attempts: self.attempts,
            status: None,
            position: entry.position.to_string(),
            envelope: if copied { entry.value.clone() } else { Bytes::new() },
        };
        Record { key: entry.key.clone(), value: letter.encode() }
    }

    fn event_id(&self) -> Option<EventId> {
        Event::decode(&self.entry.value).ok().map(|event| event.id)
    }
}
