//! The embedded log: files in a directory, nothing to install.
//!
//! ```text
//! LOCK                              names the process that has the log
//! cursors.a  cursors.b              how far each group has read
//! topics/TOPIC/OFFSET.seg           frames; named after the first offset
//! topics/TOPIC/OFFSET.idx           where to look in it
//! ```
//!
//! One writer thread makes appends durable together (`writer.rs`), one keeper
//! thread does what nobody waits for (`keeper.rs`), and readers read the files
//! (`reader.rs`). What a crash leaves is settled in `recovery.rs`, what damage
//! leaves in `check.rs`. Each topic has one lane, 0. Deliberately absent:
//! compression, compaction, and more than one process.

mod check;
mod cursors;
pub mod disk;
pub(crate) mod frame;
mod index;
mod keeper;
mod lane;
mod lock;
mod options;
mod reader;
pub(crate) mod recovery;
mod retention;
pub(crate) mod segment;
mod shared;
mod stats;
mod subscription;
mod tail;
mod walk;
mod writer;

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
};

use async_trait::async_trait;
pub use check::{Problem, Progress, Report, TopicReport, repair, verify};
use disk::Disk;
pub use lock::{Held, take as lock_directory};
pub use options::{OpenError, Options, Retention};
pub use stats::{Missed, Stats};
use tokio::sync::{Semaphore, mpsc as tokio_mpsc, oneshot};

use self::{
    cursors::Slots,
    keeper::{Job, Keeper},
    lane::Lane,
    reader::Feed,
    shared::Shared,
    subscription::{GroupReader, LaneScan},
    tail::Tail,
    writer::{Append, Command, Writer},
};
use crate::port::{
    AppendError, Entry, Log, Position, ReadError, Record, Scan, Start, Subscription, Topic, TopicInfo,
    TopicSet,
};

/// What may wait for the writer, in KiB; every append counts at least one.
const WAITING_KIB: u32 = 64 << 10;

/// A log in a directory of this machine. Dropping it closes it.
pub struct EmbeddedLog {
    shared: Arc<Shared>,
    queue: tokio_mpsc::UnboundedSender<Command>,
    waiting: Arc<Semaphore>,
    running: Mutex<Option<Running>>,
    /// Held while a group begins, so that nobody counts on it before it is durable.
    beginning: tokio::sync::Mutex<()>,
}

/// What stops when the log is closed.
struct Running {
    writer: thread::JoinHandle<HashMap<Topic, Tail>>,
    keeper: thread::JoinHandle<()>,
    _lock: Held,
}

impl EmbeddedLog {
    /// Opens the log in `options.dir`, makes it if it is not there, and recovers
    /// what a crash left. Blocks on the disk.
    ///
    /// # Errors
    /// When another process has the directory, an option cannot work, a record
    /// before the end is damaged, or the operating system refuses.
    pub fn open(options: Options, disk: Arc<dyn Disk>) -> Result<Self, OpenError> {
        options.check()?;
        let topics = options.dir.join("topics");
        disk.create_dir(&topics).map_err(|error| options.io(error))?;
        let lock = lock::take(&*disk, &options.dir, &options.label, &options.now)?;
        let (slots, saved) = Slots::open(&*disk, &options.dir).map_err(|error| options.io(error))?;
        let (jobs, job_queue) = mpsc::channel();
        let shared = Arc::new(Shared::new(options, disk, saved, jobs));
        let tails = recover_all(&shared)?;
        let (queue, commands) = tokio_mpsc::unbounded_channel();
        let writer = Writer::new(Arc::clone(&shared), tails);
        let keeper = Keeper::new(Arc::clone(&shared), slots, queue.clone());
        let io = |error| shared.options.io(error);
        let writer = spawn("hook-log-writer", move || writer.run(commands)).map_err(io)?;
        let keeper = spawn("hook-log-keeper", move || keeper.run(&job_queue)).map_err(io)?;
        let running = Mutex::new(Some(Running { writer, keeper, _lock: lock }));
        let (waiting, beginning) =
            (Arc::new(Semaphore::new(WAITING_KIB as usize)), tokio::sync::Mutex::default());
        Ok(Self { shared, queue, waiting, running, beginning })
    }

    /// Finishes what was appended, saves the cursors and gives the directory back.
    /// Readers and appends from now on find the log closed.
    pub fn close(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Running { writer, keeper, _lock }) = running else { return };
        self.shared.close();
        let _ = self.queue.send(Command::Stop);
        let tails = writer.join().unwrap_or_default();
        self.shared.ask(Job::Stop);
        let _ = keeper.join();
        if self.shared.counters.poisoned().is_none() {
            // What was reserved and not used; recovery would cut it too.
            tails.values().for_each(|tail| drop(tail.file.set_len(tail.filled())));
        }
    }

    /// Applies retention now rather than within seconds.
    pub async fn retain(&self) {
        let (done, applied) = oneshot::channel();
        self.shared.ask(Job::Retain(done));
        let _ = applied.await;
    }

    /// What the log has counted.
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// Refuses what is too large before it waits.
    fn check(&self, records: &[Record]) -> Result<(), AppendError> {
        if let Some(reason) = self.shared.counters.poisoned() {
            return Err(AppendError::Poisoned(reason.clone()));
        }
        let limit = self.shared.options.max_record_bytes;
        if let Some(size) = records.iter().map(Record::size).find(|size| *size > limit) {
            return Err(AppendError::TooLarge { size, limit });
        }
        let (size, limit) = (frame::size(records), frame::MAX_BODY);
        if size > limit { Err(AppendError::TooLarge { size, limit }) } else { Ok(()) }
    }
}

