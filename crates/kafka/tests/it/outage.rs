//! Brokers that go and come back: answers in bounded time, and no restart needed.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use hook_broker::{Kafka, Options};
use hook_kafka::KafkaLog;
use hook_log::{AppendError, Log, Position, ReadError, Start, Topic, TopicSet};

use crate::support::{next, number, numbers, settings_at, topic, unique, until};

/// An append without brokers must have failed by then.
const BOUND: Duration = Duration::from_secs(25);

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

async fn start(options: Options) -> std::sync::Arc<Kafka> {
    std::sync::Arc::new(blocking(move || Kafka::start(options).unwrap()).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_killed_and_comes_back() {
    let (kafka, prefix) = (start(Options::single_node()).await, unique());
    let log = KafkaLog::open(settings_at(&kafka.bootstrap(), &prefix)).await.unwrap();
    let events = topic(&prefix);
    log.append(&events, numbers(0..10)).await.unwrap();
    let mut reader =
        log.subscribe(&format!("{prefix}.g"), TopicSet::one(events.clone()), Start::Beginning).await.unwrap();
    let mut read = Vec::new();
    while read.len() < 10 {
        read.extend(next(&mut *reader, 64).await);
    }

    kafka.kill(1).unwrap();
    for asked in [events.clone(), Topic::new(&format!("{prefix}.young")).unwrap()] {
        let began = Instant::now();
        let refused = log.append(&asked, numbers(90..91)).await.unwrap_err();
        assert!(matches!(refused, AppendError::Unavailable { after: Some(_), .. }), "{refused}");
        assert!(began.elapsed() < BOUND, "it took {:?}", began.elapsed());
    }
    until("the trouble to be known", async || log.trouble().is_some()).await;
    let began = Instant::now();
    for refused in [log.topics().await.err(), log.read(&read[0].position).await.err()] {
        assert!(matches!(refused, Some(ReadError::Unavailable(_))), "{refused:?}");
    }
    assert!(began.elapsed() < 2 * BOUND, "it took {:?}", began.elapsed());
    // Settled while nobody hears of it.
    for entry in &read {
        reader.commit(&entry.position).await.unwrap();
    }

    let own = kafka.clone();
    blocking(move || own.restart(1).and_then(|()| own.wait_ready()).unwrap()).await;
    until("the trouble to pass", async || log.trouble().is_none()).await;
    until("an append", async || log.append(&events, numbers(10..11)).await.is_ok()).await;
    // What was settled meanwhile may come again, for the group may have forgotten us: so
    // it is read, and lanes are handed over, until all is committed.
    until("everything to be committed", async || {
        let more = tokio::time::timeout(Duration::from_millis(500), reader.next(64)).await;
        for entry in more.map_or_else(|_| Vec::new(), |next| next.unwrap().entries()) {
            reader.commit(&entry.position).await.unwrap();
            read.push(entry);
        }
        let committed = log.committed(&format!("{prefix}.g")).await.unwrap_or_default();
        let is_committed =
            |at: &Position| committed.iter().any(|end| end.lane == at.lane && end.offset >= at.offset);
        read.iter().any(|entry| number(entry) == 10) && read.iter().all(|entry| is_committed(&entry.position))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_node_of_three_is_killed_while_events_come() {
    let (kafka, prefix) = (start(Options::three_nodes()).await, unique());
    let mut settings = settings_at(&kafka.bootstrap(), &prefix);
    settings.topic_replication_factor = 3;
    let log = KafkaLog::open(settings).await.unwrap();
    let events = topic(&prefix);
    let mut reader =
        log.subscribe(&format!("{prefix}.g"), TopicSet::one(events.clone()), Start::Beginning).await.unwrap();
    let mut acknowledged = BTreeSet::new();
    for part in 0..60 {
        let positions = log.append(&events, numbers(part * 10..(part + 1) * 10)).await;
        if positions.is_ok() {
            acknowledged.extend(part * 10..(part + 1) * 10);
        }
        match part {
            20 => kafka.kill(2).unwrap(),
            40 => {
                let back = kafka.clone();
                blocking(move || back.restart(2).and_then(|()| back.wait_ready()).unwrap()).await;
            }
            _ => {}
        }
    }
    assert!(acknowledged.len() >= 500, "only {} of 600 were acknowledged", acknowledged.len());
    let mut read = BTreeSet::new();
    until("everything that was acknowledged", async || {
        for entry in next(&mut *reader, 256).await {
            read.insert(number(&entry));
            reader.commit(&entry.position).await.unwrap();
        }
        acknowledged.is_subset(&read)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_was_never_there() {
    let settings = settings_at("127.0.0.1:1", &unique());
    let began = Instant::now();
    let refused = KafkaLog::open(settings).await.err().unwrap().to_string();
    assert!(refused.starts_with("cannot reach Kafka at 127.0.0.1:1: "), "{refused}");
    assert!(began.elapsed() < BOUND, "it took {:?}", began.elapsed());
}
