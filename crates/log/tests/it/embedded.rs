//! The embedded log: the suite on a real and on a simulated disk, and what only
//! files can do: rotate, fill up, fail, be locked.

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use hook_log::{
    AppendError, EmbeddedLog, Log, OpenError, Options, ReadError, RealDisk, Start, TopicSet,
    conformance::{self, Subject},
    embedded::disk::Disk,
    sim::SimDisk,
};

use crate::support::{Time, file, open, options, position, put, record, scan, segment, text, topic, values};

struct Embedded {
    options: Options,
    disk: Arc<dyn Disk>,
    _dir: Option<tempfile::TempDir>,
}

#[async_trait]
impl Subject for Embedded {
    async fn open(&mut self) -> Arc<dyn Log> {
        Arc::new(EmbeddedLog::open(self.options.clone(), Arc::clone(&self.disk)).unwrap())
    }

    fn limit(&self) -> Option<usize> {
        Some(self.options.max_record_bytes)
    }
}

#[tokio::test]
async fn passes_the_suite_on_a_real_disk() {
    conformance::check_all(|| {
        let dir = tempfile::tempdir().unwrap();
        let options = Options { dir: dir.path().join("data"), ..options(&Time::default()) };
        Embedded { options, disk: Arc::new(RealDisk), _dir: Some(dir) }
    })
    .await;
}

#[tokio::test]
async fn passes_the_suite_on_a_simulated_disk() {
    conformance::check_all(|| {
        let disk: Arc<dyn Disk> = SimDisk::new(1).process();
        Embedded { options: options(&Time::default()), disk, _dir: None }
    })
    .await;
}

#[tokio::test]
async fn names_who_has_the_directory() {
    for disk in [Arc::new(RealDisk) as Arc<dyn Disk>, SimDisk::new(0).process()] {
        let dir = tempfile::tempdir().unwrap();
        let time = Time::default();
        let options = Options { dir: dir.path().into(), label: "hook serve".into(), ..options(&time) };
        let log = EmbeddedLog::open(options.clone(), Arc::clone(&disk)).unwrap();
        time.set(300_000);
        let second = EmbeddedLog::open(options.clone(), Arc::clone(&disk)).err().unwrap();
        let text = second.to_string();
        let owner = format!("`hook serve` (process {}) for 5 min", std::process::id());
        assert!(text.contains(&owner) && text.contains("hint: stop that process"), "{text}");
        drop(log);
        EmbeddedLog::open(options, disk).unwrap();
    }
}

#[tokio::test]
async fn refuses_options_that_cannot_work() {
    let check = |change: fn(&mut Options), expected: &str| {
        let mut options = options(&Time::default());
        change(&mut options);
        let error = EmbeddedLog::open(options, SimDisk::new(0).process()).err().unwrap();
        assert_eq!(error.to_string(), expected);
    };
    check(|o| o.segment_bytes = 0, "`segment_bytes` is 0, but must be between 4 KiB and 1 GiB");
    check(|o| o.max_record_bytes = 0, "`max_record_bytes` is 0, but must be between 1 byte and 512 MiB");
}

#[tokio::test]
async fn rotates_and_reads_across_segments() {
    let (disk, time) = (SimDisk::new(0), Time::default());
    let log = open(&disk, options(&time));
    let sent: Vec<_> = (0..200).map(|number| format!("{number:0>300}")).collect();
    for value in &sent {
        put(&log, "events", value.as_str()).await.unwrap();
    }
    assert!(log.stats().segments > 10, "{:?}", log.stats());
    assert_eq!(values(&log, "events").await, sent);
    for offset in [0, 11, 12, 13, 14, 100, 199] {
        let entry = log.read(&position("events", offset)).await.unwrap().unwrap();
        assert_eq!(text(&entry), sent[usize::try_from(offset).unwrap()]);
    }
    log.close();
    let log = open(&disk, options(&time));
    assert_eq!(values(&log, "events").await, sent);
}

#[tokio::test]
async fn a_record_may_be_larger_than_a_segment() {
    let (disk, time) = (SimDisk::new(0), Time::default());
    let log = open(&disk, options(&time));
    let sent = ["small".to_owned(), "x".repeat(50_000), "small again".to_owned()];
    for value in &sent {
        put(&log, "events", value.as_str()).await.unwrap();
    }
    assert_eq!(values(&log, "events").await, sent);
}

