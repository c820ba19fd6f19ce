//! Claims: reserved in memory, kept in memory until SQLite has them, then read there.
//!
//! A claim becomes a row when the follower reads its event from the log, so there is
//! one way into the file and a crash between the append and the `keep` costs nothing.
//! INVARIANT: a kept claim leaves memory only after its row is committed, so at every
//! moment one of the two places knows it.

use std::{collections::HashMap, time::Duration};

use hook_core::ports::Reservation;
use hook_event::EventId;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension};
use sha2::{Digest, Sha256};

use crate::{LedgerError, known::Known};

/// Kept claims that may wait for their row. Beyond it senders are told to come back:
/// memory stays bounded, and no duplicate slips through while the follower is stuck.
const MOST_WAITING: usize = 400_000;
/// From this capacity on, memory is given back when most of it is unused.
const SHRUNK_FROM: usize = 8192;

/// A claim's name in memory and on disk: the first 16 bytes of the key's SHA-256.
pub(crate) type Key = [u8; 16];

/// What is claimed, and the connection that knows the older rest.
pub(crate) struct Claimed {
    held: HashMap<Key, Held>,
    waiting: usize,
    most_waiting: usize,
    rows: Connection,
    /// Which keys need not be looked for in the rows; none says of no key that it need not.
    known: Option<Known>,
    ttl_ms: i64,
    caught_up: bool,
    generation: u64,
}

#[derive(Clone, Copy)]
enum Held {
    Reserved { id: EventId },
    Kept { id: EventId, at_ms: i64 },
}

impl Claimed {
    pub(crate) fn new(rows: Connection, ttl: Duration) -> Self {
        let ttl_ms = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX);
        Self {
            held: HashMap::new(),
            waiting: 0,
            most_waiting: MOST_WAITING,
            rows,
            known: None,
            ttl_ms,
            caught_up: false,
            generation: 0,
        }
    }

    pub(crate) fn reserve(
        &mut self,
        key: &str,
        id: EventId,
        now: Timestamp,
    ) -> Result<Reservation, LedgerError> {
        if !self.caught_up {
            return Err(LedgerError::Behind("it has not caught up with the log yet".into()));
        }
        let key = hash(key);
        let oldest = now.as_millisecond().saturating_sub(self.ttl_ms);
        match self.held.get(&key) {
            Some(Held::Reserved { .. }) => return Ok(Reservation::InFlight),
            Some(Held::Kept { id, at_ms }) if *at_ms > oldest => return Ok(Reservation::Duplicate(*id)),
            Some(Held::Kept { .. }) | None => {}
        }
        if self.waiting >= self.most_waiting {
            return Err(LedgerError::Behind(format!("{} claims wait to be written", self.waiting)));
        }
        if let Some(id) = self.stored(&key, oldest)? {
            return Ok(Reservation::Duplicate(id));
        }
        self.put(key, Held::Reserved { id });
        Ok(Reservation::New)
    }

    /// Does nothing for a claim whose row is committed already: the follower can be
    /// faster than the one who reserved, and would not come by a second time.
    pub(crate) fn keep(&mut self, key: &str, id: EventId, at: Timestamp) {
        let key = hash(key);
        if self.is_reserved(&key, id) {
            self.put(key, Held::Kept { id, at_ms: at.as_millisecond() });
        }
    }

    /// Does nothing for a claim that another event holds by now: its row may have been
    /// committed, and have expired or been lost, before this one was given up.
    pub(crate) fn release(&mut self, key: &str, id: EventId) {
        let key = hash(key);
        if self.is_reserved(&key, id) {
            self.held.remove(&key);
        }
    }

    fn is_reserved(&self, key: &Key, by: EventId) -> bool {
        matches!(self.held.get(key), Some(Held::Reserved { id }) if *id == by)
    }

    /// Forgets what SQLite has now. Whether it is time for a new filter.
    pub(crate) fn written(&mut self, claims: &[(Key, EventId)]) -> bool {
        for (key, written) in claims {
            if let Some(known) = &mut self.known {
                known.insert(key);
            }
            let (id, waits) = match self.held.get(key) {
                Some(Held::Reserved { id }) => (id, 0),
                Some(Held::Kept { id, .. }) => (id, 1),
                None => continue,
            };
            if id == written {
                self.held.remove(key);
                self.waiting -= waits;
            }
        }
        if self.held.capacity() > SHRUNK_FROM && self.held.len() < self.held.capacity() / 8 {
            self.held.shrink_to(self.held.len() * 2);
        }
        self.known.as_ref().is_some_and(Known::is_full)
    }

    /// Has a filter that knows every row.
    pub(crate) fn know(&mut self, known: Known) {
        self.known = Some(known);
    }

    /// Counts the times that the rows were begun anew. Whoever reads the log into the
    /// ledger goes on only in the generation in which it began; else the part that was
    /// read before would be missing, and nobody would know.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Every event of the log is known now, so a missing claim means a new event.
    pub(crate) fn catch_up_done(&mut self, generation: u64) {
        self.caught_up = generation == self.generation;
    }

    /// The rows are gone; no claim can be judged until they are back.
    pub(crate) fn begin_anew(&mut self) {
        self.caught_up = false;
        self.generation += 1;
    }

    /// Looks into another file from now on: the old one was damaged.
    pub(crate) fn look_into(&mut self, rows: Connection) {
        self.rows = rows;
        self.begin_anew();
    }

    fn stored(&self, key: &Key, oldest: i64) -> rusqlite::Result<Option<EventId>> {
        if self.known.as_ref().is_some_and(|known| !known.may_have(key)) {
            return Ok(None);
        }
        let mut statement = self.rows.prepare_cached("select event from claim where key = ?1 and at > ?2")?;
        let event = statement.query_row((key, oldest), |row| row.get::<_, [u8; 16]>(0)).optional()?;
        Ok(event.map(EventId::from_bytes))
    }

    fn put(&mut self, key: Key, held: Held) {
        let waits = |held: &Held| usize::from(matches!(held, Held::Kept { .. }));
        self.waiting += waits(&held);
        if let Some(before) = self.held.insert(key, held) {
            self.waiting -= waits(&before);
        }
    }
}

