//! A log on the shared broker, under a prefix of its own.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use bytes::Bytes;
use hook_core::{
    plan::{
        Backend, KafkaConnection, KafkaPlan, LogPlan, OffsetReset, ProducerPlan, Retention, SecurityProtocol,
    },
    secret::Environment,
};
use hook_kafka::{KafkaLog, Settings};
use hook_log::{Entry, Next, Record, Subscription, Topic};
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewPartitions, ResourceSpecifier},
    client::DefaultClientContext,
};

/// A name that no other test, and no earlier run, has used.
pub(crate) fn unique() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    #[expect(clippy::disallowed_methods, reason = "a name that no earlier run has used")]
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_micros();
    format!("t{now}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// What a contract would say.
pub(crate) fn plan(brokers: &str, prefix: &str) -> LogPlan {
    let retention = Retention::default();
    LogPlan {
        backend: Backend::Kafka(Box::new(KafkaPlan {
            connection: KafkaConnection {
                brokers: Some(brokers.split(',').map(str::to_owned).collect()),
                security_protocol: Some(SecurityProtocol::Plaintext),
                allow_plaintext: Some(true),
                ..KafkaConnection::default()
            },
            topic_prefix: prefix.to_owned(),
            dead_letters: None,
            auto_create_topics: None,
            topic_partitions: None,
            topic_replication_factor: None,
            producer: ProducerPlan::default(),
            auto_offset_reset: OffsetReset::default(),
        })),
        path: "unused".into(),
        retention,
        dead_letter_retention: retention,
        segment_bytes: 64 << 20,
        min_free_bytes: 0,
        dead_letters: Topic::new(&format!("{prefix}.dlq")).unwrap(),
    }
}

/// Settings for a log under this prefix.
pub(crate) fn settings(prefix: &str) -> Settings {
    settings_at(&hook_broker::shared(), prefix)
}

/// The same on other brokers.
pub(crate) fn settings_at(brokers: &str, prefix: &str) -> Settings {
    let mut settings = Settings::resolve(&plan(brokers, prefix), &Environment::default()).unwrap();
    settings.session_timeout = Duration::from_secs(6);
    settings
}

/// A log under this prefix.
pub(crate) async fn open(prefix: &str) -> KafkaLog {
    KafkaLog::open(settings(prefix)).await.unwrap()
}

/// The topic of a log's events.
pub(crate) fn topic(prefix: &str) -> Topic {
    Topic::new(&format!("{prefix}.events")).unwrap()
}

/// Records `from..to`, each with its number as the value, over many keys.
pub(crate) fn numbers(range: std::ops::Range<u32>) -> Vec<Record> {
    range.map(|number| record(&format!("key {}", number % 17), &number.to_string())).collect()
}

pub(crate) fn record(key: &str, value: &str) -> Record {
    Record { key: Bytes::copy_from_slice(key.as_bytes()), value: Bytes::copy_from_slice(value.as_bytes()) }
}

pub(crate) fn number(entry: &Entry) -> u32 {
    String::from_utf8_lossy(&entry.value).parse().unwrap()
}

/// The next records, within patience.
pub(crate) async fn next(subscription: &mut dyn Subscription, most: usize) -> Vec<Entry> {
    soon("records", async {
        loop {
            if let Next::Entries(entries) = subscription.next(most).await.unwrap() {
                return entries;
            }
        }
    })
    .await
}

/// Longer than anything that a test waits for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What must come, within patience.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

/// Asks again and again until the answer is yes.
pub(crate) async fn until(what: &str, mut ask: impl AsyncFnMut() -> bool) {
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    soon(what, async {
        while !ask().await {
            tick.tick().await;
        }
    })
    .await;
}

/// A client of the shared broker.
pub(crate) fn config() -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", hook_broker::shared());
    config
}

fn admin() -> AdminClient<DefaultClientContext> {
    config().create().unwrap()
}

/// Gives a topic more lanes.
pub(crate) async fn add_lanes(topic: &Topic, count: usize) {
    let more = NewPartitions::new(topic.as_str(), count);
    admin().create_partitions([&more], &AdminOptions::new()).await.unwrap()[0].as_ref().unwrap();
}

/// What a topic was made with.
pub(crate) async fn topic_setting(topic: &Topic, name: &str) -> String {
    let asked = ResourceSpecifier::Topic(topic.as_str());
    let answer = admin().describe_configs([&asked], &AdminOptions::new()).await.unwrap().remove(0).unwrap();
    answer.get(name).unwrap().value.clone().unwrap()
}
