//! The log in memory: the port's semantics with nothing behind them, for tests.
//!
//! It never forgets while a clone of it lives, so dropping the handle and cloning
//! another is its restart. Appends can be made to fail on purpose. Deliberately
//! absent: retention, limits on what it holds, and any use in production.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use tokio::sync::watch;

use crate::{
    Now,
    groups::Groups,
    port::{
        AppendError, Entry, Lane, Log, Next, Position, ReadError, Record, Scan, Start, Subscription, Topic,
        TopicInfo, TopicSet,
    },
};

/// The largest record taken unless another limit is given: 32 MiB.
const MAX_RECORD_BYTES: usize = 32 << 20;

/// A log in memory. Clones share what was appended.
#[derive(Clone)]
pub struct MemoryLog(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    changed: watch::Sender<()>,
    now: Now,
    max_record_bytes: usize,
}

#[derive(Default)]
struct State {
    /// In order of appearance, so that a reader discovers by counting.
    topics: Vec<(Topic, Vec<Entry>)>,
    by_name: HashMap<Topic, usize>,
    groups: Groups,
    failure: Option<AppendError>,
}

impl Default for MemoryLog {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryLog {
    /// An empty log whose clock stands still at 0.
    pub fn new() -> Self {
        Self::with_clock(Arc::new(|| 0))
    }

    /// An empty log that stamps records with `now`, milliseconds since 1970.
    pub fn with_clock(now: Now) -> Self {
        Self::with_limit(now, MAX_RECORD_BYTES)
    }

    /// An empty log with its own limit on a record's size (key and value).
    pub fn with_limit(now: Now, max_record_bytes: usize) -> Self {
        let (changed, _) = watch::channel(());
        Self(Arc::new(Shared { state: Mutex::default(), changed, now, max_record_bytes }))
    }

    /// Makes every append fail with `error` until [`Self::heal`].
    pub fn fail_appends(&self, error: AppendError) {
        self.0.lock().failure = Some(error);
    }

    /// Makes appends succeed again.
    pub fn heal(&self) {
        self.0.lock().failure = None;
    }

    /// Everything a topic holds; empty for one that does not exist.
    pub fn entries(&self, topic: &Topic) -> Vec<Entry> {
        let state = self.0.lock();
        state.by_name.get(topic).map_or_else(Vec::new, |&index| state.topics[index].1.clone())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic in another thread leaves at worst an append that was not told of.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self, records: &[Record]) -> Result<(), AppendError> {
        let limit = self.max_record_bytes;
        match records.iter().map(Record::size).find(|size| *size > limit) {
            Some(size) => Err(AppendError::TooLarge { size, limit }),
            None => Ok(()),
        }
    }
}

impl State {
    fn entries(&self, topic: &Topic) -> Result<&Vec<Entry>, ReadError> {
        let index = self.by_name.get(topic).ok_or_else(|| ReadError::NoTopic(topic.clone()))?;
        Ok(&self.topics[*index].1)
    }

    fn entries_mut(&mut self, topic: &Topic) -> &mut Vec<Entry> {
        let next = self.topics.len();
        let index = *self.by_name.entry(topic.clone()).or_insert(next);
        if index == next {
            self.topics.push((topic.clone(), Vec::new()));
        }
        &mut self.topics[index].1
    }
}

/// The offset at which `start` lies among `entries`.
fn resolve(entries: &[Entry], start: Start) -> u64 {
    let end = entries.len();
    match start {
        Start::Beginning => 0,
        Start::Now => end as u64,
        Start::Time(ms) => entries.partition_point(|entry| entry.appended_ms < ms) as u64,
        Start::Offset(offset) => offset.min(end as u64),
    }
}

#[async_trait]
impl Log for MemoryLog {
    async fn append(&self, topic: &Topic, records: Vec<Record>) -> Result<Vec<Position>, AppendError> {
        self.0.check(&records)?;
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let mut state = self.0.lock();
        if let Some(error) = &state.failure {
            return Err(error.clone());
        }
        let entries = state.entries_mut(topic);
        let appended_ms = (self.0.now)().max(entries.last().map_or(0, |entry| entry.appended_ms));
        let mut positions = Vec::with_capacity(records.len());
        for Record { key, value } in records {
            let position = Position { topic: topic.clone(), lane: 0, offset: entries.len() as u64 };
            positions.push(position.clone());
            entries.push(Entry { position, appended_ms, key, value });
        }
        drop(state);
        self.0.changed.send_replace(());
        Ok(positions)
    }

