//! A small world: a log, a scripted destination, and deliveries that come and go.

use std::{
    cell::Cell,
    collections::VecDeque,
    future::Future,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use hook_event::{Clock, DeadLetter, Entropy, Event};
use hook_log::{
    AppendError, Entry, Log, MemoryLog, Next, Position, ReadError, Record, Scan, Start, Subscription, Topic,
    TopicInfo, TopicSet,
};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::super::{DeliverContext, Delivery, DestinationStatus};
use crate::{
    driver::{BuildContext, BuildError, EgressConfig},
    glob::Glob,
    metrics::Metrics,
    pipeline::journal::Journal,
    plan::{DeliveryPolicy, DestinationPlan, SmashRoute},
    ports::{Egress, RunError},
    testing::ScriptedEgress,
};

pub(super) const CORE: &str = "webhooks.core";
pub(super) const DEAD: &str = "webhooks.dlq";

/// A moment that never comes in these tests.
pub(super) const LONG: Duration = Duration::from_secs(30 * 86_400);

/// Answers to reads that are none of the log's.
pub(super) type Reads = Arc<Mutex<VecDeque<Option<Result<Next, ReadError>>>>>;

pub(super) struct World {
    pub(super) log: MemoryLog,
    pub(super) metrics: Arc<Metrics>,
    /// What the next reads answer with, first things first; none asks the log.
    pub(super) reads: Reads,
    /// Asked before every commit.
    pub(super) on_commit: Arc<dyn Fn(&Position) + Send + Sync>,
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            log: MemoryLog::new(),
            metrics: Arc::new(Metrics::new()),
            reads: Arc::default(),
            on_commit: Arc::new(|_| {}),
        }
    }

    /// A world whose `webhooks.core` holds these events.
    pub(super) async fn with(events: impl IntoIterator<Item = Event>) -> Self {
        let world = Self::new();
        world.append(events).await;
        world
    }

    pub(super) async fn append(&self, events: impl IntoIterator<Item = Event>) {
        let record = |event: Event| Record { key: event.ordering_key(), value: event.encode() };
        self.append_raw(events.into_iter().map(record).collect()).await;
    }

    pub(super) async fn append_raw(&self, records: Vec<Record>) {
        self.log.append(&topic(CORE), records).await.unwrap();
    }

    pub(super) fn context(&self) -> DeliverContext {
        let log = Watched {
            log: self.log.clone(),
            reads: Arc::clone(&self.reads),
            on_commit: Arc::clone(&self.on_commit),
        };
        DeliverContext {
            journal: Journal::new(Arc::new(self.log.clone()), Arc::clone(&self.metrics)).0,
            log: Arc::new(log),
            metrics: Arc::clone(&self.metrics),
            clock: Clock::of(|| Timestamp::UNIX_EPOCH),
            entropy: Entropy::of(fill),
            app_id: "app".into(),
            dead_letters: topic(DEAD),
        }
    }

    pub(super) fn delivery(&self, plan: DestinationPlan, egress: &Arc<ScriptedEgress>) -> Delivery {
        Delivery::new(plan, Arc::clone(egress) as Arc<dyn Egress>, self.context())
    }

    /// Runs a delivery until `enough`, or for `most`, then crashes it: it is dropped.
    pub(super) async fn run(
        &self,
        plan: DestinationPlan,
        egress: &Arc<ScriptedEgress>,
        most: Duration,
    ) -> Arc<DestinationStatus> {
        let delivery = self.delivery(plan, egress);
        let status = delivery.status();
        let _ = tokio::time::timeout(most, delivery.run(CancellationToken::new())).await;
        status
    }

    /// How far the destination `out` has settled `webhooks.core`: the next offset.
    pub(super) async fn settled(&self) -> u64 {
        let committed = self.log.committed("hook.app.out").await.unwrap();
        let core = committed.iter().find(|position| position.topic == topic(CORE));
        core.map_or(0, |position| position.offset + 1)
    }

    pub(super) fn letters(&self) -> Vec<DeadLetter> {
        let entries = self.log.entries(&topic(DEAD));
        entries.iter().map(|entry| DeadLetter::decode(&entry.value).unwrap()).collect()
    }

    /// Reason and attempts of every dead letter.
    pub(super) fn reasons(&self) -> Vec<(String, u32)> {
        self.letters().into_iter().map(|letter| (letter.reason, letter.attempts)).collect()
    }
}

