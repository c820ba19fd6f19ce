//! The one thread that writes.
//!
//! Its jobs come one after another and each is one transaction. When it finds the
//! file damaged it moves it aside, opens a new one, and says so by
//! [`LedgerError::Rebuilding`]: whoever sent the job starts again from the log.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{self, TryRecvError},
    },
};

use hook_event::Clock;
use hook_log::{Entry, Topic, TopicInfo};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use tokio::sync::{Notify, oneshot};

use crate::{
    LedgerError,
    claims::Claimed,
    index::{Indexer, signed},
    known::Filling,
    store,
};

/// Rows that one pruning job removes from a table at most: a few milliseconds.
const PRUNED_AT_ONCE: u32 = 500;

/// The next offset to index, by topic and lane.
pub(crate) type Cursors = BTreeMap<(Topic, u32), u64>;

/// What the writer shares with those who ask.
pub(crate) struct Shared {
    pub(crate) claimed: Mutex<Claimed>,
    pub(crate) queries: Arc<Mutex<Connection>>,
    pub(crate) cursors: Mutex<Cursors>,
    /// Wakes the follower when rows are gone that only it can bring back.
    pub(crate) begun_anew: Notify,
}

/// What the thread is asked to do. `done` hears how it went.
pub(crate) enum Job {
    /// Make rows of records and remember their positions, unless the rows were begun
    /// anew since the reader of that generation began.
    Index(u64, Vec<Entry>, Done<()>),
    /// Remove a few rows whose claim expired or whose record is gone; says how many.
    Prune(Vec<TopicInfo>, Done<usize>),
    /// Remove everything: the rows belong to another log.
    Clear(Done<()>),
    /// Put the file aside, unless it is another one by now: a reader found it damaged.
    Replace(u64),
}

type Done<T> = oneshot::Sender<Result<T, LedgerError>>;

pub(crate) struct Writer {
    pub(crate) path: PathBuf,
    pub(crate) connection: Connection,
    pub(crate) shared: Arc<Shared>,
    pub(crate) dead_letters: Topic,
    pub(crate) ttl_ms: i64,
    pub(crate) clock: Clock,
    /// A filter of claims that is being made.
    pub(crate) filling: Option<Filling>,
}

impl Writer {
    /// Works until nobody can send jobs any more. In between it makes the filter of claims.
    pub(crate) fn run(mut self, jobs: &mpsc::Receiver<Job>) {
        self.begin_filling();
        loop {
            let job = match self.filling.take() {
                None => jobs.recv().map_err(|_| TryRecvError::Disconnected),
                Some(filling) => {
                    self.fill(filling);
                    jobs.try_recv()
                }
            };
            match job {
                Ok(job) => self.work(job),
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => return,
            }
        }
    }

    fn work(&mut self, job: Job) {
        match job {
            Job::Index(generation, entries, done) => {
                self.answer(done, |writer| writer.index(generation, &entries));
            }
            Job::Prune(topics, done) => self.answer(done, |writer| writer.prune(&topics)),
            Job::Replace(generation) => self.replace_damaged(generation),
            Job::Clear(done) => self.answer(done, Self::clear),
        }
    }

    fn begin_filling(&mut self) {
        match Filling::begin(&self.connection) {
            Ok(filling) => self.filling = Some(filling),
            Err(error) => not_filled(&error),
        }
    }

    /// One step. Without a filter every claim is looked for in the rows, so a failure
    /// costs time only; whoever needs the rows will meet their damage.
    fn fill(&mut self, filling: Filling) {
        match filling.step(&self.connection) {
            Ok(Ok(known)) => lock(&self.shared.claimed).know(known),
            Ok(Err(more)) => self.filling = Some(more),
            Err(error) => not_filled(&error),
        }
    }

    fn answer<T>(&mut self, done: Done<T>, work: impl FnOnce(&mut Self) -> Result<T, LedgerError>) {
        let result = match work(self) {
            Err(error) if error.is_damage() => Err(self.replace().err().unwrap_or(LedgerError::Rebuilding)),
            other => other,
        };
        // Whoever asked may have stopped waiting; the work is done all the same.
        let _ = done.send(result);
    }

    fn index(&mut self, generation: u64, entries: &[Entry]) -> Result<(), LedgerError> {
        if generation != lock(&self.shared.claimed).generation() {
            return Err(LedgerError::Rebuilding);
        }
        let mut cursors = lock(&self.shared.cursors).clone();
        let now = self.clock.now().as_millisecond();
        let indexer = Indexer {
            dead_letters: self.dead_letters.clone(),
            oldest_claim_ms: now.saturating_sub(self.ttl_ms),
            ttl_ms: self.ttl_ms,
        };
        let tx = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut written = Vec::new();
        let mut topics = HashMap::new();
        for entry in entries {
            let next = cursors.entry((entry.position.topic.clone(), entry.position.lane)).or_default();
            if entry.position.offset < *next {
                continue;
            }
            let topic = topic_number(&tx, &mut topics, &entry.position.topic)?;
            written.extend(indexer.index(&tx, topic, entry)?);
            *next = entry.position.offset + 1;
        }
        for ((topic, lane), next) in &cursors {
            let Some(number) = topics.get(topic) else { continue };
            tx.prepare_cached("insert or replace into cursor values (?1, ?2, ?3)")?.execute(params![
                number,
                lane,
                signed(*next)
            ])?;
        }
        tx.commit()?;
        *lock(&self.shared.cursors) = cursors;
        if let Some(filling) = &mut self.filling {
            written.iter().for_each(|(key, _)| filling.insert(key));
        }
        if lock(&self.shared.claimed).written(&written) && self.filling.is_none() {
            self.begin_filling();
        }
        Ok(())
    }

