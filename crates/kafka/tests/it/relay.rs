//! The relay on a real cluster: within it exactly once, and what becomes of failures.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use hook_core::{
    glob::Glob,
    metrics::Metrics,
    pipeline::relay::{BridgeStatus, Relay, RelayContext, Snapshot, State},
    plan::{BridgePlan, OutputTopic, RelayMode},
};
use hook_event::{Clock, DeadLetter, Entropy};
use hook_kafka::{ExactlyOnce, KafkaLog};
use hook_log::{
    Entry, Log, MemoryLog, Record, Start, Topic,
    forward::{AtLeastOnce, Link, Reading},
};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use crate::support;

/// Far longer than a healthy cluster takes for anything here.
const PATIENCE: Duration = Duration::from_secs(60);

/// A log, and the topics of one test in it.
struct World {
    log: Arc<KafkaLog>,
    prefix: String,
}

struct Running {
    status: Arc<BridgeStatus>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl World {
    async fn new() -> Self {
        let prefix = support::unique();
        let log = KafkaLog::open(support::settings(&prefix)).await.unwrap();
        Self { log: Arc::new(log), prefix }
    }

    fn topic(&self, name: &str) -> Topic {
        Topic::new(&format!("{}.{name}", self.prefix)).unwrap()
    }

    fn plan(&self, mode: RelayMode) -> BridgePlan {
        let output = OutputTopic::parse(self.topic("out").as_str(), mode).unwrap();
        let mut plan = BridgePlan::new("bridge", vec![Glob::new(&format!("{}.in.*", self.prefix))], output);
        plan.mode = mode;
        plan.group = format!("{}-relay", self.prefix);
        plan
    }

    async fn append(&self, topic: &str, records: Vec<Record>) {
        self.log.append(&self.topic(topic), records).await.unwrap();
    }

    /// A link within the cluster, for a member of its own.
    fn link(&self, name: &str) -> Arc<dyn Link> {
        let id = format!("{}-{name}", self.prefix);
        Arc::new(ExactlyOnce::new(self.log.clone(), self.topic("dlq"), id))
    }

    fn run(&self, plan: &BridgePlan, link: Arc<dyn Link>) -> Running {
        let context = RelayContext {
            metrics: Arc::new(Metrics::new()),
            clock: Clock::SYSTEM,
            entropy: Entropy::SYSTEM,
        };
        let relay = Relay::new(plan.clone(), link, self.topic("dlq"), &context);
        let (status, stop) = (relay.status(), CancellationToken::new());
        let own = stop.clone();
        let task = tokio::spawn(async move { relay.run(own).await.unwrap() });
        Running { status, stop, task }
    }

    /// All that a reader of what is committed finds in a topic.
    async fn read(&self, topic: &str) -> Vec<Entry> {
        let Ok(mut scan) = self.log.scan(&self.topic(topic), Start::Beginning).await else {
            return Vec::new();
        };
        let mut all = Vec::new();
        loop {
            let entries = scan.next(1000).await.unwrap();
            if entries.is_empty() {
                return all;
            }
            all.extend(entries);
        }
    }

    /// Waits until so many records are in a topic.
    async fn wait_for(&self, topic: &str, count: usize) -> Vec<Entry> {
        let until = Instant::now() + PATIENCE;
        loop {
            let entries = self.read(topic).await;
            if entries.len() >= count || Instant::now() > until {
                return entries;
            }
            pass(Duration::from_millis(200)).await;
        }
    }
}

impl Running {
    async fn stop(self) -> Snapshot {
        self.stop.cancel();
        self.task.await.unwrap();
        self.status.snapshot()
    }

