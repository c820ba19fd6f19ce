//! What gathering promises, on a clock that stands still unless everybody waits.

use bytes::Bytes;
use hook_event::{Clock, Entropy, Event, EventId, Meta};
use hook_log::{MemoryLog, Record};
use jiff::Timestamp;
use tokio::time::interval;

use super::*;
use crate::Options;

const PATIENCE: Duration = Duration::from_secs(10);

fn topic() -> Topic {
    Topic::new("webhooks.core").unwrap()
}

async fn append(log: &MemoryLog, numbers: std::ops::Range<usize>) {
    for number in numbers {
        let record = Record { key: Bytes::new(), value: number.to_string().into() };
        log.append(&topic(), vec![record]).await.unwrap();
    }
}

async fn subscribe(log: &MemoryLog) -> Box<dyn Subscription> {
    log.subscribe(crate::ledger::GROUP, TopicSet::matching(is_indexed), Start::Now).await.unwrap()
}

/// Gathers for `pause` from now on; the numbers of what came, and the milliseconds it took.
async fn gathered(subscription: &mut dyn Subscription, pause: Duration) -> (Vec<usize>, u128) {
    let since = Instant::now();
    let entries = gather(subscription, PATIENCE, since + pause).await.unwrap();
    let number = |entry: &Entry| std::str::from_utf8(&entry.value).unwrap().parse().unwrap();
    (entries.iter().map(number).collect(), since.elapsed().as_millis())
}

#[tokio::test(start_paused = true)]
async fn what_comes_within_the_pause_comes_together() {
    let log = MemoryLog::new();
    let mut subscription = subscribe(&log).await;
    let sender = async {
        let mut every = interval(GATHER * 2 / 5);
        for number in 0..4 {
            every.tick().await;
            append(&log, number..number + 1).await;
        }
    };
    let (first, ()) = tokio::join!(gathered(subscription.as_mut(), GATHER), sender);
    assert_eq!(first, (vec![0, 1, 2], GATHER.as_millis()), "the fourth came after the pause");
    assert_eq!(gathered(subscription.as_mut(), GATHER).await.0, [3]);
}

#[tokio::test(start_paused = true)]
async fn what_comes_alone_is_handed_on_at_once() {
    let log = MemoryLog::new();
    let mut subscription = subscribe(&log).await;
    let sender = async {
        let mut after = interval(GATHER * 4);
        after.tick().await;
        after.tick().await;
        append(&log, 0..1).await;
    };
    // The pause began when the last records were gathered, and is long over.
    let (lone, ()) = tokio::join!(gathered(subscription.as_mut(), GATHER), sender);
    assert_eq!(lone, (vec![0], (GATHER * 4).as_millis()));
}

#[tokio::test(start_paused = true)]
async fn patience_ends_and_loses_nothing() {
    let log = MemoryLog::new();
    let mut subscription = subscribe(&log).await;
    assert_eq!(gathered(subscription.as_mut(), GATHER).await, (vec![], PATIENCE.as_millis()));
    append(&log, 0..1).await;
    assert_eq!(gathered(subscription.as_mut(), Duration::ZERO).await, (vec![0], 0));
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_not_waited_beyond() {
    let log = MemoryLog::new();
    let mut subscription = subscribe(&log).await;
    append(&log, 0..BATCH - 1).await;
    let sender = async {
        let mut every = interval(GATHER / 5);
        every.tick().await;
        every.tick().await;
        append(&log, BATCH - 1..3 * BATCH).await;
    };
    let (first, ()) = tokio::join!(gathered(subscription.as_mut(), GATHER), sender);
    assert_eq!(first, ((0..BATCH).collect(), (GATHER / 5).as_millis()), "full before the pause is over");
    for batch in 1..3 {
        let expected = (batch * BATCH..(batch + 1) * BATCH).collect();
        assert_eq!(gathered(subscription.as_mut(), GATHER).await, (expected, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn who_stops_while_gathering_reads_it_again() {
    let log = MemoryLog::new();
    let directory = tempfile::tempdir().unwrap();
    let clock = Clock::of(|| Timestamp::UNIX_EPOCH);
    let options = Options {
        dedup_ttl: Duration::from_secs(60),
        dead_letters: Topic::new("dlq").unwrap(),
        clock,
        own_group: false,
    };
    let ledger = Ledger::open(directory.path().join("ledger.sqlite"), options).unwrap();
    let event = Event {
        id: EventId::new(Timestamp::UNIX_EPOCH, Entropy::SYSTEM),
        source: "github".into(),
        event_type: "push".into(),
        received_at: Timestamp::UNIX_EPOCH,
        meta: Meta::default(),
        payload: Bytes::from_static(b"{}"),
    };
    let stop = CancellationToken::new();
    let operator = async {
        let mut every = interval(GATHER / 5);
        every.tick().await;
        every.tick().await;
        let record = Record { key: Bytes::new(), value: event.encode() };
        log.append(&topic(), vec![record]).await.unwrap();
        every.tick().await;
        stop.cancel();
    };
    tokio::join!(ledger.follow(Arc::new(log.clone()), stop.clone()), operator);
    assert!(ledger.event(event.id).unwrap().is_none(), "it was being gathered");
    ledger.catch_up(&log, |_| {}).await.unwrap();
    assert!(ledger.event(event.id).unwrap().is_some());
}
