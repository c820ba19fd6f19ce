//! From a record of the log to rows: which topic means what.
//!
//! | topic | rows |
//! |---|---|
//! | `hook.deliveries` | attempts |
//! | `hook.redeliver.*` | the dead letter that was sent again is marked |
//! | `hook.ledger` | the dead letters that were purged are marked |
//! | the dead-letter topic | dead letters |
//! | other `hook.*` | none |
//! | every other topic | events and their claims |
//!
//! A record that is not what its topic promises makes no row: delivery, not the
//! ledger, decides what becomes of it.

use hook_core::{journal, ports::claim_key};
use hook_event::{DeadLetter, Event, EventId};
use hook_log::{Entry, Topic};
use rusqlite::{Transaction, params};

use crate::{
    MARKS, Mark,
    claims::{Key, hash},
};

/// What one transaction needs to know besides the record.
pub(crate) struct Indexer {
    /// The topic of dead letters.
    pub(crate) dead_letters: Topic,
    /// Claims made before this moment have expired already.
    pub(crate) oldest_claim_ms: i64,
    /// How long a claim holds.
    pub(crate) ttl_ms: i64,
}

/// Whether the topic has rows at all.
pub(crate) fn is_indexed(topic: &Topic) -> bool {
    let name = topic.as_str();
    !name.starts_with("hook.")
        || name == journal::TOPIC
        || name == MARKS
        || name.starts_with("hook.redeliver.")
}

/// Later topics speak about the rows of earlier ones.
pub(crate) fn catch_up_order(topic: &Topic) -> (u8, Topic) {
    let late = topic.as_str() == MARKS || topic.as_str().starts_with("hook.redeliver.");
    (u8::from(late), topic.clone())
}

impl Indexer {
    /// Writes the rows of one record; returns the claim that now has one.
    pub(crate) fn index(
        &self,
        tx: &Transaction<'_>,
        topic: i64,
        entry: &Entry,
    ) -> rusqlite::Result<Option<(Key, EventId)>> {
        let name = entry.position.topic.as_str();
        match name {
            journal::TOPIC => self.attempt(tx, entry)?,
            MARKS => self.mark(tx, entry)?,
            _ if name.starts_with("hook.redeliver.") => self.redelivery(tx, entry)?,
            _ if name.starts_with("hook.") => {}
            _ if entry.position.topic == self.dead_letters => self.dead_letter(tx, entry)?,
            _ => return self.event(tx, topic, entry),
        }
        Ok(None)
    }

    fn event(
        &self,
        tx: &Transaction<'_>,
        topic: i64,
        entry: &Entry,
    ) -> rusqlite::Result<Option<(Key, EventId)>> {
        let Ok(event) = Event::decode(&entry.value) else { return Ok(None) };
        tx.prepare_cached("insert or ignore into event values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)")?
            .execute(params![
                event.id.as_bytes(),
                topic,
                entry.position.lane,
                signed(entry.position.offset),
                event.received_at.as_millisecond(),
                event.source,
                event.event_type,
                event.meta.ingress_adapter,
                event.meta.delivery_id,
                event.meta.subject,
            ])?;
        let Some(delivery) = &event.meta.delivery_id else { return Ok(None) };
        let key = hash(&claim_key(&event.source, delivery));
        self.claim(tx, &key, event.id, event.received_at.as_millisecond())?;
        Ok(Some((key, event.id)))
    }

    /// The first event keeps its claim; one that comes after it expired takes over.
    fn claim(&self, tx: &Transaction<'_>, key: &Key, id: EventId, at_ms: i64) -> rusqlite::Result<()> {
        if at_ms <= self.oldest_claim_ms {
            return Ok(());
        }
        tx.prepare_cached(
            "insert into claim values (?1, ?2, ?3) on conflict (key) do update
             set event = excluded.event, at = excluded.at where excluded.at - claim.at >= ?4",
        )?
        .execute(params![key, id.as_bytes(), at_ms, self.ttl_ms])?;
        Ok(())
    }

    fn attempt(&self, tx: &Transaction<'_>, entry: &Entry) -> rusqlite::Result<()> {
        let Ok(attempt) = serde_json::from_slice::<journal::Attempt>(&entry.value) else { return Ok(()) };
        tx.prepare_cached("insert into attempt values (null, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)")?
            .execute(params![
                attempt.event_id.as_bytes(),
                entry.position.lane,
                signed(entry.position.offset),
                attempt.adapter,
                attempt.attempt,
                attempt.at.as_millisecond(),
                signed(attempt.millis),
                attempt.outcome.as_str(),
                attempt.status,
                attempt.detail,
                attempt.redelivery,
            ])?;
        Ok(())
    }

    fn dead_letter(&self, tx: &Transaction<'_>, entry: &Entry) -> rusqlite::Result<()> {
        let Ok(letter) = DeadLetter::decode(&entry.value) else { return Ok(()) };
        let event = Event::decode(&letter.envelope).ok();
        let id = letter.event_id.or(event.as_ref().map(|event| event.id));
        tx.prepare_cached(
            "insert or ignore into dead_letter
             values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, null, null)",
        )?
        .execute(params![
            entry.position.lane,
            signed(entry.position.offset),
            id.as_ref().map(EventId::as_bytes),
            letter.adapter,
            event.as_ref().map(|event| &event.source),
            event.as_ref().map(|event| &event.event_type),
            letter.failed_at.as_millisecond(),
            letter.error,
            letter.reason,
            letter.attempts,
            letter.status,
            letter.position,
        ])?;
        Ok(())
    }

    fn redelivery(&self, tx: &Transaction<'_>, entry: &Entry) -> rusqlite::Result<()> {
        let Ok(event) = Event::decode(&entry.value) else { return Ok(()) };
        let Some(redelivery) = event.meta.redelivery else { return Ok(()) };
        tx.prepare_cached(
            "update dead_letter set replayed = ?3
             where event = ?1 and (adapter = ?2 or adapter is null) and failed <= ?3",
        )?
        .execute(params![
            event.id.as_bytes(),
            redelivery.adapter,
            redelivery.at.as_millisecond()
        ])?;
        Ok(())
    }

    fn mark(&self, tx: &Transaction<'_>, entry: &Entry) -> rusqlite::Result<()> {
        let Ok(mark) = serde_json::from_slice::<Mark>(&entry.value) else { return Ok(()) };
        let mut purge =
            tx.prepare_cached("update dead_letter set purged = ?3 where lane = ?1 and off = ?2")?;
        for position in mark.purged.iter().filter(|position| position.topic == self.dead_letters) {
            purge.execute(params![position.lane, signed(position.offset), mark.at.as_millisecond()])?;
        }
        Ok(())
    }
}

/// SQLite counts in signed numbers.
pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
