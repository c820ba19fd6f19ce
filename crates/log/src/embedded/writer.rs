//! The writer: one thread through which every append goes.
//!
//! It takes all that waits, writes once per topic, syncs once per topic, and only
//! then answers everybody: the group commit. After a failed write or sync it
//! answers `Poisoned` until the log is opened again.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::{
    disk::topic_dir,
    frame,
    index::Index,
    keeper::Job,
    lane::Lane,
    segment::{self, Segment},
    shared::Shared,
    tail::{self, Failure, Tail},
};
use crate::port::{AppendError, Record, Topic};

/// The most that one commit takes along.
const COMMIT_BYTES: usize = 8 << 20;
const COMMIT_APPENDS: usize = 4096;
/// With less than this left, the keeper is asked to reserve more.
const HEADROOM: u64 = 512 << 10;

/// What the writer is asked to do.
pub(crate) enum Command {
    /// Store records.
    Append(Append),
    /// Begin a new segment, so that the one before can be removed.
    Roll(Topic, oneshot::Sender<()>),
    /// Stop, after everything that was asked before.
    Stop,
}

/// An append that waits for its commit.
pub(crate) struct Append {
    pub(crate) topic: Topic,
    pub(crate) records: Vec<Record>,
    pub(crate) reply: Reply,
    /// Its share of what may wait, given back when it is dropped.
    pub(crate) share: OwnedSemaphorePermit,
}

/// Where the first offset goes, or why there is none.
type Reply = oneshot::Sender<Result<u64, AppendError>>;

/// An append that is acknowledged once its lane is synced.
struct Promise {
    reply: Reply,
    offset: u64,
    records: u64,
}