/// The 16 bytes under which a claim is known.
pub(crate) fn hash(key: &str) -> Key {
    let digest: [u8; 32] = Sha256::digest(key.as_bytes()).into();
    let mut short = Key::default();
    short.copy_from_slice(&digest[..16]);
    short
}

#[cfg(test)]
mod tests {
    use hook_event::Entropy;

    use super::*;

    fn some_id() -> EventId {
        EventId::new(now(), Entropy::SYSTEM)
    }

    fn now() -> Timestamp {
        Timestamp::from_second(1_753_000_000).unwrap()
    }

    fn claimed() -> Claimed {
        let rows = Connection::open_in_memory().unwrap();
        rows.execute_batch("create table claim (key blob primary key, event blob, at integer)").unwrap();
        let mut claimed = Claimed::new(rows, Duration::from_secs(60));
        claimed.catch_up_done(0);
        claimed
    }

    #[test]
    fn a_follower_that_is_stuck_stops_senders_before_memory_is_full() {
        let mut claimed = Claimed { most_waiting: 2, ..claimed() };
        let ids = [1, 2].map(|n| {
            let (key, id) = (format!("github:{n}"), some_id());
            assert_eq!(claimed.reserve(&key, id, now()).unwrap(), Reservation::New);
            claimed.keep(&key, id, now());
            (hash(&key), id)
        });
        assert!(claimed.reserve("github:3", some_id(), now()).is_err());
        assert_eq!(claimed.reserve("github:1", some_id(), now()).unwrap(), Reservation::Duplicate(ids[0].1));
        claimed.written(&ids[..1]);
        assert_eq!(claimed.reserve("github:3", some_id(), now()).unwrap(), Reservation::New);
    }

    #[test]
    fn a_claim_that_is_written_before_it_is_kept_does_not_wait_for_ever() {
        let mut claimed = claimed();
        let [mine, other] = [some_id(), some_id()];
        assert_eq!(claimed.reserve("github:1", mine, now()).unwrap(), Reservation::New);
        claimed.written(&[(hash("github:1"), other)]);
        assert_eq!(claimed.reserve("github:1", other, now()).unwrap(), Reservation::InFlight);
        claimed.written(&[(hash("github:1"), mine)]);
        claimed.keep("github:1", mine, now());
        assert_eq!((claimed.held.len(), claimed.waiting), (0, 0));
    }

    #[test]
    fn who_comes_late_leaves_alone_what_another_holds_by_now() {
        type Late = fn(&mut Claimed, EventId);
        let late: [Late; 2] = [
            |claimed, id| claimed.release("github:1", id),
            |claimed, id| claimed.keep("github:1", id, now()),
        ];
        for late in late {
            let mut claimed = claimed();
            let [first, second] = [some_id(), some_id()];
            assert_eq!(claimed.reserve("github:1", first, now()).unwrap(), Reservation::New);
            // The follower was faster, and the row is gone already.
            claimed.written(&[(hash("github:1"), first)]);
            assert_eq!(claimed.reserve("github:1", second, now()).unwrap(), Reservation::New);
            late(&mut claimed, first);
            assert_eq!(claimed.reserve("github:1", some_id(), now()).unwrap(), Reservation::InFlight);
            claimed.keep("github:1", second, now());
            assert_eq!(
                claimed.reserve("github:1", some_id(), now()).unwrap(),
                Reservation::Duplicate(second)
            );
        }
    }

    #[test]
    fn memory_is_given_back() {
        let mut claimed = claimed();
        let id = some_id();
        let keys: Vec<_> = (0..4 * SHRUNK_FROM).map(|n| n.to_string()).collect();
        for key in &keys {
            assert_eq!(claimed.reserve(key, id, now()).unwrap(), Reservation::New);
            claimed.keep(key, id, now());
        }
        let written: Vec<_> = keys.iter().map(|key| (hash(key), id)).collect();
        claimed.written(&written);
        assert_eq!((claimed.held.len(), claimed.waiting), (0, 0));
        assert!(claimed.held.capacity() <= SHRUNK_FROM, "{}", claimed.held.capacity());
    }

    #[test]
    fn a_reader_of_an_earlier_generation_does_not_open_the_gate() {
        let mut claimed = claimed();
        let before = claimed.generation();
        claimed.begin_anew();
        claimed.catch_up_done(before);
        assert!(claimed.reserve("github:1", some_id(), now()).is_err());
        claimed.catch_up_done(claimed.generation());
        assert_eq!(claimed.reserve("github:1", some_id(), now()).unwrap(), Reservation::New);
    }
}
