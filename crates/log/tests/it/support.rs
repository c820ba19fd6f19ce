//! Short names for what the tests do with an embedded log.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use hook_log::{
    AppendError, EmbeddedLog, Entry, Log, Now, Options, Position, ReadError, Record, Start, Topic,
    sim::SimDisk,
};

/// Where the log lies on a simulated disk.
pub(crate) const DIR: &str = "/log";

/// A clock that the test moves.
#[derive(Clone, Default)]
pub(crate) struct Time(Arc<AtomicU64>);

impl Time {
    pub(crate) fn set(&self, ms: u64) {
        self.0.store(ms, Ordering::Relaxed);
    }

    pub(crate) fn now(&self) -> Now {
        let ms = Arc::clone(&self.0);
        Arc::new(move || ms.load(Ordering::Relaxed))
    }
}

pub(crate) fn topic(name: &str) -> Topic {
    Topic::new(name).unwrap()
}

/// Small segments, so that a test sees many.
pub(crate) fn options(time: &Time) -> Options {
    let mut options = Options::new(DIR, time.now());
    options.segment_bytes = 4096;
    options.max_record_bytes = 100_000;
    options.min_free_bytes = 0;
    options
}

pub(crate) fn open(disk: &SimDisk, options: Options) -> EmbeddedLog {
    EmbeddedLog::open(options, disk.process()).unwrap()
}

pub(crate) fn record(value: impl Into<bytes::Bytes>) -> Record {
    Record { key: "key".into(), value: value.into() }
}

pub(crate) async fn put(log: &EmbeddedLog, name: &str, value: impl Into<String>) -> Result<u64, AppendError> {
    let positions = log.append(&topic(name), vec![record(value.into())]).await?;
    Ok(positions[0].offset)
}

/// Every record that is there.
pub(crate) async fn scan(log: &EmbeddedLog, name: &str) -> Result<Vec<Entry>, ReadError> {
    let mut scan = log.scan(&topic(name), Start::Beginning).await?;
    let mut found = Vec::new();
    loop {
        let entries = scan.next(100).await?;
        if entries.is_empty() {
            return Ok(found);
        }
        found.extend(entries);
    }
}

pub(crate) async fn values(log: &EmbeddedLog, name: &str) -> Vec<String> {
    scan(log, name).await.unwrap().iter().map(text).collect()
}

pub(crate) fn text(entry: &Entry) -> String {
    String::from_utf8(entry.value.to_vec()).unwrap()
}

pub(crate) fn position(name: &str, offset: u64) -> Position {
    Position { topic: topic(name), lane: 0, offset }
}

/// A file of the topic `events`.
pub(crate) fn file(name: &str) -> PathBuf {
    Path::new(DIR).join("topics/events").join(name)
}

/// The file of the segment that begins at an offset.
pub(crate) fn segment(base: u64) -> PathBuf {
    file(&format!("{base:020}.seg"))
}