#[tokio::test]
async fn many_waiting_appends_share_a_commit() {
    let (disk, time) = (SimDisk::new(0), Time::default());
    let log = Arc::new(open(&disk, options(&time)));
    let appends: Vec<_> = (0..500)
        .map(|number| {
            let log = Arc::clone(&log);
            tokio::spawn(async move { put(&log, "events", number.to_string()).await.unwrap() })
        })
        .collect();
    let mut offsets = Vec::new();
    for append in appends {
        offsets.push(append.await.unwrap());
    }
    offsets.sort_unstable();
    assert_eq!(offsets, (0..500).collect::<Vec<_>>());
    let stats = log.stats();
    assert_eq!((stats.appends, stats.records), (500, 500));
    assert!(stats.commits < 500, "every append had a commit of its own");
    assert_eq!(stats.commit_seconds.iter().map(|(_, count)| count).sum::<u64>(), stats.commits);
}

#[tokio::test]
async fn a_failed_sync_poisons_until_reopened() {
    let (disk, time) = (SimDisk::new(3), Time::default());
    let log = open(&disk, options(&time));
    put(&log, "events", "kept").await.unwrap();
    disk.fail_syncs(1);
    let first = put(&log, "events", "unsure").await;
    assert!(
        matches!(&first, Err(AppendError::Poisoned(reason)) if reason.contains("cannot sync")),
        "{first:?}"
    );
    let second = put(&log, "events", "after").await;
    assert!(matches!(second, Err(AppendError::Poisoned(_))), "{second:?}");
    assert!(log.stats().poisoned.is_some());
    assert_eq!(values(&log, "events").await, ["kept"], "a reader saw what may not be durable");
    log.close();
    let log = open(&disk, options(&time));
    put(&log, "events", "later").await.unwrap();
    disk.crash();
    drop(log);
    let log = open(&disk, options(&time));
    let found = values(&log, "events").await;
    assert!(found == ["kept", "later"] || found == ["kept", "unsure", "later"], "{found:?}");
}

#[tokio::test]
async fn a_full_disk_is_found_before_the_write() {
    let (disk, time) = (SimDisk::new(0), Time::default());
    let options = Options { min_free_bytes: 20_000, ..options(&time) };
    let log = open(&disk, options.clone());
    put(&log, "events", "before").await.unwrap();
    disk.set_capacity(disk.used() + 19_999);
    let refused = put(&log, "events", "while full").await;
    assert!(matches!(refused, Err(AppendError::Full(_))), "{refused:?}");
    assert!(log.stats().full);
    disk.set_capacity(disk.used() + 20_000);
    put(&log, "events", "after").await.unwrap();
    assert!(!log.stats().full);
    assert_eq!(values(&log, "events").await, ["before", "after"]);
}

#[tokio::test]
async fn running_out_of_space_loses_nothing_and_heals() {
    for reserves in [true, false] {
        let (disk, time) = (SimDisk::new(0), Time::default());
        disk.set_reserves(reserves);
        let log = open(&disk, options(&time));
        put(&log, "events", "first").await.unwrap();
        disk.set_capacity(disk.used() + 9_000);
        let mut kept = vec!["first".to_owned()];
        let mut refused = 0;
        for number in 0..60 {
            let value = format!("{number:0>400}");
            match put(&log, "events", value.as_str()).await {
                Ok(_) => kept.push(value),
                Err(AppendError::Full(_)) => refused += 1,
                Err(error) => panic!("{error}"),
            }
        }
        assert!(refused > 10 && kept.len() > 5, "{refused} refused, {} kept", kept.len());
        disk.set_capacity(u64::MAX);
        put(&log, "events", "last").await.unwrap();
        kept.push("last".to_owned());
        assert_eq!(values(&log, "events").await, kept);
        disk.crash();
        drop(log);
        assert_eq!(values(&open(&disk, options(&time)), "events").await, kept);
    }
}

