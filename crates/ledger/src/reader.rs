//! Answers to questions about events and dead letters, also in a process that does
//! not write.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex},
};

use hook_core::journal::{Attempt, Outcome};
use hook_event::EventId;
use hook_log::{Position, Topic};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row};

use crate::{
    DeadLetterQuery, DeadLetterRow, EventQuery, EventRow, Fate, LedgerError, Totals, store, write::lock,
};

/// Reads a ledger, whether this process writes it or another.
#[derive(Clone)]
pub struct Reader(pub(crate) Arc<Mutex<Connection>>);

impl Reader {
    /// Opens a file that a ledger made.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        Ok(Self(Arc::new(Mutex::new(store::open_for_queries(path)?))))
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

fn event(connection: &Connection, id: EventId) -> Result<Option<EventRow>, LedgerError> {
    let mut statement = connection.prepare_cached(&format!("{EVENT} where event.id = ?1"))?;
    let found = statement.query_row([id.as_bytes()], event_row).optional()?;
    found.map(|row| with_fates(connection, row)).transpose()
}

fn events(connection: &Connection, query: &EventQuery) -> Result<Vec<EventRow>, LedgerError> {
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

fn attempts(connection: &Connection, id: EventId) -> Result<Vec<Attempt>, LedgerError> {
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

fn dead_letters(connection: &Connection, query: &DeadLetterQuery) -> Result<Vec<DeadLetterRow>, LedgerError> {
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

fn totals(connection: &Connection) -> Result<Totals, LedgerError> {
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
