//! Checks on groups: where each begins, what it has settled, what comes again.

use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};

use super::{Bench, Check, Start, Subject, take, text, texts};
use crate::port::TopicSet;

pub(super) fn all<S: Subject>() -> Vec<(&'static str, Check<S>)> {
    vec![
        ("where a group starts", |s| Box::pin(where_a_group_starts(s))),
        ("a group starts once", |s| Box::pin(a_group_starts_once(s))),
        ("`next` gives at most what was asked", |s| Box::pin(at_most(s))),
        ("resume after a commit", |s| Box::pin(resume(s))),
        ("uncommitted records come again", |s| Box::pin(uncommitted_come_again(s))),
        ("a commit never goes back", |s| Box::pin(commit_never_goes_back(s))),
        ("what a group committed", |s| Box::pin(what_was_committed(s))),
        ("two groups do not share", |s| Box::pin(two_groups(s))),
        ("topics that appear later", |s| Box::pin(later_topics(s))),
        ("a young topic is read whole", |s| Box::pin(young_topic(s))),
        ("a forgotten group is new", |s| Box::pin(forgotten_group(s))),
        ("dropping `next` loses nothing", |s| Box::pin(cancelled_next(s))),
        ("a waiting reader is woken", |s| Box::pin(woken(s))),
    ]
}

async fn where_a_group_starts(subject: impl Subject) {
    let bench = Bench::new(subject).await;
    let positions = bench.put_all("starts", &["a", "b", "c"]).await;
    let first = bench.log.read(&positions[0]).await.expect("read").expect("there");
    let starts = [
        (Start::Beginning, "abcd"),
        (Start::Now, "d"),
        (Start::Offset(positions[1].offset), "bcd"),
        (Start::Time(0), "abcd"),
        (Start::Time(first.appended_ms), "abcd"),
    ];
    let mut readers = Vec::new();
    for (number, (start, expected)) in starts.into_iter().enumerate() {
        readers.push((bench.join(&format!("g{number}"), "starts", start).await, start, expected));
    }
    bench.put("starts", "d").await;
    for (mut reader, start, expected) in readers {
        assert_eq!(texts(&mut *reader, expected.len()).await.concat(), expected, "from {start:?}");
    }
}

async fn a_group_starts_once(subject: impl Subject) {
    let bench = Bench::new(subject).await;
    bench.put("once", "before").await;
    drop(bench.join("late", "once", Start::Now).await);
    bench.put("once", "while away").await;
    let bench = bench.reopen().await;
    let mut reader = bench.join("late", "once", Start::Now).await;
    assert_eq!(texts(&mut *reader, 1).await, ["while away"], "`now` was decided a second time");
}

async fn at_most(subject: impl Subject) {
    let bench = Bench::new(subject).await;
    bench.put_all("most", &["a", "b", "c", "d", "e"]).await;
    let mut reader = bench.join("reader", "most", Start::Beginning).await;
    let mut found = Vec::new();
    while found.len() < 5 {
        let entries = reader.next(2).await.expect("read").entries();
        assert!((1..=2).contains(&entries.len()), "{} entries for 2", entries.len());
        found.extend(entries.iter().map(text));
    }
    assert_eq!(found.concat(), "abcde");
}

async fn resume(subject: impl Subject) {
    let bench = Bench::new(subject).await;
    bench.put_all("resume", &["a", "b", "c", "d"]).await;
    let mut reader = bench.join("reader", "resume", Start::Beginning).await;
    let entries = take(&mut *reader, 2).await;
    reader.commit(&entries[1].position).await.expect("committed");
    drop(reader);
    let bench = bench.reopen().await;
    let mut reader = bench.join("reader", "resume", Start::Beginning).await;
    assert_eq!(texts(&mut *reader, 2).await, ["c", "d"]);
}

async fn uncommitted_come_again(subject: impl Subject) {
    let bench = Bench::new(subject).await;
    bench.put_all("again", &["a", "b", "c"]).await;
    let mut reader = bench.join("reader", "again", Start::Beginning).await;
    let entries = take(&mut *reader, 3).await;
    reader.commit(&entries[0].position).await.expect("committed");
    drop(reader);
    let mut reader = bench.join("reader", "again", Start::Beginning).await;
    assert_eq!(texts(&mut *reader, 2).await, ["b", "c"]);
}

async fn commit_never_goes_back(subject: impl Subject) {
    let bench = Bench::new(subject).await;
    bench.put_all("back", &["a", "b", "c"]).await;
    let mut reader = bench.join("reader", "back", Start::Beginning).await;
    let entries = take(&mut *reader, 3).await;
    reader.commit(&entries[1].position).await.expect("committed");
    reader.commit(&entries[0].position).await.expect("committed");
    drop(reader);
    let mut reader = bench.join("reader", "back", Start::Beginning).await;
    assert_eq!(texts(&mut *reader, 1).await, ["c"]);
}