#[tokio::test]
async fn time_never_goes_back() {
    let (disk, time) = (SimDisk::new(0), Time::default());
    time.set(5_000);
    let log = open(&disk, options(&time));
    put(&log, "events", "a").await.unwrap();
    time.set(3_000);
    put(&log, "events", "b").await.unwrap();
    drop(log);
    let log = open(&disk, options(&time));
    put(&log, "events", "c").await.unwrap();
    let times: Vec<_> = scan(&log, "events").await.unwrap().iter().map(|entry| entry.appended_ms).collect();
    assert_eq!(times, [5_000, 5_000, 5_000]);
}

#[tokio::test]
async fn finds_a_time_across_segments() {
    let (disk, time) = (SimDisk::new(0), Time::default());
    let log = open(&disk, options(&time));
    for number in 0..100_u64 {
        time.set(1_000 + 10 * number);
        put(&log, "events", format!("{number:0>300}")).await.unwrap();
    }
    for reopened in [false, true] {
        let log = if reopened { &open(&disk, options(&time)) } else { &log };
        for (ms, expected) in [(0, 0), (1_000, 0), (1_001, 1), (1_500, 50), (1_985, 99), (1_990, 99)] {
            let mut scan = log.scan(&topic("events"), Start::Time(ms)).await.unwrap();
            assert_eq!(scan.next(1).await.unwrap()[0].position.offset, expected, "at {ms}");
        }
        let mut scan = log.scan(&topic("events"), Start::Time(1_991)).await.unwrap();
        assert!(scan.next(1).await.unwrap().is_empty());
        log.close();
    }
}

type Damage<'a> = &'a dyn Fn(&Path, &[u8]);

/// An index is wrong, damaged, missing, or of another segment: all the same.
#[tokio::test]
async fn an_index_is_never_trusted() {
    let (disk, time) = (SimDisk::new(0), Time::default());
    let options = Options { segment_bytes: 400_000, ..options(&time) };
    let log = open(&disk, options.clone());
    for number in 0..1_000 {
        put(&log, "events", format!("{number:0>1000}")).await.unwrap();
    }
    log.close();
    let indexes: Vec<_> =
        disk.files().into_iter().filter(|(path, _)| path.extension().is_some_and(|e| e == "idx")).collect();
    assert!(indexes.len() >= 2, "no index was stored");
    let damages: [Damage<'_>; 4] = [
        &|path, _| disk.put(path, b""),
        &|path, _| disk.put(path, b"garbage"),
        &|path, _| disk.flip(path, 60),
        &|path, _| disk.put(path, &indexes[0].1),
    ];
    for damage in damages {
        for (path, bytes) in &indexes[1..] {
            damage(path, bytes);
        }
        let log = open(&disk, options.clone());
        for offset in [0, 500, 700, 999] {
            let entry = log.read(&position("events", offset)).await.unwrap().unwrap();
            assert_eq!(text(&entry), format!("{offset:0>1000}"));
        }
    }
}

#[tokio::test]
async fn empty_and_reserved_files_are_no_records() {
    for bytes in [Vec::new(), vec![0; 10], vec![0; 4096]] {
        let (disk, time) = (SimDisk::new(0), Time::default());
        disk.put(&segment(7), &bytes);
        disk.put(&file("1.tmp"), &[0; 4096]);
        let log = open(&disk, options(&time));
        assert!(values(&log, "events").await.is_empty());
        assert_eq!(put(&log, "events", "first").await, Ok(7));
        assert!(!disk.files().contains_key(&file("1.tmp")));
    }
}

#[tokio::test]
async fn damage_behind_the_tail_is_an_error() {
    let (disk, time) = (SimDisk::new(0), Time::default());
    let log = open(&disk, options(&time));
    for number in 0..4 {
        put(&log, "events", number.to_string()).await.unwrap();
    }
    log.close();
    disk.flip(&segment(0), 60);
    let error = EmbeddedLog::open(options(&time), disk.process()).err().unwrap();
    let OpenError::Damaged { file, byte, .. } = &error else { panic!("{error}") };
    assert_eq!((file.as_str(), *byte), (segment(0).to_str().unwrap(), 52));
    assert!(error.to_string().contains("`hook log repair`"), "{error}");
}