    fn prune(&mut self, topics: &[TopicInfo]) -> Result<usize, LedgerError> {
        let expired = self.clock.now().as_millisecond().saturating_sub(self.ttl_ms);
        let tx = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut removed = tx
            .prepare_cached(
                "delete from claim where key in (select key from claim where at <= ?1 order by at limit ?2)",
            )?
            .execute(params![expired, PRUNED_AT_ONCE])?;
        for info in topics {
            for lane in info.lanes.iter().filter(|lane| lane.first > 0) {
                removed += prune_lane(&tx, (&info.topic, lane.lane, lane.first), &self.dead_letters)?;
            }
        }
        tx.commit()?;
        Ok(removed)
    }

    fn clear(&mut self) -> Result<(), LedgerError> {
        // Held throughout: whoever sees the new generation must not get the old cursors,
        // and when the rows stay, so must the cursors.
        let mut cursors = lock(&self.shared.cursors);
        lock(&self.shared.claimed).begin_anew();
        store::clear(&mut self.connection)?;
        cursors.clear();
        drop(cursors);
        self.begin_filling();
        Ok(())
    }

    fn replace_damaged(&mut self, generation: u64) {
        if generation != lock(&self.shared.claimed).generation() {
            return;
        }
        match self.replace() {
            Ok(()) => self.shared.begun_anew.notify_one(),
            Err(error) => tracing::error!(%error, "the ledger's damaged file could not be replaced"),
        }
    }

    /// Opens a new file in place of the damaged one.
    fn replace(&mut self) -> Result<(), LedgerError> {
        store::move_aside(&self.path)?;
        let connection = store::open(&self.path)?;
        let rows = store::open_for_queries(&self.path)?;
        let queries = store::open_for_queries(&self.path)?;
        self.connection = connection;
        // Before the generation is new: whoever begins in it begins at these cursors.
        lock(&self.shared.cursors).clear();
        lock(&self.shared.claimed).look_into(rows);
        *lock(&self.shared.queries) = queries;
        self.begin_filling();
        Ok(())
    }
}

fn not_filled(error: &rusqlite::Error) {
    tracing::warn!(%error, "the filter of delivery ids could not be made; every new one is looked up");
}

/// A few rows of one lane whose records are gone: those before `first`.
fn prune_lane(
    tx: &Transaction<'_>,
    (topic, lane, first): (&Topic, u32, u64),
    dead_letters: &Topic,
) -> rusqlite::Result<usize> {
    let first = signed(first);
    if topic.as_str() == hook_core::journal::TOPIC {
        // Rows are numbered as they were read, so the ones that are gone come first.
        return tx
            .prepare_cached(
                "delete from attempt where seq in (select seq from
                 (select seq, lane, off from attempt order by seq limit ?3) where lane = ?1 and off < ?2)",
            )?
            .execute(params![lane, first, PRUNED_AT_ONCE]);
    }
    if topic == dead_letters {
        return tx
            .prepare_cached(
                "delete from dead_letter where lane = ?1 and off in
                 (select off from dead_letter where lane = ?1 and off < ?2 order by off limit ?3)",
            )?
            .execute(params![lane, first, PRUNED_AT_ONCE]);
    }
    tx.prepare_cached(
        "delete from event where id in (select event.id from event join topic on topic.id = event.topic
         where topic.name = ?1 and lane = ?2 and off < ?3 order by off limit ?4)",
    )?
    .execute(params![topic.as_str(), lane, first, PRUNED_AT_ONCE])
}

/// The cursors as the file has them.
pub(crate) fn load_cursors(connection: &Connection) -> Result<Cursors, LedgerError> {
    let mut statement =
        connection.prepare("select name, lane, next from cursor join topic on topic.id = cursor.topic")?;
    let rows =
        statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get(1)?, row.get::<_, i64>(2)?)))?;
    let mut cursors = Cursors::new();
    for row in rows {
        let (name, lane, next) = row?;
        if let Ok(topic) = Topic::new(&name) {
            cursors.insert((topic, lane), u64::try_from(next).unwrap_or(0));
        }
    }
    Ok(cursors)
}

/// A lock that a panicking holder does not spoil: every holder leaves the value whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn topic_number(
    tx: &Transaction<'_>,
    known: &mut HashMap<Topic, i64>,
    topic: &Topic,
) -> rusqlite::Result<i64> {
    if let Some(number) = known.get(topic) {
        return Ok(*number);
    }
    let found = tx
        .prepare_cached("select id from topic where name = ?1")?
        .query_row([topic.as_str()], |row| row.get(0))
        .optional()?;
    let number = match found {
        Some(number) => number,
        None => {
            tx.prepare_cached("insert into topic (name) values (?1)")?.execute([topic.as_str()])?;
            tx.last_insert_rowid()
        }
    };
    known.insert(topic.clone(), number);
    Ok(number)
}

#[cfg(test)]
mod tests;
