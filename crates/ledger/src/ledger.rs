//! The ledger: its file, its writer, and the claims port.

use std::{
    ops::Deref,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, mpsc},
    thread,
    time::Duration,
};

use hook_core::ports::{ClaimError, Claims, Reservation};
use hook_event::{Clock, EventId};
use hook_log::{Log, Position, Topic};
use jiff::Timestamp;
use tokio::sync::{Notify, oneshot};

use crate::{
    LedgerError, Progress, Reader,
    claims::Claimed,
    store,
    write::{Cursors, Job, Shared, Writer, load_cursors, lock},
};

/// The group in which a ledger follows a log of its own.
pub(crate) const GROUP: &str = "hook.ledger";

/// How a ledger is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long a delivery id is remembered.
    pub dedup_ttl: Duration,
    /// The topic of dead letters.
    pub dead_letters: Topic,
    /// The time.
    pub clock: Clock,
    /// Whether other ledgers follow the same log. Members of one group share a log's
    /// lanes and each ledger must see all of them, so the group is this file's own.
    pub own_group: bool,
}

/// What happened to each event, derived from one log.
pub struct Ledger {
    shared: Arc<Shared>,
    group: String,
    reader: Reader,
    jobs: Option<mpsc::Sender<Job>>,
    writer: Option<thread::JoinHandle<()>>,
}

impl Ledger {
    /// Opens the file, or makes it. A damaged one is moved aside and built again by
    /// the next [`Ledger::catch_up`].
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub fn open(path: impl Into<PathBuf>, options: Options) -> Result<Self, LedgerError> {
        let path = path.into();
        let connection = store::open(&path)?;
        let group = match options.own_group {
            true => format!("{GROUP}.{}", store::name(&connection)?),
            false => GROUP.to_owned(),
        };
        let reader = Reader::open(&path)?;
        let shared = Arc::new(Shared {
            claimed: Mutex::new(Claimed::new(store::open_for_queries(&path)?, options.dedup_ttl)),
            queries: Arc::clone(&reader.0),
            cursors: Mutex::new(load_cursors(&connection)?),
            begun_anew: Notify::new(),
        });
        let writer = Writer {
            path: path.clone(),
            connection,
            shared: Arc::clone(&shared),
            dead_letters: options.dead_letters,
            ttl_ms: i64::try_from(options.dedup_ttl.as_millis()).unwrap_or(i64::MAX),
            clock: options.clock,
            filling: None,
        };
        let (jobs, inbox) = mpsc::channel();
        let writer = thread::Builder::new()
            .name("ledger".into())
            .spawn(move || writer.run(&inbox))
            .map_err(|error| LedgerError::Open { path, reason: error.to_string() })?;
        Ok(Self { shared, group, reader, jobs: Some(jobs), writer: Some(writer) })
    }

    /// Deletes the file and builds it again from the log.
    ///
    /// # Errors
    /// When the log cannot be read or the file cannot be written.
    pub async fn rebuild(
        path: &Path,
        options: Options,
        log: &dyn Log,
        progress: impl FnMut(Progress) + Send,
    ) -> Result<Self, LedgerError> {
        store::remove(path)?;
        let ledger = Self::open(path, options)?;
        ledger.catch_up(log, progress).await?;
        Ok(ledger)
    }

    pub(crate) fn claimed(&self) -> MutexGuard<'_, Claimed> {
        lock(&self.shared.claimed)
    }

    pub(crate) async fn begun_anew(&self) {
        self.shared.begun_anew.notified().await;
    }

    /// Whether the record at this position was read, so that answers speak of it.
    pub fn has_read(&self, position: &Position) -> bool {
        let cursors = lock(&self.shared.cursors);
        cursors.get(&(position.topic.clone(), position.lane)).is_some_and(|next| *next > position.offset)
    }

    /// The group in which the ledger follows the log.
    pub(crate) fn group(&self) -> &str {
        &self.group
    }

    /// The next offset to read, by topic and lane.
    pub fn cursors(&self) -> Cursors {
        lock(&self.shared.cursors).clone()
    }

    /// Gives the writer a job and waits until it is done.
    pub(crate) async fn send<T>(
        &self,
        job: impl FnOnce(oneshot::Sender<Result<T, LedgerError>>) -> Job,
    ) -> Result<T, LedgerError> {
        let (done, answer) = oneshot::channel();
        let jobs = self.jobs.as_ref().ok_or(LedgerError::Closed)?;
        jobs.send(job(done)).map_err(|_| LedgerError::Closed)?;
        answer.await.map_err(|_| LedgerError::Closed)?
    }
}

/// Whoever has the ledger can ask what a reader can.
impl Deref for Ledger {
    type Target = Reader;

    fn deref(&self) -> &Reader {
        &self.reader
    }
}

impl Claims for Ledger {
    fn reserve(&self, key: &str, id: EventId, now: Timestamp) -> Result<Reservation, ClaimError> {
        let mut claimed = self.claimed();
        claimed.reserve(key, id, now).map_err(|error| {
            // The writer may never look at the page that is broken, so it has to be told.
            if let (true, Some(jobs)) = (error.is_damage(), &self.jobs) {
                let _ = jobs.send(Job::Replace(claimed.generation()));
            }
            ClaimError(error.to_string())
        })
    }

    fn keep(&self, key: &str, id: EventId, at: Timestamp) {
        self.claimed().keep(key, id, at);
    }

    fn release(&self, key: &str, id: EventId) {
        self.claimed().release(key, id);
    }
}

/// Waits for the writer, so that the file is closed when the ledger is gone.
impl Drop for Ledger {
    fn drop(&mut self) {
        self.jobs.take();
        if let Some(writer) = self.writer.take() {
            // A panic in the writer was reported when it happened.
            let _ = writer.join();
        }
    }
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ledger(..)")
    }
}