/// A destination `out` that takes everything of `webhooks.*`.
pub(super) fn plan(policy: DeliveryPolicy) -> DestinationPlan {
    let route = SmashRoute {
        id: "all".into(),
        topics: Glob::new("webhooks.*"),
        event_filters: Vec::new(),
        when: None,
        required: true,
    };
    DestinationPlan {
        id: "out".into(),
        driver: "scripted",
        config: Arc::new(NoConfig),
        plugins: Vec::new(),
        policy,
        routes: vec![route],
    }
}

pub(super) fn named(id: &str, policy: DeliveryPolicy) -> DestinationPlan {
    DestinationPlan { id: id.into(), ..plan(policy) }
}

pub(super) fn topic(name: &str) -> Topic {
    Topic::new(name).unwrap()
}

pub(super) fn junk(value: &'static [u8]) -> Record {
    Record { key: Bytes::new(), value: Bytes::from_static(value) }
}

/// Runs a future on paused time, with randomness that follows from `seed`.
pub(super) fn block_on<F: Future>(seed: u64, future: F) -> F::Output {
    RANDOM.set(seed);
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().start_paused(true).build().unwrap().block_on(future)
}

/// A number that follows from others, evenly spread.
pub(super) fn mix(parts: &[u64]) -> u64 {
    parts.iter().fold(0x9e37_79b9_7f4a_7c15, |hash: u64, part| {
        let mixed = (hash ^ part).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ (mixed >> 29)).wrapping_mul(0x94d0_49bb_1331_11eb) ^ (mixed >> 32)
    })
}

thread_local! {
    static RANDOM: Cell<u64> = const { Cell::new(0) };
}

fn fill(bytes: &mut [u8]) {
    for byte in bytes {
        let next = RANDOM.get().wrapping_add(1);
        RANDOM.set(next);
        *byte = mix(&[next]).to_le_bytes()[0];
    }
}

#[derive(Debug)]
struct NoConfig;

#[async_trait]
impl EgressConfig for NoConfig {
    fn endpoint(&self) -> String {
        String::new()
    }

    async fn build(&self, _: &BuildContext) -> Result<Arc<dyn Egress>, BuildError> {
        Err(BuildError::Resource("a script has no configuration".into()))
    }
}

/// The log, with an eye on commits and a hand in reads.
struct Watched {
    log: MemoryLog,
    reads: Reads,
    on_commit: Arc<dyn Fn(&Position) + Send + Sync>,
}

struct WatchedSubscription {
    inner: Box<dyn Subscription>,
    reads: Reads,
    on_commit: Arc<dyn Fn(&Position) + Send + Sync>,
}

#[async_trait]
impl Log for Watched {
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
        let reads = Arc::clone(&self.reads);
        Ok(Box::new(WatchedSubscription { inner, reads, on_commit: Arc::clone(&self.on_commit) }))
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
impl Subscription for WatchedSubscription {
    async fn next(&mut self, max: usize) -> Result<Next, ReadError> {
        let answer = self.reads.lock().unwrap().pop_front().flatten();
        match answer {
            Some(answer) => answer,
            None => self.inner.next(max).await,
        }
    }

    async fn commit(&mut self, position: &Position) -> Result<(), ReadError> {
        (self.on_commit)(position);
        self.inner.commit(position).await
    }
}

/// Runs a delivery to its end by a stop after `after`.
pub(super) async fn stopped_after(delivery: Delivery, after: Duration) -> Result<(), RunError> {
    let stop = CancellationToken::new();
    let running = tokio::spawn(delivery.run(stop.clone()));
    tokio::time::sleep_until(tokio::time::Instant::now() + after).await;
    stop.cancel();
    running.await.unwrap()
}