    /// Waits until the bridge says this of why it cannot go on.
    async fn wait_for(&self, part: &str) {
        let until = Instant::now() + PATIENCE;
        loop {
            let state = self.status.snapshot().state;
            if matches!(&state, State::Waiting { reason, .. } if reason.contains(part)) {
                return;
            }
            assert!(Instant::now() < until, "{state:?}");
            pass(Duration::from_millis(50)).await;
        }
    }
}

/// Real time goes by: what is waited for is another process.
async fn pass(time: Duration) {
    sleep_until(Instant::now() + time).await;
}

fn records(keys: usize, numbers: impl Iterator<Item = usize>) -> Vec<Record> {
    numbers.map(|number| record(&format!("k{}", number % keys), number.to_string().as_bytes())).collect()
}

fn record(key: &str, value: &[u8]) -> Record {
    Record { key: Bytes::copy_from_slice(key.as_bytes()), value: Bytes::copy_from_slice(value) }
}

/// Each number once, and those of a key in their order.
fn each_once(entries: &[Entry], count: usize) {
    let mut last: HashMap<Bytes, usize> = HashMap::new();
    let mut seen = vec![0; count];
    for entry in entries {
        let number: usize = String::from_utf8_lossy(&entry.value).parse().unwrap();
        seen[number] += 1;
        let before = last.insert(entry.key.clone(), number);
        assert!(before.is_none_or(|before| before < number), "{number} came after {before:?}");
    }
    let wrong: Vec<_> = (0..count).filter(|number| seen[*number] != 1).collect();
    assert!(
        wrong.is_empty(),
        "not once: {:?}",
        wrong.iter().take(20).map(|n| (n, seen[*n])).collect::<Vec<_>>()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn carries_once_and_goes_on_where_it_was() {
    let world = World::new().await;
    world.append("in.a", records(7, 0..2000)).await;
    let plan = world.plan(RelayMode::Raw);
    let running = world.run(&plan, world.link("one"));
    world.wait_for("out", 2000).await;
    let status = running.stop().await;
    assert!(status.exactly_once && status.carried == 2000, "{status:?}");

    world.append("in.b", records(7, 2000..3000)).await;
    let running = world.run(&plan, world.link("two"));
    let entries = world.wait_for("out", 3000).await;
    running.stop().await;
    each_once(&entries, 3000);
    let reading = Reading {
        group: plan.group.clone(),
        topics: hook_log::TopicSet::matching(|topic| topic.as_str().contains(".in.")),
        start: Start::Beginning,
    };
    assert_eq!(world.link("three").lag(&reading).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_go_is_told_of_and_blocks_nobody() {
    let world = World::new().await;
    let event = hook_core::testing::keyed_event(1, "a");
    let envelope = record("another", &event.encode());
    world.append("in.a", vec![envelope.clone(), record("k", b"no envelope"), envelope.clone()]).await;
    let running = world.run(&world.plan(RelayMode::Envelope), world.link("one"));
    let carried = world.wait_for("out", 2).await;
    assert_eq!(
        carried.iter().map(|entry| &entry.value).collect::<Vec<_>>(),
        [&envelope.value, &envelope.value]
    );
    assert_eq!(carried[0].key, event.ordering_key());
    let letters = world.wait_for("dlq", 1).await;
    let letter = DeadLetter::decode(&letters[0].value).unwrap();
    let position = letter.position.parse::<hook_log::Position>().unwrap();
    assert_eq!((letter.reason.as_str(), position.topic), ("malformed", world.topic("in.a")));
    let stored = world.log.read(&letter.position.parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(stored.value, &b"no envelope"[..]);
    assert_eq!(running.stop().await.dead_lettered, 1);
}

/// A topic with a setting of its own, made by Kafka's tool.
async fn create(topic: &Topic, setting: &'static str) {
    let topic = topic.to_string();
    let made = tokio::task::spawn_blocking(move || {
        let brokers = hook_broker::shared();
        let args = ["--bootstrap-server", &brokers, "--create", "--topic", &topic, "--config", setting];
        hook_broker::Jars::of_tests().unwrap().run("org.apache.kafka.tools.TopicCommand", &args, "").unwrap();
    });
    made.await.unwrap();
}

/// Carries these to a topic that takes not all of them; what arrives, and the letters.
async fn carry_to(setting: &'static str, records: Vec<Record>, good: usize) -> (Vec<Bytes>, Vec<DeadLetter>) {
    let world = World::new().await;
    create(&world.topic("out"), setting).await;
    let bad = records.len() - good;
    world.append("in.a", records).await;
    let mut plan = world.plan(RelayMode::Raw);
    plan.max_retries = 1;
    let running = world.run(&plan, world.link("one"));
    let letters = world.wait_for("dlq", bad).await;
    let carried = world.wait_for("out", good).await;
    let status = running.stop().await;
    assert_eq!((status.carried, status.dead_lettered), (good as u64, bad as u64));
    let letters = letters.iter().map(|entry| DeadLetter::decode(&entry.value).unwrap());
    (carried.into_iter().map(|entry| entry.value).collect(), letters.collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_above_the_targets_limit_becomes_a_dead_letter() {
    // Not to be compressed: the broker counts what it gets.
    let mut seed = 1_u64;
    let large: Vec<u8> = (0..300_000)
        .map(|_| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            seed.to_be_bytes()[0]
        })
        .collect();
    let records = vec![record("k", b"1"), record("k", &large), record("k", b"2")];
    let (carried, letters) = carry_to("max.message.bytes=100000", records, 2).await;
    assert_eq!(carried, [&b"1"[..], b"2"]);
    assert!(letters[0].error.contains("larger than the log's limit"), "{}", letters[0].error);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_broker_refuses_becomes_a_dead_letter() {
    // A topic that keeps the last record of each key takes none without one.
    let records = vec![record("a", b"1"), record("", b"no key"), record("b", b"2")];
    let (mut carried, letters) = carry_to("cleanup.policy=compact", records, 2).await;
    carried.sort();
    assert_eq!(carried, [&b"1"[..], b"2"]);
    assert_eq!((letters[0].reason.as_str(), letters[0].attempts), ("refused", 2));
    assert_eq!(letters[0].envelope, &b"no key"[..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_share_the_work_and_one_can_go() {
    let world = World::new().await;
    world.append("in.a", records(50, 0..1000)).await;
    let plan = world.plan(RelayMode::Raw);
    let one = world.run(&plan, world.link("one"));
    world.wait_for("out", 100).await;
    // A process of its own would have a client of its own; so has this.
    let other = KafkaLog::open(support::settings(&world.prefix)).await.unwrap();
    let other = ExactlyOnce::new(Arc::new(other), world.topic("dlq"), format!("{}-two", world.prefix));
    let two = world.run(&plan, Arc::new(other));
    for batch in 1..20 {
        world.append("in.a", records(50, batch * 1000..(batch + 1) * 1000)).await;
        pass(Duration::from_millis(300)).await;
    }
    let shared = two.status.snapshot().carried;
    one.stop().await;
    world.append("in.a", records(50, 20_000..21_000)).await;
    let entries = world.wait_for("out", 21_000).await;
    two.stop().await;
    assert!(shared > 0, "the second had its part");
    each_once(&entries, 21_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_missing_is_waited_for() {
    let world = World::new().await;
    world.append("in.a", records(3, 0..10)).await;
    let mut settings = support::settings(&world.prefix);
    settings.auto_create_topics = false;
    let strict = Arc::new(KafkaLog::open(settings).await.unwrap());
    let link = ExactlyOnce::new(strict, world.topic("dlq"), format!("{}-strict", world.prefix));
    let running = world.run(&world.plan(RelayMode::Raw), Arc::new(link));
    running.wait_for("does not exist and `auto_create_topics` is off").await;
    // Somebody makes it.
    world.append("out", vec![record("made", b"10")]).await;
    let entries = world.wait_for("out", 11).await;
    running.stop().await;
    each_once(&entries, 11);
}

#[tokio::test(flavor = "multi_thread")]
async fn from_any_log_at_least_once() {
    let world = World::new().await;
    let source = MemoryLog::new();
    source.append(&world.topic("in.a"), records(5, 0..5000)).await.unwrap();
    let link = AtLeastOnce {
        source: Arc::new(source.clone()),
        target: world.log.clone(),
        dead_letters: world.topic("dlq"),
    };
    let plan = world.plan(RelayMode::Raw);
    let running = world.run(&plan, Arc::new(link));
    let entries = world.wait_for("out", 5000).await;
    let status = running.stop().await;
    assert!(!status.exactly_once);
    each_once(&entries, 5000);
    assert_eq!(source.committed(&plan.group).await.unwrap()[0].offset, 4999);
}