    async fn subscribe(
        &self,
        group: &str,
        topics: TopicSet,
        start: Start,
    ) -> Result<Box<dyn Subscription>, ReadError> {
        let mut state = self.0.lock();
        if !state.groups.knows(group) {
            let wanted = state.topics.iter().filter(|(topic, _)| topics.contains(topic));
            let places: Vec<_> = wanted.map(|(topic, all)| (topic.clone(), resolve(all, start))).collect();
            state.groups.begin(group, places);
        }
        let mut subscription = MemorySubscription {
            log: Arc::clone(&self.0),
            changed: self.0.changed.subscribe(),
            group: group.to_owned(),
            topics,
            lanes: Vec::new(),
            discovered: 0,
            turn: 0,
        };
        // Now, so that it knows its places whatever becomes of the group.
        subscription.discover(&mut state);
        Ok(Box::new(subscription))
    }

    async fn scan(&self, topic: &Topic, start: Start) -> Result<Box<dyn Scan>, ReadError> {
        let state = self.0.lock();
        let entries = state.entries(topic)?;
        let from = usize::try_from(resolve(entries, start)).unwrap_or(usize::MAX);
        let entries = entries[from..].to_vec();
        Ok(Box::new(MemoryScan { entries: entries.into_iter() }))
    }

    async fn read(&self, position: &Position) -> Result<Option<Entry>, ReadError> {
        let state = self.0.lock();
        let entries = state.entries(&position.topic)?;
        let index = usize::try_from(position.offset).unwrap_or(usize::MAX);
        Ok(entries.get(index).filter(|entry| entry.position == *position).cloned())
    }

    async fn topics(&self) -> Result<Vec<TopicInfo>, ReadError> {
        let state = self.0.lock();
        let mut topics: Vec<_> = state.topics.iter().map(|(topic, all)| info(topic, all)).collect();
        topics.sort_by(|one, other| one.topic.cmp(&other.topic));
        Ok(topics)
    }

    async fn committed(&self, group: &str) -> Result<Vec<Position>, ReadError> {
        Ok(self.0.lock().groups.committed(group))
    }

    async fn forget(&self, group: &str) -> Result<(), ReadError> {
        self.0.lock().groups.forget(group);
        Ok(())
    }
}

fn info(topic: &Topic, entries: &[Entry]) -> TopicInfo {
    let bytes = entries.iter().map(|entry| entry.key.len() + entry.value.len()).sum::<usize>();
    let lane = Lane { lane: 0, first: 0, next: entries.len() as u64, bytes: bytes as u64 };
    TopicInfo { topic: topic.clone(), lanes: vec![lane] }
}

struct MemorySubscription {
    log: Arc<Shared>,
    changed: watch::Receiver<()>,
    group: String,
    topics: TopicSet,
    /// The topics it reads, by their index, and the next offset of each.
    lanes: Vec<(usize, usize)>,
    /// How many of the log's topics were asked about.
    discovered: usize,
    /// Which lane is served next.
    turn: usize,
}

impl MemorySubscription {
    fn discover(&mut self, state: &mut State) {
        let State { topics, groups, .. } = state;
        for (index, (topic, _)) in topics.iter().enumerate().skip(self.discovered) {
            if self.topics.contains(topic) {
                let next = groups.enter(&self.group, topic);
                self.lanes.push((index, usize::try_from(next).unwrap_or(usize::MAX)));
            }
        }
        self.discovered = topics.len();
    }

    fn take(&mut self, max: usize) -> Vec<Entry> {
        let log = Arc::clone(&self.log);
        let mut state = log.lock();
        self.discover(&mut state);
        for _ in 0..self.lanes.len() {
            self.turn = (self.turn + 1) % self.lanes.len();
            let (topic, next) = &mut self.lanes[self.turn];
            let waiting = state.topics[*topic].1.get(*next..).unwrap_or_default();
            if !waiting.is_empty() {
                let taken = &waiting[..waiting.len().min(max.max(1))];
                *next += taken.len();
                return taken.to_vec();
            }
        }
        Vec::new()
    }
}

#[async_trait]
impl Subscription for MemorySubscription {
    async fn next(&mut self, max: usize) -> Result<Next, ReadError> {
        loop {
            self.changed.borrow_and_update();
            let entries = self.take(max);
            if !entries.is_empty() {
                return Ok(Next::Entries(entries));
            }
            self.changed.changed().await.map_err(|_| ReadError::Closed)?;
        }
    }

    async fn commit(&mut self, position: &Position) -> Result<(), ReadError> {
        let mut state = self.log.lock();
        state.entries(&position.topic)?;
        state.groups.commit(&self.group, position);
        Ok(())
    }
}

struct MemoryScan {
    entries: std::vec::IntoIter<Entry>,
}

#[async_trait]
impl Scan for MemoryScan {
    async fn next(&mut self, max: usize) -> Result<Vec<Entry>, ReadError> {
        Ok(self.entries.by_ref().take(max.max(1)).collect())
    }
}
