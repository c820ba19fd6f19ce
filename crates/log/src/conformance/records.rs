//! Checks on records: what was appended is what is read, where and in order.

use super::{AppendError, Bench, Check, ReadError, Start, Subject, record, take, text, texts};
use crate::port::{Position, TopicSet};

pub(super) fn all<S: Subject>() -> Vec<(&'static str, Check<S>)> {
    vec![
        ("bytes come back as they were", |s| Box::pin(bytes_come_back(s))),
        ("order and positions", |s| Box::pin(order_and_positions(s))),
        ("empty key and value", |s| Box::pin(empty_key_and_value(s))),
        ("nothing to append", |s| Box::pin(nothing_to_append(s))),
        ("too large", |s| Box::pin(too_large(s))),
        ("times never decrease", |s| Box::pin(times_never_decrease(s))),
        ("read one position", |s| Box::pin(read_one_position(s))),
        ("a scan ends where the topic ended", |s| Box::pin(scan_is_bounded(s))),
        ("where a scan starts", |s| Box::pin(scan_starts(s))),
        ("a scan of lanes", |s| Box::pin(scan_of_lanes(s))),
        ("topics and their lanes", |s| Box::pin(topics_and_lanes(s))),
        ("what is stored outlives the process", |s| Box::pin(outlives(s))),
        ("appends from everywhere", |s| Box::pin(appends_from_everywhere(s))),
    ]
}

async fn bytes_come_back(subject: impl Subject) {
    let bench = Bench::new(subject).await;
    let topic = bench.topic("bytes");
    let every_byte: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    let sent = record("a key", every_byte);
    let positions = bench.log.append(&topic, vec![sent.clone()]).await.expect("appended");
    let mut reader = bench.join("reader", "bytes", Start::Beginning).await;
    let entry = take(&mut *reader, 1).await.remove(0);
    assert!(entry.key == sent.key && entry.value == sent.value, "the bytes differ");
    assert_eq!(entry.position, positions[0]);
}

async fn order_and_positions(subject: impl Subject) {
    let bench = Bench::new(subject).await;
    let mut positions = vec![bench.put("order", "0").await];
    positions.extend(bench.put_all("order", &["1", "2", "3"]).await);
    positions.push(bench.put("order", "4").await);
    for pair in positions.windows(2) {
        assert_eq!(pair[0].lane, pair[1].lane, "one key, two lanes");
        let step = pair[1].offset - pair[0].offset;
        assert!(if bench.subject.gapless() { step == 1 } else { step >= 1 }, "{} then {}", pair[0], pair[1]);
    }
    let mut reader = bench.join("reader", "order", Start::Beginning).await;
    let entries = take(&mut *reader, 5).await;
    assert_eq!(entries.iter().map(text).collect::<String>(), "01234");
    assert_eq!(entries.into_iter().map(|entry| entry.position).collect::<Vec<_>>(), positions);
}

async fn empty_key_and_value(subject: impl Subject) {
    let bench = Bench::new(subject).await;
    let pairs = [("", ""), ("key", ""), ("", "value")];
    for (key, value) in pairs {
        bench.log.append(&bench.topic("empty"), vec![record(key, value)]).await.expect("appended");
    }
    let mut reader = bench.join("reader", "empty", Start::Beginning).await;
    let mut found: Vec<_> =
        take(&mut *reader, 3).await.into_iter().map(|entry| (entry.key, entry.value)).collect();
    let mut sent = pairs.map(|(key, value)| (key.into(), value.into())).to_vec();
    // Different keys may lie in different lanes.
    found.sort();
    sent.sort();
    assert_eq!(found, sent);
}

async fn nothing_to_append(subject: impl Subject) {
    let bench = Bench::new(subject).await;
    let topic = bench.topic("nothing");
    assert_eq!(bench.log.append(&topic, Vec::new()).await, Ok(Vec::new()));
}

async fn too_large(subject: impl Subject) {
    let bench = Bench::new(subject).await;
    let Some(limit) = bench.subject.limit() else { return };
    let topic = bench.topic("large");
    let fits = record("", vec![1; limit]);
    let over = record("k", vec![1; limit]);
    bench.log.append(&topic, vec![fits]).await.expect("a record as large as the limit");
    let together = vec![record("key", "small"), over];
    let refused = bench.log.append(&topic, together).await;
    assert_eq!(refused, Err(AppendError::TooLarge { size: limit + 1, limit }));
    bench.put("large", "after").await;
    let mut found: Vec<_> = bench.scan("large", Start::Beginning).await.iter().map(String::len).collect();
    // Different keys may lie in different lanes.
    found.sort_unstable();
    assert_eq!(found, ["after".len(), limit], "the refused append left something behind");
}

async fn times_never_decrease(subject: impl Subject) {
    let bench = Bench::new(subject).await;
    for value in ["a", "b", "c", "d"] {
        bench.put("times", value).await;
    }
    let bench = bench.reopen().await;
    bench.put("times", "e").await;
    let mut reader = bench.join("reader", "times", Start::Beginning).await;
    let entries = take(&mut *reader, 5).await;
    assert!(entries.is_sorted_by_key(|entry| entry.appended_ms), "the clock went back");
}

