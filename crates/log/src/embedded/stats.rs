//! What the log counts, for whoever shows it.

use std::{
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::port::Topic;

/// The upper bounds of [`Stats::commit_seconds`], in microseconds.
const BOUNDS_US: [u64; 12] =
    [100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000];

/// A moment's view of the log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats {
    /// Appends that were acknowledged.
    pub appends: u64,
    /// Records that were acknowledged.
    pub records: u64,
    /// Bytes of frames written.
    pub bytes: u64,
    /// Group commits; each made the appends that waited durable together.
    pub commits: u64,
    /// How long commits took: the bucket's upper bound in seconds, and how many
    /// were not longer than it but longer than the bound before. The last bound is
    /// infinite.
    pub commit_seconds: Vec<(f64, u64)>,
    /// The sum of all commits' times, in seconds.
    pub commit_seconds_sum: f64,
    /// Segments of all topics.
    pub segments: u64,
    /// Bytes of records on the disk.
    pub disk_bytes: u64,
    /// Records that retention removed before a group had settled them.
    pub missed: Vec<Missed>,
    /// Why nothing more is acknowledged, if so.
    pub poisoned: Option<String>,
    /// Whether the last append found the disk full.
    pub full: bool,
}

/// What a group lost to retention since it began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missed {
    /// The group.
    pub group: String,
    /// The topic.
    pub topic: Topic,
    /// How many records it had not settled.
    pub records: u64,
}

/// The counters behind [`Stats`].
#[derive(Default)]
pub(crate) struct Counters {
    appends: AtomicU64,
    records: AtomicU64,
    bytes: AtomicU64,
    latency: Mutex<Latency>,
    poisoned: OnceLock<String>,
    full: AtomicBool,
}

#[derive(Clone, Copy, Default)]
struct Latency {
    counts: [u64; BOUNDS_US.len() + 1],
    sum: Duration,
}

impl Counters {
    pub(crate) fn appended(&self, appends: u64, records: u64) {
        self.appends.fetch_add(appends, Ordering::Relaxed);
        self.records.fetch_add(records, Ordering::Relaxed);
    }

    pub(crate) fn wrote(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn committed(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_US.partition_point(|bound| *bound < micros);
        let mut latency = self.latency.lock().unwrap_or_else(PoisonError::into_inner);
        latency.counts[bucket] += 1;
        latency.sum += took;
    }

    pub(crate) fn set_full(&self, full: bool) {
        self.full.store(full, Ordering::Relaxed);
    }

    /// The first reason stays.
    pub(crate) fn poison(&self, reason: String) {
        tracing::error!(reason, "the log stopped after a failed write");
        let _ = self.poisoned.set(reason);
    }

    pub(crate) fn poisoned(&self) -> Option<&String> {
        self.poisoned.get()
    }

    /// Everything that is counted here; the rest is left at its default.
    pub(crate) fn snapshot(&self) -> Stats {
        let latency = *self.latency.lock().unwrap_or_else(PoisonError::into_inner);
        let bounds = BOUNDS_US.iter().map(|micros| *micros as f64 / 1e6).chain([f64::INFINITY]);
        Stats {
            appends: self.appends.load(Ordering::Relaxed),
            records: self.records.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            commits: latency.counts.iter().sum(),
            commit_seconds: bounds.zip(latency.counts).collect(),
            commit_seconds_sum: latency.sum.as_secs_f64(),
            poisoned: self.poisoned.get().cloned(),
            full: self.full.load(Ordering::Relaxed),
            ..Stats::default()
        }
    }
}
