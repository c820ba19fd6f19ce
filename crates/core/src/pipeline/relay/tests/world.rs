//! Two logs and a relay between them; what fails, and how, is asked of a script.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use hook_event::{Clock, DeadLetter, Entropy};
use hook_log::{
    AppendError, Entry, Log, MemoryLog, Next, Position, ReadError, Record, Scan, Start, Subscription, Topic,
    TopicInfo, TopicSet,
    forward::{AtLeastOnce, Link},
};
use tokio_util::sync::CancellationToken;

use crate::{
    glob::Glob,
    metrics::Metrics,
    pipeline::relay::{BridgeStatus, Relay, RelayContext},
    plan::{BridgePlan, OutputTopic, RelayMode},
};

pub(super) const SOURCE: &str = "webhooks.github";
pub(super) const OUTPUT: &str = "webhooks.core";
pub(super) const DEAD: &str = "webhooks.dlq";
/// Far longer than anything here takes.
pub(super) const LONG: Duration = Duration::from_secs(30 * 86_400);

/// How one append of the target goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Append {
    /// It is stored, and said so.
    Stored,
    /// So many are stored, and then it fails.
    Lost(usize),
}

type Script = dyn Fn(u64) -> Append + Send + Sync;

/// A log that fails as a script says, and refuses what it is told to refuse.
pub(super) struct Target {
    pub(super) log: MemoryLog,
    script: Box<Script>,
    pub(super) appends: AtomicU64,
    pub(super) refused: &'static [u8],
}

/// A log that shows every commit to a check before it takes it.
struct Source {
    log: MemoryLog,
    on_commit: OnCommit,
    reads: Arc<AtomicU64>,
}

type OnCommit = Arc<dyn Fn(&Position) + Send + Sync>;

struct Watched {
    inner: Box<dyn Subscription>,
    on_commit: OnCommit,
    reads: Arc<AtomicU64>,
}

pub(super) struct World {
    pub(super) source: MemoryLog,
    pub(super) target: Arc<Target>,
    pub(super) plan: BridgePlan,
    pub(super) on_commit: OnCommit,
    /// Records given out.
    pub(super) reads: Arc<AtomicU64>,
    pub(super) metrics: Arc<Metrics>,
}

impl World {
    pub(super) fn new(mode: RelayMode) -> Self {
        Self::with(mode, 1 << 20, |_| Append::Stored)
    }

    /// A target that takes records up to `limit` bytes and fails as `script` says.
    pub(super) fn with(
        mode: RelayMode,
        limit: usize,
        script: impl Fn(u64) -> Append + Send + Sync + 'static,
    ) -> Self {
        let output = OutputTopic::parse(OUTPUT, mode).unwrap();
        let mut plan = BridgePlan::new("bridge", vec![Glob::new("webhooks.git*")], output);
        plan.mode = mode;
        Self {
            source: MemoryLog::new(),
            target: Arc::new(Target {
                log: MemoryLog::with_limit(Arc::new(|| 0), limit),
                script: Box::new(script),
                appends: AtomicU64::new(0),
                refused: b"poison",
            }),
            plan,
            on_commit: Arc::new(|_| ()),
            reads: Arc::default(),
            metrics: Arc::new(Metrics::new()),
        }
    }

    pub(super) async fn append(&self, records: impl IntoIterator<Item = Record>) {
        self.source.append(&topic(SOURCE), records.into_iter().collect()).await.unwrap();
    }

    pub(super) fn link(&self) -> Arc<dyn Link> {
        let source = Source {
            log: self.source.clone(),
            on_commit: Arc::clone(&self.on_commit),
            reads: Arc::clone(&self.reads),
        };
        Arc::new(AtLeastOnce {
            source: Arc::new(source),
            target: self.target.clone(),
            dead_letters: topic(DEAD),
        })
    }

    pub(super) fn relay(&self, link: Arc<dyn Link>) -> Relay {
        let context =
            RelayContext { metrics: self.metrics.clone(), clock: Clock::SYSTEM, entropy: Entropy::SYSTEM };
        Relay::new(self.plan.clone(), link, topic(DEAD), &context)
    }

    /// Runs the relay for so long, and then kills it where it stands.
    pub(super) async fn run_and_die(&self, time: Duration) -> Arc<BridgeStatus> {
        let relay = self.relay(self.link());
        let status = relay.status();
        let run = relay.run(CancellationToken::new());
        if let Ok(ended) = tokio::time::timeout(time, run).await {
            ended.unwrap();
        }
        status
    }

    /// Runs the relay for so long, and stops it.
    pub(super) async fn run_and_stop(&self, time: Duration) -> Arc<BridgeStatus> {
        let relay = self.relay(self.link());
        let (status, stop) = (relay.status(), CancellationToken::new());
        let running = tokio::spawn(relay.run(stop.clone()));
        pass(time).await;
        stop.cancel();
        running.await.unwrap().unwrap();
        status
    }