async fn what_was_committed(subject: impl Subject) {
    let bench = Bench::new(subject).await;
    let group = bench.group("reader");
    assert!(bench.log.committed(&group).await.expect("committed").is_empty(), "an unknown group");
    bench.put_all("settled", &["a", "b"]).await;
    let mut reader = bench.join("reader", "settled", Start::Now).await;
    assert!(bench.log.committed(&group).await.expect("committed").is_empty(), "it only began");
    bench.put("settled", "c").await;
    let last = take(&mut *reader, 1).await.remove(0).position;
    reader.commit(&last).await.expect("committed");
    assert_eq!(bench.log.committed(&group).await.expect("committed"), std::slice::from_ref(&last));
    drop(reader);
    let bench = bench.reopen().await;
    assert_eq!(bench.log.committed(&group).await.expect("committed"), [last]);
}

async fn two_groups(subject: impl Subject) {
    let bench = Bench::new(subject).await;
    bench.put_all("shared", &["a", "b", "c"]).await;
    let mut one = bench.join("one", "shared", Start::Beginning).await;
    let mut two = bench.join("two", "shared", Start::Beginning).await;
    let entries = take(&mut *one, 3).await;
    one.commit(&entries[2].position).await.expect("committed");
    let entries = take(&mut *two, 3).await;
    assert_eq!(entries.iter().map(text).collect::<String>(), "abc");
    two.commit(&entries[0].position).await.expect("committed");
    drop((one, two));
    let bench = bench.reopen().await;
    let mut two = bench.join("two", "shared", Start::Beginning).await;
    assert_eq!(texts(&mut *two, 2).await, ["b", "c"]);
    let mut one = bench.join("one", "shared", Start::Beginning).await;
    bench.put("shared", "d").await;
    assert_eq!(texts(&mut *one, 1).await, ["d"]);
}

async fn later_topics(subject: impl Subject) {
    let bench = Bench::new(subject).await;
    bench.put("later.first", "old").await;
    let wanted = bench.topic("later.");
    let topics = TopicSet::matching(move |topic| topic.as_str().starts_with(wanted.as_str()));
    let mut reader = bench.log.subscribe(&bench.group("all"), topics, Start::Now).await.expect("subscribed");
    bench.put("elsewhere", "not wanted").await;
    bench.put_all("later.second", &["a", "b"]).await;
    bench.put("later.first", "new").await;
    let mut found = texts(&mut *reader, 3).await;
    found.sort();
    assert_eq!(found, ["a", "b", "new"]);
}

async fn young_topic(subject: impl Subject) {
    let bench = Bench::new(subject).await;
    drop(bench.join("early", "young", Start::Now).await);
    bench.put_all("young", &["a", "b"]).await;
    let bench = bench.reopen().await;
    let mut reader = bench.join("early", "young", Start::Now).await;
    assert_eq!(texts(&mut *reader, 2).await, ["a", "b"], "records were skipped because the topic is young");
}

async fn forgotten_group(subject: impl Subject) {
    let bench = Bench::new(subject).await;
    let group = bench.group("once");
    bench.log.forget(&group).await.expect("an unknown group is no error");
    bench.put("forgotten.first", "old").await;
    let wanted = bench.topic("forgotten.");
    let topics = TopicSet::matching(move |topic| topic.as_str().starts_with(wanted.as_str()));
    let mut reader = bench.log.subscribe(&group, topics, Start::Now).await.expect("subscribed");
    bench.log.forget(&group).await.expect("forgotten");
    bench.put("forgotten.first", "a").await;
    bench.put("forgotten.second", "b").await;
    let entries = take(&mut *reader, 2).await;
    let mut found: Vec<_> = entries.iter().map(text).collect();
    found.sort();
    assert_eq!(found, ["a", "b"], "an open subscription reads on from where it began");
    for entry in entries {
        reader.commit(&entry.position).await.expect("committed");
    }
    drop(reader);
    assert!(bench.log.committed(&group).await.expect("committed").is_empty(), "it came back");
    let bench = bench.reopen().await;
    let mut reader = bench.join("once", "forgotten.second", Start::Now).await;
    bench.put("forgotten.second", "c").await;
    assert_eq!(texts(&mut *reader, 1).await, ["c"], "it did not start anew");
}

async fn cancelled_next(subject: impl Subject) {
    let bench = Bench::new(subject).await;
    bench.put("cancel", "a").await;
    let mut reader = bench.join("reader", "cancel", Start::Beginning).await;
    assert_eq!(texts(&mut *reader, 1).await, ["a"]);
    let mut found = Vec::new();
    for value in ["b", "c"] {
        // Polled once and dropped, while it waits or while it reads.
        let polled = pin!(reader.next(8)).poll(&mut Context::from_waker(Waker::noop()));
        if let Poll::Ready(entries) = polled {
            found.extend(entries.expect("read").entries().iter().map(text));
        }
        bench.put("cancel", value).await;
    }
    found.extend(texts(&mut *reader, 2 - found.len()).await);
    assert_eq!(found, ["b", "c"]);
}

async fn woken(subject: impl Subject) {
    let bench = Bench::new(subject).await;
    bench.put("woken", "first").await;
    let mut reader = bench.join("reader", "woken", Start::Now).await;
    let waiting = tokio::spawn(async move { texts(&mut *reader, 1).await });
    bench.put("woken", "second").await;
    assert_eq!(waiting.await.expect("the reader ended well"), ["second"]);
}
