//! Questions about events and dead letters, also from a process that does not write.

use std::{collections::BTreeMap, path::Path, sync::Mutex};

use hook_core::{
    glob::Glob,
    journal::{Attempt, Outcome},
};
use hook_event::EventId;
use hook_log::{Position, Topic};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row};
use serde::Serialize;

use crate::{LedgerError, store, write::lock};

/// Reads a ledger that another process may be writing.
pub struct Reader(Mutex<Connection>);

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

impl Reader {
    /// Opens a file that a ledger made.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        Ok(Self(Mutex::new(store::open_for_queries(path)?)))
    }

    /// The event of this id.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn event(&self, id: EventId) -> Result<Option<EventRow>, LedgerError> {
        event(&lock(&self.0), id)
    }

    /// The events that fit, newest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn events(&self, query: &EventQuery) -> Result<Vec<EventRow>, LedgerError> {
        events(&lock(&self.0), query)
    }

    /// Every attempt to deliver the event, in order.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn attempts(&self, id: EventId) -> Result<Vec<Attempt>, LedgerError> {
        attempts(&lock(&self.0), id)
    }

    /// The dead letters that fit, newest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn dead_letters(&self, query: &DeadLetterQuery) -> Result<Vec<DeadLetterRow>, LedgerError> {
        dead_letters(&lock(&self.0), query)
    }

    /// How much is known.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn totals(&self) -> Result<Totals, LedgerError> {
        totals(&lock(&self.0))
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reader(..)")
    }
}

const EVENT: &str = "select event.id, name, lane, off, received, source, type, adapter, delivery, subject
    from event join topic on topic.id = event.topic";

pub(crate) fn event(connection: &Connection, id: EventId) -> Result<Option<EventRow>, LedgerError> {
    let mut statement = connection.prepare_cached(&format!("{EVENT} where event.id = ?1"))?;
    let found = statement.query_row([id.as_bytes()], event_row).optional()?;
    found.map(|row| with_fates(connection, row)).transpose()
}

pub(crate) fn events(connection: &Connection, query: &EventQuery) -> Result<Vec<EventRow>, LedgerError> {
    let sql = format!("{EVENT} where event.id >= ?1 and event.id < ?2 order by event.id desc");
    let mut statement = connection.prepare_cached(&sql)?;
    // Ids sort by the time of receipt, so times are ranges of ids.
    let from = query.since.map_or([0; 16], first_id);
    let until = query.until.map_or([0xff; 16], first_id);
    let to = query.before.map_or(until, |before| until.min(*before.as_bytes()));
    let mut rows = statement.query([&from[..], &to[..]])?;
    let mut found = Vec::new();
    while found.len() < query.limit.unwrap_or(100) {
        let Some(row) = rows.next()? else { break };
        let row = event_row(row)?;
        if !query.wants_name(&row) {
            continue;
        }
        let row = with_fates(connection, row)?;
        if query.wants_fate(&row) {
            found.push(row);
        }
    }
    Ok(found)
}

