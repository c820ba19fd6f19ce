//! What the log's threads and readers share.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
};

use tokio::sync::watch;

use super::{
    cursors::Saved,
    disk::Disk,
    keeper::Job,
    lane::Lane,
    options::Options,
    stats::{Counters, Missed, Stats},
};
use crate::{
    groups::Groups,
    port::{ReadError, Topic},
};

pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) counters: Counters,
    /// Rung after every commit, and when the log closes.
    pub(crate) changed: watch::Sender<()>,
    lanes: RwLock<Lanes>,
    groups: Mutex<Groups>,
    /// How far topics were durable when the log was opened.
    known_ends: BTreeMap<Topic, u64>,
    keeper: mpsc::Sender<Job>,
    dirty: AtomicBool,
    closed: AtomicBool,
}

#[derive(Default)]
struct Lanes {
    /// In order of appearance, so that a reader discovers by counting.
    order: Vec<Arc<Lane>>,
    by_name: HashMap<Topic, Arc<Lane>>,
}

impl Shared {
    pub(crate) fn new(
        options: Options,
        disk: Arc<dyn Disk>,
        saved: Saved,
        keeper: mpsc::Sender<Job>,
    ) -> Self {
        Self {
            options,
            disk,
            counters: Counters::default(),
            changed: watch::channel(()).0,
            lanes: RwLock::default(),
            groups: Mutex::new(saved.groups),
            known_ends: saved.ends,
            keeper,
            dirty: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        }
    }

    /// Makes a topic known.
    pub(crate) fn add(&self, lane: Arc<Lane>) {
        let mut lanes = self.lanes.write().unwrap_or_else(PoisonError::into_inner);
        lanes.by_name.insert(lane.topic.clone(), Arc::clone(&lane));
        lanes.order.push(lane);
    }

    /// Every lane, in order of appearance.
    pub(crate) fn lanes(&self) -> Vec<Arc<Lane>> {
        self.lanes_after(0)
    }

    /// The lanes that appeared after the first `known`.
    pub(crate) fn lanes_after(&self, known: usize) -> Vec<Arc<Lane>> {
        let lanes = self.lanes.read().unwrap_or_else(PoisonError::into_inner);
        lanes.order.get(known..).unwrap_or_default().to_vec()
    }

    pub(crate) fn lane(&self, topic: &Topic) -> Result<Arc<Lane>, ReadError> {
        let lanes = self.lanes.read().unwrap_or_else(PoisonError::into_inner);
        lanes.by_name.get(topic).cloned().ok_or_else(|| ReadError::NoTopic(topic.clone()))
    }

    /// The offset from which a topic without any file goes on.
    pub(crate) fn known_end(&self, topic: &Topic) -> u64 {
        self.known_ends.get(topic).copied().unwrap_or(0)
    }

    pub(crate) fn groups(&self) -> MutexGuard<'_, Groups> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note that cursors moved.
    pub(crate) fn touch(&self) {
        if !self.dirty.swap(true, Ordering::AcqRel) {
            self.ask(Job::Dirty);
        }
    }

    /// What is to be saved now.
    pub(crate) fn saved(&self) -> Saved {
        self.dirty.store(false, Ordering::Release);
        let mut ends = self.known_ends.clone();
        ends.extend(self.lanes().iter().map(|lane| (lane.topic.clone(), lane.end())));
        Saved { groups: self.groups().clone(), ends }
    }

    /// Takes note that retention removed the records `from..to`.
    pub(crate) fn missed(&self, topic: &Topic, from: u64, to: u64) {
        if self.groups().miss(topic, from, to) {
            self.touch();
        }
    }

    /// Asks the keeper; when it has stopped, nothing needs keeping.
    pub(crate) fn ask(&self, job: Job) {
        let _ = self.keeper.send(job);
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.changed.send_replace(());
    }

    pub(crate) fn check_open(&self) -> Result<(), ReadError> {
        if self.closed.load(Ordering::Acquire) { Err(ReadError::Closed) } else { Ok(()) }
    }

    pub(crate) fn stats(&self) -> Stats {
        let lanes = self.lanes();
        let missed = self.groups().missed();
        Stats {
            segments: lanes.iter().map(|lane| lane.segments().len() as u64).sum(),
            disk_bytes: lanes.iter().map(|lane| lane.bytes()).sum(),
            missed: missed
                .into_iter()
                .map(|(group, topic, records)| Missed { group, topic, records })
                .collect(),
            ..self.counters.snapshot()
        }
    }
}
