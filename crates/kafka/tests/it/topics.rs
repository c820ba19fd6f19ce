//! Topics as clusters have them: with gaps, limits, and missing.

use std::time::Duration;

use hook_kafka::KafkaLog;
use hook_log::{AppendError, Entry, Log, Position, Start, Topic, TopicSet};
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    producer::{BaseProducer, BaseRecord, Producer},
};

use crate::support::{config, next, number, numbers, open, record, settings, soon, topic, unique};

async fn make(topic: &Topic, lanes: i32, config_of_topic: &[(&str, &str)]) {
    let admin: AdminClient<DefaultClientContext> = config().create().unwrap();
    let mut new = NewTopic::new(topic.as_str(), lanes, TopicReplication::Fixed(1));
    for (name, value) in config_of_topic {
        new = new.set(name, value);
    }
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(10)));
    admin.create_topics([&new], &options).await.unwrap()[0].as_ref().unwrap();
}

/// Two records that count, and round them what a reader of committed records never sees.
fn transactions(prefix: &str) {
    let mut config: ClientConfig = config();
    let producer: BaseProducer = config.set("transactional.id", prefix).create().unwrap();
    let wait = Duration::from_secs(20);
    producer.init_transactions(wait).unwrap();
    for (value, counts) in [("0", true), ("9", false), ("1", true), ("9", false)] {
        producer.begin_transaction().unwrap();
        let topic = topic(prefix);
        producer
            .send(BaseRecord::to(topic.as_str()).key("key").payload(value))
            .map_err(|(error, _)| error)
            .unwrap();
        if counts {
            producer.commit_transaction(wait).unwrap();
        } else {
            producer.flush(wait).unwrap();
            producer.abort_transaction(wait).unwrap();
        }
    }
}

async fn scan(log: &KafkaLog, topic: &Topic, start: Start) -> Vec<Entry> {
    let mut scan = log.scan(topic, start).await.unwrap();
    let mut found = Vec::new();
    soon("the scan to end", async {
        loop {
            let entries = scan.next(2).await.unwrap();
            if entries.is_empty() {
                break;
            }
            found.extend(entries);
        }
    })
    .await;
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn gaps_at_the_end_and_between_are_passed_over() {
    let prefix = unique();
    make(&topic(&prefix), 1, &[]).await;
    let own = prefix.clone();
    tokio::task::spawn_blocking(move || transactions(&own)).await.unwrap();
    let log = open(&prefix).await;
    let at = |offset| Position { topic: topic(&prefix), lane: 0, offset };
    let found = scan(&log, &topic(&prefix), Start::Beginning).await;
    assert_eq!(found.iter().map(number).collect::<Vec<_>>(), [0, 1]);
    let topics = log.topics().await.unwrap();
    let lane = &topics.iter().find(|info| info.topic == topic(&prefix)).unwrap().lanes[0];
    let last = found[1].position.offset;
    assert!(lane.next > last + 1, "nothing lies behind the last record, so nothing is shown");
    for start in [Start::Offset(last + 1), Start::Now, Start::Offset(lane.next)] {
        assert!(scan(&log, &topic(&prefix), start).await.is_empty(), "{start:?}");
    }
    assert_eq!(log.read(&at(last)).await.unwrap().as_ref().map(number), Some(1));
    for gap in [at(last - 1), at(last + 1), at(lane.next), at(lane.next + 5)] {
        assert_eq!(log.read(&gap).await.unwrap(), None, "{gap}");
    }
    let topics = TopicSet::one(topic(&prefix));
    let mut reader = log.subscribe(&format!("{prefix}.g"), topics.clone(), Start::Beginning).await.unwrap();
    let mut read = Vec::new();
    while read.len() < 2 {
        read.extend(next(&mut *reader, 8).await);
    }
    reader.commit(&read[1].position).await.unwrap();
    drop(reader);
    let mut reader = log.subscribe(&format!("{prefix}.g"), topics, Start::Beginning).await.unwrap();
    log.append(&topic(&prefix), vec![record("key", "2")]).await.unwrap();
    let next = next(&mut *reader, 8).await;
    assert_eq!(next.iter().map(number).collect::<Vec<_>>(), [2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_missing_is_made_as_the_contract_says() {
    let prefix = unique();
    let mut settings = settings(&prefix);
    settings.topic_partitions = 5;
    let log = KafkaLog::open(settings).await.unwrap();
    log.append(&topic(&prefix), numbers(0..50)).await.unwrap();
    let topics = log.topics().await.unwrap();
    let info = topics.iter().find(|info| info.topic == topic(&prefix)).unwrap();
    assert_eq!(info.lanes.len(), 5);
    assert_eq!(
        crate::support::topic_setting(&topic(&prefix), "message.timestamp.type").await,
        "LogAppendTime"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_must_not_be_made_is_asked_for() {
    let prefix = unique();
    let mut settings = settings(&prefix);
    settings.auto_create_topics = false;
    let log = KafkaLog::open(settings).await.unwrap();
    let refused = soon("an answer", log.append(&topic(&prefix), numbers(0..1))).await.unwrap_err();
    let AppendError::Unavailable { reason, .. } = refused else { panic!("{refused}") };
    assert!(
        reason.contains("`auto_create_topics` is off: create it with 3 partitions, 1 replicas"),
        "{reason}"
    );
    make(&topic(&prefix), 1, &[]).await;
    log.append(&topic(&prefix), numbers(0..1)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_brokers_own_limit_is_told() {
    let prefix = unique();
    make(&topic(&prefix), 1, &[("max.message.bytes", "3000")]).await;
    let log = open(&prefix).await;
    // Nothing that compresses.
    let mut state = 1_u64;
    let mut letter = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b' ' + (state % 95) as u8)
    };
    let noise: String = (0..10_000).map(|_| letter()).collect();
    for _ in 0..2 {
        let refused = log.append(&topic(&prefix), vec![record("k", &noise)]).await;
        assert_eq!(refused, Err(AppendError::TooLarge { size: 10_001, limit: 3000 }));
    }
    log.append(&topic(&prefix), numbers(0..1)).await.unwrap();
    assert_eq!(scan(&log, &topic(&prefix), Start::Beginning).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn large_records_fit_where_the_log_made_the_topic() {
    let prefix = unique();
    let log = open(&prefix).await;
    let large = record("k", &"x".repeat(25 << 20));
    let at = soon("25 MiB to be stored", log.append(&topic(&prefix), vec![large.clone()])).await.unwrap();
    let read = soon("25 MiB to be read", log.read(&at[0])).await.unwrap().unwrap();
    assert!(read.value == large.value, "not what was stored");
    let topics = TopicSet::one(topic(&prefix));
    let mut reader = log.subscribe(&format!("{prefix}.g"), topics, Start::Beginning).await.unwrap();
    let next = next(&mut *reader, 1).await;
    assert!(next[0].value == large.value, "not what was stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_of_others_are_left_alone() {
    let prefix = unique();
    let foreign = Topic::new(&format!("other-{prefix}")).unwrap();
    make(&foreign, 1, &[]).await;
    let log = open(&prefix).await;
    log.append(&topic(&prefix), numbers(0..1)).await.unwrap();
    let topics = log.topics().await.unwrap();
    assert!(topics.iter().any(|info| info.topic == topic(&prefix)));
    assert!(topics.iter().all(|info| info.topic != foreign));
}