pub(crate) fn attempts(connection: &Connection, id: EventId) -> Result<Vec<Attempt>, LedgerError> {
    let mut statement = connection.prepare_cached(
        "select adapter, number, at, millis, outcome, status, detail, redelivery
         from attempt where event = ?1 order by seq",
    )?;
    let rows = statement.query_map([id.as_bytes()], |row| {
        Ok(Attempt {
            event_id: id,
            adapter: row.get(0)?,
            attempt: row.get(1)?,
            at: time(row.get(2)?),
            millis: unsigned(row.get(3)?),
            outcome: outcome(&row.get::<_, String>(4)?),
            status: row.get(5)?,
            detail: row.get(6)?,
            redelivery: row.get(7)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(crate) fn dead_letters(
    connection: &Connection,
    query: &DeadLetterQuery,
) -> Result<Vec<DeadLetterRow>, LedgerError> {
    let mut statement = connection.prepare_cached(
        "select lane, off, event, adapter, source, type, failed, error, reason, attempts, status, position,
         replayed, purged from dead_letter where (?1 is null or event = ?1)
         order by failed desc, off desc",
    )?;
    let rows = statement.query_map([query.event.as_ref().map(EventId::as_bytes)], dead_letter_row)?;
    let mut found = Vec::new();
    for row in rows {
        let row = row?;
        if found.len() >= query.limit.unwrap_or(usize::MAX) {
            break;
        }
        if query.wants(&row) {
            found.push(row);
        }
    }
    Ok(found)
}

pub(crate) fn totals(connection: &Connection) -> Result<Totals, LedgerError> {
    let count = |sql: &str| -> rusqlite::Result<u64> {
        connection.prepare_cached(sql)?.query_row([], |row| row.get(0)).map(unsigned)
    };
    Ok(Totals {
        events: count("select count(*) from event")?,
        claims: count("select count(*) from claim")?,
        attempts: count("select count(*) from attempt")?,
        dead_letters: count("select count(*) from dead_letter where replayed is null and purged is null")?,
    })
}

impl EventQuery {
    fn wants_name(&self, row: &EventRow) -> bool {
        let fits = |glob: &Option<Glob>, name: &str| glob.as_ref().is_none_or(|glob| glob.matches(name));
        fits(&self.source, &row.source) && fits(&self.event_type, &row.event_type)
    }

    fn wants_fate(&self, row: &EventRow) -> bool {
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
    fn wants(&self, row: &DeadLetterRow) -> bool {
        self.adapter.as_ref().is_none_or(|adapter| row.adapter.as_ref() == Some(adapter))
            && self.reason.as_ref().is_none_or(|reason| row.reason == *reason)
            && self.since.is_none_or(|since| row.failed_at >= since)
            && self.until.is_none_or(|until| row.failed_at < until)
            && self.replayed.is_none_or(|replayed| row.replayed_at.is_some() == replayed)
            && (self.purged || row.purged_at.is_none())
    }
}

fn with_fates(connection: &Connection, mut row: EventRow) -> Result<EventRow, LedgerError> {
    let mut fates = BTreeMap::new();
    for attempt in attempts(connection, row.id)? {
        let fate = Fate {
            adapter: attempt.adapter.clone(),
            outcome: attempt.outcome,
            attempts: attempt.attempt,
            at: attempt.at,
        };
        fates.insert(attempt.adapter, fate);
    }
    row.fates = fates.into_values().collect();
    Ok(row)
}

fn event_row(row: &Row<'_>) -> rusqlite::Result<EventRow> {
    Ok(EventRow {
        id: EventId::from_bytes(row.get(0)?),
        position: Position { topic: topic(row, 1)?, lane: row.get(2)?, offset: unsigned(row.get(3)?) },
        received_at: time(row.get(4)?),
        source: row.get(5)?,
        event_type: row.get(6)?,
        ingress_adapter: row.get(7)?,
        delivery_id: row.get(8)?,
        subject: row.get(9)?,
        fates: Vec::new(),
    })
}

fn dead_letter_row(row: &Row<'_>) -> rusqlite::Result<DeadLetterRow> {
    Ok(DeadLetterRow {
        lane: row.get(0)?,
        offset: unsigned(row.get(1)?),
        event_id: row.get::<_, Option<[u8; 16]>>(2)?.map(EventId::from_bytes),
        adapter: row.get(3)?,
        source: row.get(4)?,
        event_type: row.get(5)?,
        failed_at: time(row.get(6)?),
        error: row.get(7)?,
        reason: row.get(8)?,
        attempts: row.get(9)?,
        status: row.get(10)?,
        event_position: row.get(11)?,
        replayed_at: row.get::<_, Option<i64>>(12)?.map(time),
        purged_at: row.get::<_, Option<i64>>(13)?.map(time),
    })
}

/// The smallest id of an event received at `at` or later.
fn first_id(at: Timestamp) -> [u8; 16] {
    let millis = u64::try_from(at.as_millisecond()).unwrap_or(0);
    let mut id = [0; 16];
    id[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
    id
}

fn topic(row: &Row<'_>, column: usize) -> rusqlite::Result<Topic> {
    let name: String = row.get(column)?;
    Topic::new(&name).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error))
    })
}

/// A name that only a later version writes counts as a failure that will be tried again.
fn outcome(name: &str) -> Outcome {
    let all =
        [Outcome::Delivered, Outcome::Unavailable, Outcome::Halted, Outcome::DeadLettered, Outcome::Dropped];
    all.into_iter().find(|outcome| outcome.as_str() == name).unwrap_or(Outcome::Failed)
}

fn time(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