async fn read_one_position(subject: impl Subject) {
    let bench = Bench::new(subject).await;
    let positions = bench.put_all("one", &["a", "b", "c"]).await;
    bench.put_all("two", &["x"]).await;
    for (position, value) in positions.iter().zip(["a", "b", "c"]) {
        let entry = bench.log.read(position).await.expect("read").expect("there");
        assert_eq!((&entry.position, text(&entry).as_str()), (position, value));
    }
    let beyond = Position { offset: positions[2].offset + 1, ..positions[2].clone() };
    assert_eq!(bench.log.read(&beyond).await.expect("read"), None);
    let nowhere = Position { topic: bench.topic("never"), lane: 0, offset: 0 };
    assert!(
        matches!(bench.log.read(&nowhere).await, Err(ReadError::NoTopic(topic)) if topic == nowhere.topic)
    );
}

async fn scan_is_bounded(subject: impl Subject) {
    let bench = Bench::new(subject).await;
    bench.put_all("scan", &["a", "b", "c", "d"]).await;
    let mut scan = bench.log.scan(&bench.topic("scan"), Start::Beginning).await.expect("a scan");
    bench.put("scan", "later").await;
    let mut found = Vec::new();
    loop {
        let entries = scan.next(3).await.expect("scanned");
        assert!(entries.len() <= 3, "more than asked for");
        if entries.is_empty() {
            break;
        }
        found.extend(entries.iter().map(text));
    }
    assert_eq!(found, ["a", "b", "c", "d"]);
    assert!(scan.next(3).await.expect("scanned").is_empty(), "a scan that ended went on");
    let missing = bench.log.scan(&bench.topic("never"), Start::Beginning).await;
    assert!(matches!(missing, Err(ReadError::NoTopic(_))));
}

async fn scan_starts(subject: impl Subject) {
    let bench = Bench::new(subject).await;
    let positions = bench.put_all("starts", &["a", "b"]).await;
    bench.put("starts", "c").await;
    let entry = bench.log.read(&positions[0]).await.expect("read").expect("there");
    assert_eq!(bench.scan("starts", Start::Beginning).await, ["a", "b", "c"]);
    assert_eq!(bench.scan("starts", Start::Offset(positions[1].offset)).await, ["b", "c"]);
    assert_eq!(bench.scan("starts", Start::Time(0)).await, ["a", "b", "c"]);
    assert_eq!(bench.scan("starts", Start::Time(entry.appended_ms)).await, ["a", "b", "c"]);
    assert!(bench.scan("starts", Start::Time(u64::MAX >> 12)).await.is_empty());
    assert!(bench.scan("starts", Start::Now).await.is_empty());
}

async fn scan_of_lanes(subject: impl Subject) {
    let bench = Bench::new(subject).await;
    let positions = bench.put_all("lanes", &["a", "b", "c"]).await;
    let topic = bench.topic("lanes");
    let from = [(positions[1].lane, positions[1].offset)];
    let mut scan = bench.log.scan_lanes(&topic, &from).await.expect("a scan");
    bench.put("lanes", "later").await;
    let mut found = Vec::new();
    loop {
        let entries = scan.next(2).await.expect("scanned");
        if entries.is_empty() {
            break;
        }
        let wanted = entries.iter().filter(|entry| entry.position >= positions[1]);
        found.extend(wanted.map(text));
    }
    assert_eq!(found, ["b", "c"]);
    let mut nothing = bench.log.scan_lanes(&topic, &[]).await.expect("a scan");
    assert!(nothing.next(2).await.expect("scanned").is_empty(), "nothing was asked for");
}

async fn topics_and_lanes(subject: impl Subject) {
    let bench = Bench::new(subject).await;
    let last = bench.put_all("listed.b", &["1", "2"]).await.remove(1);
    bench.put("listed.a", "1").await;
    let bench = bench.reopen().await;
    let mut topics = bench.log.topics().await.expect("topics");
    topics.retain(|info| info.topic.as_str().starts_with(bench.topic("listed").as_str()));
    let names: Vec<_> = topics.iter().map(|info| info.topic.clone()).collect();
    assert_eq!(names, [bench.topic("listed.a"), bench.topic("listed.b")], "not all, or not sorted");
    let lane = topics[1].lanes.iter().find(|lane| lane.lane == last.lane).expect("its lane");
    assert!(lane.next > last.offset && lane.first <= last.offset, "{lane:?} does not hold {last}");
}

async fn outlives(subject: impl Subject) {
    let bench = Bench::new(subject).await;
    let before = bench.put_all("kept", &["a", "b"]).await;
    let bench = bench.reopen().await;
    let after = bench.put("kept", "c").await;
    assert!(after.offset > before[1].offset, "{after} was used before");
    let bench = bench.reopen().await;
    assert_eq!(bench.scan("kept", Start::Beginning).await, ["a", "b", "c"]);
}

async fn appends_from_everywhere(subject: impl Subject) {
    let bench = Bench::new(subject).await;
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let (log, topic) = (bench.log.clone(), bench.topic(&format!("many.{}", writer % 2)));
            tokio::spawn(async move {
                for count in 0..25 {
                    let records = vec![record("key", format!("{writer}:{count:02}"))];
                    log.append(&topic, records).await.expect("appended");
                }
            })
        })
        .collect();
    let wanted = bench.topic("many.");
    let topics = TopicSet::matching(move |topic| topic.as_str().starts_with(wanted.as_str()));
    let mut reader =
        bench.log.subscribe(&bench.group("all"), topics, Start::Beginning).await.expect("subscribed");
    let found = texts(&mut *reader, 100).await;
    for writer in 0..4 {
        let of_one: Vec<_> = found.iter().filter(|value| value.starts_with(&format!("{writer}:"))).collect();
        assert!(of_one.len() == 25 && of_one.is_sorted(), "writer {writer}: {of_one:?}");
    }
    for writer in writers {
        writer.await.expect("the writer ended well");
    }
}
