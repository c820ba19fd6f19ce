//! Retention: what is too old or too much goes, and nobody waits for it.

use std::{
    io,
    path::Path,
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use hook_log::{
    EmbeddedLog, Log, Options, Retention, Start, TopicSet,
    embedded::disk::{Disk, DiskFile, Listed, Lock, Mode},
    sim::SimDisk,
};

use crate::support::{Time, open, options, position, put, scan, segment, text, topic, values};

fn kept(max_age: Option<u64>, max_bytes: Option<u64>) -> Retention {
    Retention { max_age: max_age.map(Duration::from_millis), max_bytes }
}

#[tokio::test]
async fn retention_by_bytes_removes_whole_segments() {
    let (disk, time) = (SimDisk::new(0), Time::default());
    let options = Options { retention: kept(None, Some(10_000)), ..options(&time) };
    let log = open(&disk, options.clone());
    put(&log, "events", format!("{:0>300}", 0)).await.unwrap();
    let mut reader = log.subscribe("slow", TopicSet::one(topic("events")), Start::Beginning).await.unwrap();
    for number in 1..100 {
        put(&log, "events", format!("{number:0>300}")).await.unwrap();
    }
    log.retain().await;
    let lane = log.topics().await.unwrap().remove(0).lanes.remove(0);
    assert!(lane.bytes <= 10_000 && lane.first > 0 && lane.next == 100, "{lane:?}");
    assert_eq!(scan(&log, "events").await.unwrap()[0].position.offset, lane.first);
    assert_eq!(log.read(&position("events", lane.first - 1)).await.unwrap(), None);
    let entries = reader.next(1).await.unwrap().entries();
    assert_eq!(entries[0].position.offset, lane.first, "a reader goes on at the oldest that is left");
    let missed = log.stats().missed;
    assert_eq!((missed[0].group.as_str(), missed[0].records), ("slow", lane.first));
}

#[tokio::test]
async fn retention_by_age_never_reuses_a_position() {
    let (disk, time) = (SimDisk::new(0), Time::default());
    let mut options = options(&time);
    options.retention_by_topic.insert(topic("events"), kept(Some(1_000), None));
    let log = open(&disk, options.clone());
    time.set(10_000);
    put(&log, "events", "old").await.unwrap();
    put(&log, "others", "old").await.unwrap();
    time.set(11_000);
    log.retain().await;
    assert_eq!(values(&log, "events").await, ["old"], "not older than its age");
    time.set(11_001);
    log.retain().await;
    assert!(values(&log, "events").await.is_empty());
    assert_eq!(values(&log, "others").await, ["old"], "another topic's rule");
    disk.crash();
    drop(log);
    let log = open(&disk, options);
    assert_eq!(put(&log, "events", "new").await, Ok(1));
}

#[tokio::test]
async fn a_reader_in_a_removed_segment_goes_on() {
    let (disk, time) = (SimDisk::new(0), Time::default());
    let options = Options { retention: kept(None, Some(4_000)), ..options(&time) };
    let log = open(&disk, options);
    let mut reader = log.subscribe("slow", TopicSet::one(topic("events")), Start::Beginning).await.unwrap();
    for number in 0..30 {
        put(&log, "events", format!("{number:0>300}")).await.unwrap();
    }
    assert_eq!(reader.next(3).await.unwrap().entries().len(), 3);
    for number in 30..100 {
        put(&log, "events", format!("{number:0>300}")).await.unwrap();
    }
    log.retain().await;
    let mut last = 2;
    while last < 99 {
        for entry in reader.next(7).await.unwrap().entries() {
            assert!(entry.position.offset > last, "{} after {last}", entry.position);
            assert_eq!(text(&entry), format!("{:0>300}", entry.position.offset));
            last = entry.position.offset;
        }
    }
}

/// A disk on which removing a segment takes until the test says so.
struct SlowToRemove {
    disk: Arc<dyn Disk>,
    began: tokio::sync::mpsc::UnboundedSender<()>,
    go: Mutex<mpsc::Receiver<()>>,
}

impl Disk for SlowToRemove {
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.open(path, mode)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<Listed>> {
        self.disk.list(dir)
    }
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir(dir)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        if path.extension().is_some_and(|kind| kind == "seg") {
            let _ = self.began.send(());
            // An error means that the test is over.
            let _ = self.go.lock().unwrap().recv_timeout(Duration::from_secs(30));
        }
        self.disk.remove(path)
    }
    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        self.disk.free_bytes(dir)
    }
    fn lock(&self, path: &Path, owner: &str) -> io::Result<Lock> {
        self.disk.lock(path, owner)
    }
}

#[tokio::test]
async fn appends_do_not_wait_for_retention() {
    let (began, mut begins) = tokio::sync::mpsc::unbounded_channel();
    let (go, going) = mpsc::channel();
    let disk = SlowToRemove { disk: SimDisk::new(0).process(), began, go: Mutex::new(going) };
    let options = Options { retention: kept(None, Some(4_000)), ..options(&Time::default()) };
    let log = Arc::new(EmbeddedLog::open(options, Arc::new(disk)).unwrap());
    for number in 0..100 {
        put(&log, "events", format!("{number:0>300}")).await.unwrap();
    }
    let retaining = tokio::spawn({
        let log = Arc::clone(&log);
        async move { log.retain().await }
    });
    begins.recv().await.unwrap();
    for number in 100..200 {
        let offset = put(&log, "events", format!("{number:0>300}")).await;
        assert_eq!(offset, Ok(number));
    }
    assert!(!retaining.is_finished(), "the segments were gone before the appends");
    drop(go);
    retaining.await.unwrap();
    assert_eq!(text(scan(&log, "events").await.unwrap().last().unwrap()), format!("{:0>300}", 199));
}

#[tokio::test]
async fn a_segment_that_cannot_be_removed_leaves_no_hole() {
    let (disk, time) = (SimDisk::new(0), Time::default());
    let keeps_all = options(&time);
    let options = Options { retention: kept(None, Some(10_000)), ..keeps_all.clone() };
    let log = open(&disk, options.clone());
    for number in 0..100 {
        put(&log, "events", format!("{number:0>300}")).await.unwrap();
    }
    disk.fail_removes(1);
    log.retain().await;
    log.retain().await;
    drop(log);
    let left = values(&open(&disk, keeps_all), "events").await;
    assert!(left.len() < 40, "it was not tried again");
    let log = open(&disk, options);
    let first = scan(&log, "events").await.unwrap()[0].position.offset;
    disk.process().remove(&segment(first)).unwrap();
    put(&log, "events", format!("{:0>5000}", 100)).await.unwrap();
    log.retain().await;
    let found: Vec<_> = scan(&log, "events").await.unwrap().iter().map(|e| e.position.offset).collect();
    assert_eq!(found, (found[0]..101).collect::<Vec<_>>(), "a segment that is gone counts as removed");
}
