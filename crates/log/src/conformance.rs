//! The suite that every [`Log`] passes, so that the pipeline need not ask which
//! log is behind it.
//!
//! An implementation gives a [`Subject`] per check and calls [`check_all`]. A
//! check panics with what it found, and none waits for something *not* to happen:
//! each proves absence by what comes next. Deliberately absent: crashes (they
//! need a disk that forgets) and speed.

use std::{future::Future, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;

use crate::port::{
    AppendError, Entry, Log, Position, ReadError, Record, Start, Subscription, Topic, TopicSet,
};

mod groups;
mod records;

/// Longer than any check may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// One place where a log lives, opened as often as a check asks for it.
#[async_trait]
pub trait Subject: Send + 'static {
    /// Opens the log: empty the first time, with what it held every time after.
    /// The check has dropped every handle of the time before.
    async fn open(&mut self) -> Arc<dyn Log>;

    /// Put before every topic and group, where many subjects share one service.
    fn prefix(&self) -> String {
        String::new()
    }

    /// The largest record it takes, where it is small enough to try.
    fn limit(&self) -> Option<usize>;

    /// Whether the offsets of a lane have no gaps.
    fn gapless(&self) -> bool {
        true
    }
}

/// Runs every check, each on a subject of its own.
pub async fn check_all<S: Subject>(mut make: impl FnMut() -> S) {
    let mut run = async |name: &str, check: Check<S>| {
        let outcome = tokio::time::timeout(PATIENCE, check(make())).await;
        assert!(outcome.is_ok(), "`{name}` waited for something that never came");
    };
    for (name, check) in records::all().into_iter().chain(groups::all()) {
        run(name, check).await;
    }
}

type Check<S> = fn(S) -> std::pin::Pin<Box<dyn Future<Output = ()>>>;

/// A subject with its log open, and short names for what checks do.
struct Bench<S> {
    subject: S,
    log: Arc<dyn Log>,
}

impl<S: Subject> Bench<S> {
    async fn new(mut subject: S) -> Self {
        let log = subject.open().await;
        Self { subject, log }
    }

    /// Closes and opens the log.
    async fn reopen(self) -> Self {
        let Self { subject, log } = self;
        drop(log);
        Self::new(subject).await
    }

    fn topic(&self, name: &str) -> Topic {
        Topic::new(&format!("{}{name}", self.subject.prefix())).expect("a topic's name")
    }

    fn group(&self, name: &str) -> String {
        format!("{}{name}", self.subject.prefix())
    }

    /// Appends one value, under one key so that all share a lane.
    async fn put(&self, topic: &str, value: impl AsRef<[u8]>) -> Position {
        self.put_all(topic, &[value]).await.remove(0)
    }

    async fn put_all(&self, topic: &str, values: &[impl AsRef<[u8]>]) -> Vec<Position> {
        let records = values.iter().map(|value| record("key", value)).collect();
        self.log.append(&self.topic(topic), records).await.expect("appended")
    }

    /// Joins a group that reads one topic.
    async fn join(&self, group: &str, topic: &str, start: Start) -> Box<dyn Subscription> {
        let topics = TopicSet::one(self.topic(topic));
        self.log.subscribe(&self.group(group), topics, start).await.expect("subscribed")
    }

    /// Everything a scan finds.
    async fn scan(&self, topic: &str, start: Start) -> Vec<String> {
        let mut scan = self.log.scan(&self.topic(topic), start).await.expect("a scan");
        let mut found = Vec::new();
        loop {
            let entries = scan.next(3).await.expect("scanned");
            if entries.is_empty() {
                return found;
            }
            found.extend(entries.iter().map(text));
        }
    }
}

fn record(key: &str, value: impl AsRef<[u8]>) -> Record {
    Record { key: Bytes::copy_from_slice(key.as_bytes()), value: Bytes::copy_from_slice(value.as_ref()) }
}

fn text(entry: &Entry) -> String {
    String::from_utf8_lossy(&entry.value).into_owned()
}

/// The next `count` entries of a subscription, in as many calls as it takes.
async fn take(subscription: &mut dyn Subscription, count: usize) -> Vec<Entry> {
    let mut entries = Vec::new();
    while entries.len() < count {
        entries.extend(subscription.next(count - entries.len()).await.expect("read").entries());
    }
    assert_eq!(entries.len(), count, "`next` gave more than it was asked for");
    entries
}

/// The values of the next `count` entries.
async fn texts(subscription: &mut dyn Subscription, count: usize) -> Vec<String> {
    take(subscription, count).await.iter().map(text).collect()
}
