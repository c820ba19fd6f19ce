//! `verify` and `repair`: what is found, what is kept, what goes on.

use std::{path::Path, sync::Arc};

use hook_log::{
    embedded::{Report, disk::Disk, repair, verify},
    sim::SimDisk,
};

use crate::support::{DIR, Time, open, options, put, scan, segment, text, values};

fn disk_of(sim: &SimDisk) -> Arc<dyn Disk> {
    sim.process()
}

fn verified(sim: &SimDisk) -> Report {
    verify(Path::new(DIR), &disk_of(sim), &mut |_| {}).unwrap()
}

fn repaired(sim: &SimDisk) -> Report {
    let mut last = None;
    let report =
        repair(Path::new(DIR), "hook log repair", &Time::default().now(), &disk_of(sim), &mut |progress| {
            last = Some((progress.done, progress.total));
        });
    let (done, total) = last.unwrap();
    assert_eq!(done, total, "the progress did not reach its end");
    report.unwrap()
}

/// Forty records in segments of about twelve.
async fn filled() -> SimDisk {
    let disk = SimDisk::new(0);
    let log = open(&disk, options(&Time::default()));
    for number in 0..40 {
        put(&log, "events", format!("{number:0>300}")).await.unwrap();
    }
    disk
}

/// Damages a byte of one segment, repairs, and compares what is left.
async fn check(base: u64, byte: u64, lost: &[u64]) {
    let disk = filled().await;
    let before = disk.files()[&segment(base)].clone();
    disk.flip(&segment(base), byte);
    let found = verified(&disk);
    assert_eq!(found.problems.len(), 1, "{found:?}");
    assert_eq!(found.problems[0].records, lost.len() as u64, "{found:?}");
    let report = repaired(&disk);
    let problem = &report.problems[0];
    let kept = &disk.files()[problem.kept_in.as_ref().unwrap()];
    let (from, size) = (usize::try_from(problem.byte).unwrap(), usize::try_from(problem.bytes).unwrap());
    assert_eq!(kept.len(), size, "not all that was cut is kept");
    let differing = kept.iter().zip(&before[from..from + size]).filter(|(one, other)| one != other).count();
    assert_eq!(differing, 1, "the kept bytes are not the damaged ones");
    assert!(verified(&disk).problems.is_empty(), "repair left something");
    let log = open(&disk, options(&Time::default()));
    let left: Vec<_> =
        scan(&log, "events").await.unwrap().iter().map(|e| (e.position.offset, text(e))).collect();
    let expected: Vec<_> = (0..40)
        .filter(|number| !lost.contains(number))
        .map(|number| (number, format!("{number:0>300}")))
        .collect();
    assert_eq!(left, expected);
    assert_eq!(put(&log, "events", "after").await, Ok(40));
}

#[tokio::test]
async fn a_sound_log_is_left_alone() {
    let disk = filled().await;
    let before = disk.files();
    let report = verified(&disk);
    assert!(report.problems.is_empty());
    let topic = &report.topics[0];
    assert_eq!((topic.records, topic.first, topic.next, topic.segments), (40, 0, 40, 4));
    assert_eq!(repaired(&disk), report);
    assert!(before.into_iter().all(|(path, bytes)| disk.files()[&path] == bytes), "repair wrote something");
}

#[tokio::test]
async fn keeps_what_is_sound_around_the_damage() {
    check(0, 0, &[0]).await;
    check(0, 400, &[1]).await;
    // The length of the third record, so its end is not known from it.
    check(0, 2 * 351 + 8, &[2]).await;
    check(11, 351 + 100, &[12]).await;
    check(33, 351 * 2 + 1, &[35]).await;
}

#[tokio::test]
async fn the_end_of_an_older_segment() {
    check(0, 10 * 351 + 60, &[10]).await;
}

#[tokio::test]
async fn an_end_that_vanished() {
    let disk = filled().await;
    let bytes = disk.files()[&segment(33)].clone();
    disk.put(&segment(33), &bytes[..351 * 5 + 17]);
    let report = repaired(&disk);
    assert_eq!(report.problems[0].records, 2);
    assert_eq!(disk.files()[report.problems[0].kept_in.as_ref().unwrap()], bytes[351 * 5..351 * 5 + 17]);
    let log = open(&disk, options(&Time::default()));
    assert_eq!(values(&log, "events").await.len(), 38);
    assert_eq!(put(&log, "events", "after").await, Ok(40), "a lost position was used again");
    assert_eq!(values(&log, "events").await.len(), 39);
}

#[tokio::test]
async fn repair_wants_the_log_closed() {
    let disk = filled().await;
    let _log = open(&disk, options(&Time::default()));
    let refused =
        repair(Path::new(DIR), "hook log repair", &Time::default().now(), &disk_of(&disk), &mut |_| {});
    assert!(refused.unwrap_err().to_string().contains("is in use by `hook`"));
}
