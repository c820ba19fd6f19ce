//! What is remembered of an event that was read and is not settled.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use hook_event::Event;
use hook_log::{Entry, Position};
use jiff::Timestamp;
use tokio::time::Instant;

use super::lanes::Ticket;

/// An event that was read and is not settled.
pub(super) struct Pending {
    pub(super) ticket: Ticket,
    pub(super) position: Position,
    pub(super) key: Bytes,
    /// The envelope as it is stored.
    pub(super) stored: Bytes,
    /// None for a record that is no envelope.
    pub(super) event: Option<Arc<Event>>,
    pub(super) required: bool,
    pub(super) redelivery: bool,
    /// Whether the hooks have seen it.
    pub(super) prepared: bool,
    /// Attempts that were spent.
    pub(super) attempts: u32,
    pub(super) first_attempt: Option<Instant>,
    /// How often it found nobody while others were delivered.
    pub(super) strikes: u32,
    /// How many events had been delivered when it last found nobody.
    pub(super) mark: Option<u64>,
    /// Its last attempt.
    pub(super) last: Option<Last>,
}

/// An attempt that is over, for the record.
#[derive(Clone, Copy)]
pub(super) struct Last {
    pub(super) at: Timestamp,
    pub(super) took: Duration,
    pub(super) status: Option<u16>,
}

impl Pending {
    pub(super) fn new(ticket: Ticket, entry: Entry, redelivery: bool) -> Self {
        Self {
            ticket,
            position: entry.position,
            key: entry.key,
            stored: entry.value,
            event: None,
            required: true,
            redelivery,
            prepared: false,
            attempts: 0,
            first_attempt: None,
            strikes: 0,
            mark: None,
            last: None,
        }
    }
}