    /// What the target holds.
    pub(super) fn carried(&self) -> Vec<Record> {
        let entries = self.target.log.entries(&topic(OUTPUT));
        entries.into_iter().map(|entry| Record { key: entry.key, value: entry.value }).collect()
    }

    /// The values that the target holds, as text.
    pub(super) fn texts(&self) -> Vec<String> {
        self.carried().iter().map(|record| String::from_utf8_lossy(&record.value).into_owned()).collect()
    }

    pub(super) fn letters(&self) -> Vec<DeadLetter> {
        let entries = self.source.entries(&topic(DEAD));
        entries.iter().map(|entry| DeadLetter::decode(&entry.value).unwrap()).collect()
    }

    /// How many records of the source are settled.
    pub(super) async fn settled(&self) -> u64 {
        let committed = self.source.committed(&self.plan.group).await.unwrap();
        committed.iter().map(|position| position.offset + 1).sum()
    }
}

/// Paused time goes by.
pub(super) async fn pass(time: Duration) {
    tokio::time::sleep_until(tokio::time::Instant::now() + time).await;
}

pub(super) fn topic(name: &str) -> Topic {
    Topic::new(name).unwrap()
}

pub(super) fn record(key: &str, value: &str) -> Record {
    Record { key: Bytes::copy_from_slice(key.as_bytes()), value: Bytes::copy_from_slice(value.as_bytes()) }
}

#[async_trait]
impl Log for Target {
    async fn append(&self, topic: &Topic, mut records: Vec<Record>) -> Result<Vec<Position>, AppendError> {
        let number = self.appends.fetch_add(1, Ordering::Relaxed);
        pass(Duration::from_millis(5)).await;
        if records.iter().any(|record| record.value.windows(6).any(|part| part == self.refused)) {
            return Err(AppendError::Refused("no poison here".into()));
        }
        match (self.script)(number) {
            Append::Stored => self.log.append(topic, records).await,
            Append::Lost(stored) => {
                records.truncate(stored);
                self.log.append(topic, records).await?;
                Err(AppendError::Unavailable { reason: "the line is dead".into(), after: None })
            }
        }
    }

    async fn subscribe(&self, _: &str, _: TopicSet, _: Start) -> Result<Box<dyn Subscription>, ReadError> {
        Err(ReadError::Closed)
    }

    async fn scan(&self, topic: &Topic, start: Start) -> Result<Box<dyn Scan>, ReadError> {
        self.log.scan(topic, start).await
    }

    async fn read(&self, position: &Position) -> Result<Option<Entry>, ReadError> {
        self.log.read(position).await
    }

    async fn topics(&self) -> Result<Vec<TopicInfo>, ReadError> {
        self.log.topics().await
    }

    async fn committed(&self, group: &str) -> Result<Vec<Position>, ReadError> {
        self.log.committed(group).await
    }

    async fn forget(&self, group: &str) -> Result<(), ReadError> {
        self.log.forget(group).await
    }
}

#[async_trait]
impl Log for Source {
    async fn append(&self, topic: &Topic, records: Vec<Record>) -> Result<Vec<Position>, AppendError> {
        self.log.append(topic, records).await
    }

    async fn subscribe(
        &self,
        group: &str,
        topics: TopicSet,
        start: Start,
    ) -> Result<Box<dyn Subscription>, ReadError> {
        let inner = self.log.subscribe(group, topics, start).await?;
        let (on_commit, reads) = (Arc::clone(&self.on_commit), Arc::clone(&self.reads));
        Ok(Box::new(Watched { inner, on_commit, reads }))
    }

    async fn scan(&self, topic: &Topic, start: Start) -> Result<Box<dyn Scan>, ReadError> {
        self.log.scan(topic, start).await
    }

    async fn read(&self, position: &Position) -> Result<Option<Entry>, ReadError> {
        self.log.read(position).await
    }

    async fn topics(&self) -> Result<Vec<TopicInfo>, ReadError> {
        self.log.topics().await
    }

    async fn committed(&self, group: &str) -> Result<Vec<Position>, ReadError> {
        self.log.committed(group).await
    }

    async fn forget(&self, group: &str) -> Result<(), ReadError> {
        self.log.forget(group).await
    }
}

#[async_trait]
impl Subscription for Watched {
    async fn next(&mut self, max: usize) -> Result<Next, ReadError> {
        let next = self.inner.next(max).await?;
        if let Next::Entries(entries) = &next {
            self.reads.fetch_add(entries.len() as u64, Ordering::Relaxed);
        }
        Ok(next)
    }

    async fn commit(&mut self, position: &Position) -> Result<(), ReadError> {
        (self.on_commit)(position);
        self.inner.commit(position).await
    }
}

/// A link that does what it is told, call by call.
pub(super) struct Scripted {
    pub(super) calls: Mutex<HashMap<&'static str, u32>>,
}

impl Scripted {
    pub(super) fn count(&self, call: &'static str) -> u32 {
        let mut calls = self.calls.lock().unwrap();
        let count = calls.entry(call).or_default();
        *count += 1;
        *count
    }
}