/// The ends of all lanes, and who asks for what.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    tails: HashMap<Topic, Tail>,
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, tails: HashMap<Topic, Tail>) -> Self {
        Self { shared, tails }
    }

    /// Serves commands until it is told to stop; leaves the ends of the lanes.
    pub(crate) fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) -> HashMap<Topic, Tail> {
        while let Some(command) = commands.blocking_recv() {
            let mut waiting = Waiting::default();
            let mut other = waiting.take(command);
            while other.is_none() && waiting.has_room() {
                let Ok(command) = commands.try_recv() else { break };
                other = waiting.take(command);
            }
            if !waiting.appends.is_empty() {
                self.commit(waiting.appends);
            }
            match other {
                Some(Command::Roll(topic, done)) => self.roll(&topic, done),
                Some(Command::Stop) => break,
                Some(Command::Append(_)) | None => {}
            }
        }
        self.tails
    }

    /// One group commit.
    fn commit(&mut self, appends: Vec<Append>) {
        let began = Instant::now();
        let mut promises = Vec::with_capacity(appends.len());
        match self.refusal() {
            Some(error) => self.refuse(appends, &error),
            None => {
                let now_ms = self.shared.options.clock();
                for (topic, appends) in by_topic(appends) {
                    self.write(topic, appends, now_ms, &mut promises);
                }
                self.sync();
            }
        }
        if let Some(error) = self.poisoned() {
            promises.into_iter().for_each(|promise| drop(promise.reply.send(Err(error.clone()))));
            return;
        }
        if promises.is_empty() {
            return;
        }
        self.shared.counters.committed(began.elapsed());
        let records = promises.iter().map(|promise| promise.records).sum();
        self.shared.counters.appended(promises.len() as u64, records);
        promises.into_iter().for_each(|promise| drop(promise.reply.send(Ok(promise.offset))));
        self.shared.changed.send_replace(());
    }

    /// Why nothing can be stored now, known before anything is written.
    fn refusal(&self) -> Option<AppendError> {
        let options = &self.shared.options;
        let free = self.shared.disk.free_bytes(&options.dir).unwrap_or(u64::MAX);
        let is_low = free < options.min_free_bytes;
        self.shared.counters.set_full(is_low);
        self.poisoned().or_else(|| {
            let wanted = options.min_free_bytes;
            is_low.then(|| AppendError::Full(format!("{free} bytes are free, {wanted} are to stay free")))
        })
    }

    fn poisoned(&self) -> Option<AppendError> {
        self.shared.counters.poisoned().map(|reason| AppendError::Poisoned(reason.clone()))
    }

    /// Answers with an error, and takes note of it.
    fn refuse(&self, appends: impl IntoIterator<Item = Append>, error: &AppendError) {
        appends.into_iter().for_each(|append| drop(append.reply.send(Err(error.clone()))));
    }

    /// The answer to a failure, of which the log takes note.
    fn note(&self, failure: Failure) -> AppendError {
        match failure {
            Failure::Full(reason) => {
                self.shared.counters.set_full(true);
                AppendError::Full(reason)
            }
            Failure::Refused(reason) => AppendError::Unavailable { reason, after: None },
            Failure::Poison(reason) => {
                self.shared.counters.poison(reason.clone());
                AppendError::Poisoned(reason)
            }
        }
    }

    /// Writes one topic's appends; those that cannot be are answered here.
    fn write(&mut self, topic: Topic, appends: Vec<Append>, now_ms: u64, promises: &mut Vec<Promise>) {
        let mut tail = match self.tail(&topic) {
            Ok(tail) => tail,
            Err(failure) => return self.refuse(appends, &self.note(failure)),
        };
        let mut staged = Vec::with_capacity(appends.len());
        let mut appends = appends.into_iter();
        while let Some(append) = appends.next() {
            if !tail.fits(frame::size(&append.records), self.shared.options.segment_bytes)
                && let Err(error) = self.next_segment(&mut tail, &mut staged, promises)
            {
                self.refuse([append].into_iter().chain(appends.by_ref()), &error);
                break;
            }
            let offset = tail.stage(&append.records, now_ms);
            staged.push(Promise { reply: append.reply, offset, records: append.records.len() as u64 });
            drop(append.share);
        }
        let _ = self.flush(&mut tail, &mut staged, promises);
        self.look_ahead(&mut tail);
        self.tails.insert(topic, tail);
    }

    /// Writes what is staged; its promises are kept or answered.
    fn flush(
        &self,
        tail: &mut Tail,
        staged: &mut Vec<Promise>,
        promises: &mut Vec<Promise>,
    ) -> Result<(), AppendError> {
        match tail.write() {
            Ok(bytes) => {
                self.shared.counters.wrote(bytes as u64);
                promises.append(staged);
                Ok(())
            }
            Err(failure) => {
                let error = self.note(failure);
                staged.drain(..).for_each(|promise| drop(promise.reply.send(Err(error.clone()))));
                Err(error)
            }
        }
    }

    /// Finishes a full segment and begins the next.
    fn next_segment(
        &self,
        tail: &mut Tail,
        staged: &mut Vec<Promise>,
        promises: &mut Vec<Promise>,
    ) -> Result<(), AppendError> {
        self.flush(tail, staged, promises)?;
        if let Some(error) = self.poisoned() {
            return Err(error);
        }
        self.rotate(tail).map_err(|failure| self.note(failure))
    }

    fn rotate(&self, tail: &mut Tail) -> Result<(), Failure> {
        if tail.is_unsynced() {
            tail.sync()?;
            tail.show();
        }
        let (segment, file, len) = (Arc::clone(&tail.segment), Arc::clone(&tail.file), tail.filled());
        tail.rotate(&*self.shared.disk, self.shared.options.segment_bytes)?;
        self.shared.ask(Job::Seal { segment, file, len });
        Ok(())
    }

    /// Makes every lane that was written to durable, and shows it.
    fn sync(&mut self) {
        for tail in self.tails.values_mut().filter(|tail| tail.is_unsynced()) {
            if self.shared.counters.poisoned().is_some() {
                return;
            }
            match tail.sync() {
                Ok(()) => tail.show(),
                Err(Failure::Full(reason) | Failure::Refused(reason) | Failure::Poison(reason)) => {
                    self.shared.counters.poison(reason);
                }
            }
        }
    }

    fn roll(&mut self, topic: &Topic, done: oneshot::Sender<()>) {
        if let Some(mut tail) = self.tails.remove(topic) {
            if tail.filled() > 0
                && self.poisoned().is_none()
                && let Err(failure) = self.rotate(&mut tail)
            {
                self.note(failure);
            }
            self.tails.insert(topic.clone(), tail);
        }
        let _ = done.send(());
    }

    /// The end of a topic's lane, taken out; made if the topic is new.
    fn tail(&mut self, topic: &Topic) -> Result<Tail, Failure> {
        match self.tails.remove(topic) {
            Some(tail) => Ok(tail),
            None => self.create(topic),
        }
    }

    fn create(&self, topic: &Topic) -> Result<Tail, Failure> {
        let Shared { disk, options, .. } = &*self.shared;
        let dir = topic_dir(&options.dir, topic.as_str());
        let above = dir.parent().unwrap_or(&options.dir);
        disk.create_dir(&dir).map_err(|error| tail::refusal("make a topic", &error))?;
        let base = self.shared.known_end(topic);
        let (file, size) = tail::create(&**disk, &segment::path(&dir, base), options.segment_bytes)?;
        for dir in [&*dir, above] {
            disk.sync_dir(dir)
                .map_err(|error| Failure::Poison(format!("cannot sync a directory: {error}")))?;
        }
        let index = Index::new(base);
        let segment = Arc::new(Segment::indexed(&dir, base, index.clone()));
        let lane = Arc::new(Lane::new(topic.clone(), dir, vec![Arc::clone(&segment)], base));
        self.shared.add(Arc::clone(&lane));
        let tail = Tail::new(lane, segment, file, &index, 0);
        tail.reserved.store(size, Ordering::Release);
        Ok(tail)
    }

    /// Asks the keeper for space before it is needed.
    fn look_ahead(&self, tail: &mut Tail) {
        let limit = self.shared.options.segment_bytes;
        let (filled, reserved) = (tail.filled(), tail.reserved.load(Ordering::Acquire));
        if reserved < limit.min(filled + HEADROOM) {
            let to = limit.min((reserved * 2).max(filled + 2 * HEADROOM));
            let (file, reserved) = (Arc::clone(&tail.file), Arc::clone(&tail.reserved));
            self.shared.ask(Job::Reserve { file, reserved, to });
        }
        if filled > limit / 2 && !tail.spare_wanted {
            tail.spare_wanted = true;
            self.shared.ask(Job::Spare { dir: tail.lane.dir.clone(), slot: Arc::clone(&tail.spare) });
        }
    }
}

/// What one commit takes along.
#[derive(Default)]
struct Waiting {
    appends: Vec<Append>,
    bytes: usize,
}

impl Waiting {
    /// Keeps an append; gives back every other command.
    fn take(&mut self, command: Command) -> Option<Command> {
        let Command::Append(append) = command else { return Some(command) };
        self.bytes += frame::size(&append.records);
        self.appends.push(append);
        None
    }

    fn has_room(&self) -> bool {
        self.appends.len() < COMMIT_APPENDS && self.bytes < COMMIT_BYTES
    }
}

/// The appends of each topic, in the order in which they came.
fn by_topic(appends: Vec<Append>) -> Vec<(Topic, Vec<Append>)> {
    let mut found: Vec<(Topic, Vec<Append>)> = Vec::new();
    let mut places = HashMap::new();
    for append in appends {
        let place = *places.entry(append.topic.clone()).or_insert(found.len());
        if place == found.len() {
            found.push((append.topic.clone(), Vec::new()));
        }
        found[place].1.push(append);
    }
    found
}
