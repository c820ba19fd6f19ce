//! Aims events at one destination again, through its own topic.

use hook_event::{Clock, Event, Redelivery};
use hook_log::{AppendError, Log, Position, Record, TopicError};

use crate::plan::redeliver_topic;

/// Records and bytes in one append.
const BATCH: usize = 256;
const BATCH_BYTES: usize = 4 << 20;

/// Why events could not be aimed at a destination.
#[derive(Debug, thiserror::Error)]
pub enum RedeliverError {
    /// The adapter's id is no part of a topic name.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// They could not be stored; those of earlier batches are.
    #[error(transparent)]
    Append(#[from] AppendError),
}

/// Stores `events` for `adapter` alone, marked with the reason (`replay` or
/// `dead_letter`). They bypass its routes, not its hooks, and their attempts are
/// counted from zero.
///
/// # Errors
/// When the adapter's id is no part of a topic name, or an append fails.
pub async fn redeliver(
    log: &dyn Log,
    adapter: &str,
    events: impl IntoIterator<Item = Event> + Send,
    reason: &str,
    clock: Clock,
) -> Result<Vec<Position>, RedeliverError> {
    let topic = redeliver_topic(adapter)?;
    let records: Vec<Record> = events.into_iter().map(|event| mark(event, adapter, reason, clock)).collect();
    let mut positions = Vec::with_capacity(records.len());
    for batch in batches(records) {
        positions.extend(log.append(&topic, batch).await?);
    }
    Ok(positions)
}

fn mark(mut event: Event, adapter: &str, reason: &str, clock: Clock) -> Record {
    let (adapter, reason) = (adapter.to_owned(), reason.to_owned());
    event.meta.redelivery = Some(Redelivery { adapter, reason, at: clock.now() });
    Record { key: event.ordering_key(), value: event.encode() }
}

fn batches(records: Vec<Record>) -> Vec<Vec<Record>> {
    let mut batches: Vec<Vec<Record>> = Vec::new();
    let mut bytes = 0;
    for record in records {
        bytes += record.size();
        match batches.last_mut() {
            Some(batch) if batch.len() < BATCH && bytes <= BATCH_BYTES => batch.push(record),
            _ => {
                bytes = record.size();
                batches.push(vec![record]);
            }
        }
    }
    batches
}