#[tokio::test]
async fn damage_in_an_older_segment_is_told_to_its_reader() {
    let (disk, time) = (SimDisk::new(0), Time::default());
    let log = open(&disk, options(&time));
    for number in 0..50 {
        put(&log, "events", format!("{number:0>300}")).await.unwrap();
    }
    disk.flip(&segment(0), 700);
    let error = scan(&log, "events").await.unwrap_err();
    assert!(matches!(error, ReadError::Corrupt { byte: 702 | 351, .. }), "{error}");
    assert_eq!(put(&log, "events", "appends go on").await, Ok(50));
}

#[tokio::test]
async fn a_damaged_topic_does_not_stop_the_others() {
    let (disk, time) = (SimDisk::new(0), Time::default());
    let log = open(&disk, options(&time));
    for name in ["before", "events", "later"] {
        for number in 0..20 {
            put(&log, name, format!("{number:0>300}")).await.unwrap();
        }
    }
    disk.flip(&segment(0), 100);
    let all = TopicSet::matching(|_| true);
    let mut reader = log.subscribe("all", all, Start::Beginning).await.unwrap();
    let mut found = 0;
    while found < 40 {
        found += reader
            .next(7)
            .await
            .unwrap()
            .entries()
            .iter()
            .filter(|e| e.position.topic != topic("events"))
            .count();
    }
    assert!(matches!(reader.next(7).await, Err(ReadError::Corrupt { .. })), "the damage is told at last");
    put(&log, "later", "after").await.unwrap();
    assert_eq!(text(&reader.next(7).await.unwrap().entries()[0]), "after");
}

#[tokio::test]
async fn a_group_that_could_not_be_saved_has_not_begun() {
    let (disk, time) = (SimDisk::new(0), Time::default());
    let log = open(&disk, options(&time));
    put(&log, "events", "first").await.unwrap();
    let join = |start| log.subscribe("group", TopicSet::one(topic("events")), start);
    disk.fail_syncs(1);
    assert!(matches!(join(Start::Beginning).await, Err(ReadError::Io(_))));
    let mut reader = join(Start::Now).await.unwrap();
    put(&log, "events", "second").await.unwrap();
    assert_eq!(text(&reader.next(1).await.unwrap().entries()[0]), "second");
}

/// The last record is durable and known to be, because the log was closed.
#[tokio::test]
async fn a_vanished_end_is_damage() {
    let (disk, time) = (SimDisk::new(0), Time::default());
    let log = open(&disk, options(&time));
    put(&log, "events", "first").await.unwrap();
    put(&log, "events", "last").await.unwrap();
    log.close();
    let bytes = disk.files().remove(&segment(0)).unwrap();
    disk.put(&segment(0), &bytes[..bytes.len() - 3]);
    let error = EmbeddedLog::open(options(&time), disk.process()).err().unwrap();
    assert!(error.to_string().contains("records 1 to 1 were stored and are gone"), "{error}");
}

#[tokio::test]
async fn a_closed_log_says_so() {
    let (disk, time) = (SimDisk::new(0), Time::default());
    let log = open(&disk, options(&time));
    put(&log, "events", "a").await.unwrap();
    let mut reader = log.subscribe("g", TopicSet::one(topic("events")), Start::Now).await.unwrap();
    let waiting = tokio::spawn(async move { reader.next(1).await });
    tokio::task::yield_now().await;
    log.close();
    assert!(matches!(waiting.await.unwrap(), Err(ReadError::Closed)));
    assert_eq!(put(&log, "events", "b").await, Err(AppendError::Closed));
    let scan = log.scan(&topic("events"), Start::Beginning).await;
    assert!(matches!(scan, Err(ReadError::Closed)));
}

#[tokio::test]
async fn an_append_of_many_is_whole_or_not_there() {
    for seed in 0..60 {
        let (disk, time) = (SimDisk::new(seed), Time::default());
        let log = Arc::new(open(&disk, options(&time)));
        put(&log, "events", "before").await.unwrap();
        let records = (0..20).map(|number| record(format!("{number:0>100}"))).collect();
        let append = tokio::spawn({
            let log = Arc::clone(&log);
            async move { log.append(&topic("events"), records).await }
        });
        tokio::task::yield_now().await;
        disk.crash();
        let acknowledged = append.await.unwrap().is_ok();
        drop(log);
        let found = values(&open(&disk, options(&time)), "events").await.len();
        assert!(
            found == 21 || (found == 1 && !acknowledged),
            "{found} records, acknowledged: {acknowledged}"
        );
    }
}
