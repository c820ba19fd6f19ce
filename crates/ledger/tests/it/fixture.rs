//! A log in memory, a directory for the file, and events to put into the log.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use hook_core::journal::{self, Attempt, Outcome};
use hook_event::{Clock, DeadLetter, Entropy, Event, EventId, Meta, Redelivery};
use hook_ledger::{Ledger, Options};
use hook_log::{Log, MemoryLog, Position, Record, Topic};
use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;

/// How long claims hold here.
pub(crate) const TTL: Duration = Duration::from_secs(3600);

/// The moment at which every ledger here believes to be.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_second(1_753_000_000).unwrap()
}

pub(crate) fn ago(seconds: i64) -> Timestamp {
    now() - SignedDuration::from_secs(seconds)
}

pub(crate) fn topic(name: &str) -> Topic {
    Topic::new(name).unwrap()
}

pub(crate) fn options() -> Options {
    Options { dedup_ttl: TTL, dead_letters: topic("webhooks.dlq"), clock: Clock::of(now), own_group: false }
}

/// A log and a place for its ledger.
pub(crate) struct Fixture {
    pub(crate) log: MemoryLog,
    directory: TempDir,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self { log: MemoryLog::new(), directory: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("ledger.sqlite")
    }

    /// The log, for one that keeps it.
    pub(crate) fn shared_log(&self) -> Arc<dyn Log> {
        Arc::new(self.log.clone())
    }

    /// A ledger as a starting process gets it.
    pub(crate) async fn start(&self) -> Ledger {
        let ledger = Ledger::open(self.path(), options()).unwrap();
        ledger.catch_up(&self.log, |_| {}).await.unwrap();
        ledger
    }

    pub(crate) async fn append(&self, name: &str, value: Bytes) -> Position {
        let record = Record { key: Bytes::new(), value };
        self.log.append(&topic(name), vec![record]).await.unwrap().remove(0)
    }

    /// Stores an event and returns it with its place.
    pub(crate) async fn store(&self, event: &Event) -> Position {
        self.append("webhooks.core", event.encode()).await
    }

    pub(crate) async fn attempt(&self, event: &Event, adapter: &str, attempt: u32, outcome: Outcome) {
        let attempt = Attempt {
            event_id: event.id,
            adapter: adapter.into(),
            attempt,
            at: now(),
            millis: 12,
            outcome,
            status: Some(200),
            detail: None,
            redelivery: false,
        };
        self.append(journal::TOPIC, serde_json::to_vec(&attempt).unwrap().into()).await;
    }

    pub(crate) async fn dead_letter(&self, event: &Event, adapter: &str) -> Position {
        let letter = DeadLetter {
            adapter: Some(adapter.into()),
            event_id: Some(event.id),
            failed_at: ago(60),
            error: "the destination answered 400".into(),
            reason: "refused".into(),
            attempts: 1,
            status: Some(400),
            position: "webhooks.core/0/0".into(),
            envelope: event.encode(),
        };
        self.append("webhooks.dlq", letter.encode()).await
    }

    pub(crate) async fn redeliver(&self, event: &Event, adapter: &str) {
        let mut event = event.clone();
        event.meta.redelivery =
            Some(Redelivery { adapter: adapter.into(), reason: "dead_letter".into(), at: now() });
        self.append(&format!("hook.redeliver.{adapter}"), event.encode()).await;
    }
}

/// An event of `github` received so many seconds ago.
pub(crate) fn event(delivery: &str, event_type: &str, seconds_ago: i64) -> Event {
    Event {
        id: EventId::new(ago(seconds_ago), Entropy::SYSTEM),
        source: "github".into(),
        event_type: event_type.into(),
        received_at: ago(seconds_ago),
        meta: Meta {
            delivery_id: Some(delivery.into()),
            subject: Some("acme/api#1".into()),
            ingress_adapter: Some("http".into()),
            ..Meta::default()
        },
        payload: Bytes::from_static(b"{\"n\":1}"),
    }
}

/// Runs the follower until the ledger knows `done`.
pub(crate) async fn follow_until(
    ledger: &Arc<Ledger>,
    log: &Arc<dyn Log>,
    mut done: impl AsyncFnMut(&Ledger) -> bool,
) {
    let stop = tokio_util::sync::CancellationToken::new();
    let follower = {
        let (ledger, log, stop) = (Arc::clone(ledger), Arc::clone(log), stop.clone());
        tokio::spawn(async move { ledger.follow(log, stop).await })
    };
    let mut ticks = tokio::time::interval(Duration::from_millis(5));
    tokio::time::timeout(Duration::from_secs(20), async {
        while !done(ledger).await {
            ticks.tick().await;
        }
    })
    .await
    .expect("the follower gets there");
    stop.cancel();
    follower.await.unwrap();
}

/// Lines that a test collects from a callback.
pub(crate) type Seen<T> = Arc<Mutex<Vec<T>>>;