impl Drop for EmbeddedLog {
    fn drop(&mut self) {
        self.close();
    }
}

#[async_trait]
impl Log for EmbeddedLog {
    async fn append(&self, topic: &Topic, records: Vec<Record>) -> Result<Vec<Position>, AppendError> {
        self.check(&records)?;
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let count = records.len() as u64;
        let share = u32::try_from(frame::size(&records) / 1024 + 1).unwrap_or(WAITING_KIB).min(WAITING_KIB);
        let share = Arc::clone(&self.waiting).acquire_many_owned(share).await;
        let share = share.map_err(|_| AppendError::Closed)?;
        let (reply, answer) = oneshot::channel();
        let append = Append { topic: topic.clone(), records, reply, share };
        self.queue.send(Command::Append(append)).map_err(|_| AppendError::Closed)?;
        let first = answer.await.map_err(|_| AppendError::Closed)??;
        Ok((first..first + count).map(|offset| Position { topic: topic.clone(), lane: 0, offset }).collect())
    }

    async fn subscribe(
        &self,
        group: &str,
        topics: TopicSet,
        start: Start,
    ) -> Result<Box<dyn Subscription>, ReadError> {
        self.shared.check_open()?;
        let one_at_a_time = self.beginning.lock().await;
        if !self.shared.groups().knows(group) {
            self.begin(group, &topics, start).await?;
        }
        drop(one_at_a_time);
        Ok(Box::new(GroupReader::new(Arc::clone(&self.shared), group.to_owned(), topics)))
    }

    async fn scan(&self, topic: &Topic, start: Start) -> Result<Box<dyn Scan>, ReadError> {
        self.shared.check_open()?;
        let (lane, disk) = (self.shared.lane(topic)?, Arc::clone(&self.shared.disk));
        let stop = lane.end();
        let next = blocking({
            let (lane, disk) = (Arc::clone(&lane), Arc::clone(&disk));
            move || lane.resolve(&*disk, start)
        });
        Ok(Box::new(LaneScan(Feed::new(disk, lane, next.await?, stop))))
    }

    async fn read(&self, position: &Position) -> Result<Option<Entry>, ReadError> {
        self.shared.check_open()?;
        let lane = self.shared.lane(&position.topic)?;
        let retained = lane.first()..lane.end();
        if position.lane != 0 || !retained.contains(&position.offset) {
            return Ok(None);
        }
        let feed = Feed::new(Arc::clone(&self.shared.disk), lane, position.offset, position.offset + 1);
        let found = blocking(move || feed.take_blocking(1)).await?;
        Ok(found.into_iter().find(|entry| entry.position == *position))
    }

    async fn topics(&self) -> Result<Vec<TopicInfo>, ReadError> {
        let mut topics: Vec<_> = self.shared.lanes().iter().map(|lane| lane.info()).collect();
        topics.sort_by(|one, other| one.topic.cmp(&other.topic));
        Ok(topics)
    }

    async fn committed(&self, group: &str) -> Result<Vec<Position>, ReadError> {
        Ok(self.shared.groups().committed(group))
    }

    async fn forget(&self, group: &str) -> Result<(), ReadError> {
        self.shared.check_open()?;
        self.shared.groups().forget(group);
        self.shared.touch();
        Ok(())
    }
}

impl EmbeddedLog {
    /// Decides where a new group begins, once and durably.
    async fn begin(&self, group: &str, topics: &TopicSet, start: Start) -> Result<(), ReadError> {
        let wanted: Vec<_> =
            self.shared.lanes().into_iter().filter(|lane| topics.contains(&lane.topic)).collect();
        let disk = Arc::clone(&self.shared.disk);
        let places = blocking(move || {
            let place = |lane: &Arc<Lane>| Ok((lane.topic.clone(), lane.resolve(&*disk, start)?));
            wanted.iter().map(place).collect::<io::Result<Vec<_>>>()
        });
        let places = places.await?;
        self.shared.groups().begin(group, places);
        let (done, saved) = oneshot::channel();
        self.shared.ask(Job::Save(done));
        let saved = saved.await.map_err(|_| ReadError::Closed).and_then(|saved| Ok(saved?));
        // A group that is not durable has not begun: the next attempt decides anew.
        saved.inspect_err(|_| self.shared.groups().forget(group))
    }
}

/// Recovers every topic in the directory.
fn recover_all(shared: &Shared) -> Result<HashMap<Topic, Tail>, OpenError> {
    let dir = &shared.options.dir;
    let io = |error| shared.options.io(error);
    let mut tails = HashMap::new();
    let mut listed = shared.disk.list(&dir.join("topics")).map_err(io)?;
    listed.sort_by(|one, other| one.name.cmp(&other.name));
    for topic in listed.iter().filter(|entry| entry.is_dir).filter_map(|entry| Topic::new(&entry.name).ok()) {
        let known = shared.known_end(&topic);
        let found = recovery::recover(&shared.disk, dir, &topic, known);
        if let Some((lane, tail)) = found.map_err(|stop| stop.into_open_error(dir))? {
            shared.add(lane);
            tails.insert(topic, tail);
        }
    }
    for dir in [dir.join("topics"), dir.clone()] {
        shared.disk.sync_dir(&dir).map_err(io)?;
    }
    Ok(tails)
}

fn spawn<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<thread::JoinHandle<T>> {
    thread::Builder::new().name(name.to_owned()).spawn(work)
}

/// Work that waits for the disk, off the threads that serve.
async fn blocking<T: Send + 'static, E: Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, ReadError>
where
    ReadError: From<E>,
{
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(|error| ReadError::Unavailable(error.to_string()))??)
}
