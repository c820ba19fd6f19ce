//! Members that come and go: nothing is lost, and nothing is committed early.

use std::{collections::BTreeSet, time::Duration};

use hook_log::{Entry, Log, Next, Start, Subscription, TopicSet};

use crate::support::{number, numbers, open, settings, soon, topic, unique, until};

/// A reader that keeps what it was given.
struct Reader {
    subscription: Box<dyn Subscription>,
    given: Vec<Entry>,
    /// Lanes that were asked back, in the order in which they were.
    revoked: Vec<u32>,
}

impl Reader {
    async fn join(log: &dyn Log, prefix: &str) -> Self {
        let topics = TopicSet::one(topic(prefix));
        let group = format!("{prefix}.group");
        Self::of(log.subscribe(&group, topics, Start::Beginning).await.unwrap())
    }

    fn of(subscription: Box<dyn Subscription>) -> Self {
        Self { subscription, given: Vec::new(), revoked: Vec::new() }
    }

    /// Reads for a moment, and says how many records came.
    async fn read(&mut self) -> usize {
        let next = tokio::time::timeout(Duration::from_millis(200), self.subscription.next(64)).await;
        match next.map(Result::unwrap) {
            Ok(Next::Entries(entries)) => {
                let came = entries.len();
                self.given.extend(entries);
                came
            }
            Ok(Next::Revoked(lanes)) => {
                self.revoked.extend(lanes.iter().map(|lane| lane.lane));
                0
            }
            Err(_elapsed) => 0,
        }
    }

    async fn settle(&mut self, entries: &[Entry]) {
        for entry in entries {
            self.subscription.commit(&entry.position).await.unwrap();
        }
    }

    fn of_lane(&self, lane: u32) -> Vec<Entry> {
        self.given.iter().filter(|entry| entry.position.lane == lane).cloned().collect()
    }

    fn numbers(&self) -> BTreeSet<u32> {
        self.given.iter().map(number).collect()
    }

    fn lanes(&self) -> BTreeSet<u32> {
        self.given.iter().map(|entry| entry.position.lane).collect()
    }
}

fn all(count: u32) -> BTreeSet<u32> {
    (0..count).collect()
}

/// Each key's numbers, in the order in which they were given.
fn check_order(entries: &[Entry]) {
    for lane in 0..3 {
        let offsets: Vec<_> = entries
            .iter()
            .filter(|entry| entry.position.lane == lane)
            .map(|entry| entry.position.offset)
            .collect();
        assert!(offsets.is_sorted(), "lane {lane} was given out of order: {offsets:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_member_takes_its_share_and_gives_it_back() {
    let prefix = unique();
    let (one, other) = (open(&prefix).await, open(&prefix).await);
    one.append(&topic(&prefix), numbers(0..100)).await.unwrap();
    let mut first = Reader::join(&one, &prefix).await;
    until("the first to read all", async || {
        first.read().await;
        first.numbers().len() == 100
    })
    .await;
    let given = first.given.clone();
    first.settle(&given).await;

    let mut second = Reader::join(&other, &prefix).await;
    let mut sent = 100;
    until("both to have a share", async || {
        one.append(&topic(&prefix), numbers(sent..sent + 20)).await.unwrap();
        sent += 20;
        first.read().await;
        second.read().await;
        let fresh = |reader: &Reader| reader.given.iter().filter(|entry| number(entry) >= 100).count();
        fresh(&second) > 0 && fresh(&first) > 0 && second.lanes().len() < 3
    })
    .await;
    check_order(&first.given);
    check_order(&second.given);
    assert!(second.numbers().iter().all(|number| *number >= 100), "what was settled came again");

    let settled = second.given.clone();
    second.settle(&settled).await;
    drop(second);
    other.close();
    let before = first.given.len();
    one.append(&topic(&prefix), numbers(sent..sent + 20)).await.unwrap();
    let by_second: BTreeSet<_> = settled.iter().map(number).collect();
    let rest: BTreeSet<_> = (100..sent + 20).filter(|number| !by_second.contains(number)).collect();
    until("the first to have everything else", async || {
        first.read().await;
        rest.is_subset(&first.numbers())
    })
    .await;
    let since: BTreeSet<_> = first.given[before..].iter().map(number).collect();
    let again: Vec<_> = since.intersection(&by_second).collect();
    assert!(again.is_empty(), "settled by the second and given to the first afterwards: {again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_member_has_not_settled_comes_again_elsewhere() {
    let prefix = unique();
    let (one, other) = (open(&prefix).await, open(&prefix).await);
    one.append(&topic(&prefix), numbers(0..300)).await.unwrap();
    let mut first = Reader::join(&one, &prefix).await;
    until("the first to read all", async || {
        first.read().await;
        first.numbers().len() == 300
    })
    .await;
    // A third of each lane is settled while it is held, a third while it is asked back.
    let mut settled = Vec::new();
    for lane in first.lanes() {
        let of_lane = first.of_lane(lane);
        settled.extend_from_slice(&of_lane[..of_lane.len() / 3]);
    }
    first.settle(&settled.clone()).await;

    let mut second = Reader::join(&other, &prefix).await;
    until("lanes to be asked back", async || {
        first.read().await;
        !first.revoked.is_empty()
    })
    .await;
    for _ in 0..10 {
        assert_eq!(second.read().await, 0, "a lane went before it was handed over");
    }
    for lane in first.revoked.clone() {
        let of_lane = first.of_lane(lane);
        let third = of_lane[of_lane.len() / 3..2 * of_lane.len() / 3].to_vec();
        first.settle(&third).await;
        settled.extend(third);
    }
    until("the second to get a lane", async || {
        first.read().await;
        second.read().await > 0
    })
    .await;
    // Too late: the lanes are another's now.
    let stolen: BTreeSet<u32> = first.revoked.iter().copied().collect();
    let late: Vec<_> = stolen.iter().flat_map(|lane| first.of_lane(*lane)).collect();
    first.settle(&late).await;
    let unsettled: BTreeSet<u32> = late.iter().filter(|entry| !settled.contains(entry)).map(number).collect();
    until("the second to read what was not settled of its lanes", async || {
        second.read().await;
        unsettled.is_subset(&second.numbers())
    })
    .await;
    check_order(&second.given);
    assert_eq!(second.numbers(), unsettled, "settled records came again, or others' records came");
    for at in one.committed(&format!("{prefix}.group")).await.unwrap() {
        let of_lane = settled.iter().filter(|entry| entry.position.lane == at.lane);
        let last = of_lane.map(|entry| entry.position.offset).max().unwrap();
        assert!(at.offset <= last, "lane {} is committed up to {}, settled up to {last}", at.lane, at.offset);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_takes_nothing_stays_a_member() {
    let prefix = unique();
    let mut slow = settings(&prefix);
    slow.poll_interval = Duration::from_secs(6);
    let one = hook_kafka::KafkaLog::open(slow).await.unwrap();
    let log = open(&prefix).await;
    for part in 0..8 {
        log.append(&topic(&prefix), numbers(part * 1000..(part + 1) * 1000)).await.unwrap();
    }
    let mut reader = Reader::join(&one, &prefix).await;
    until("its first records", async || reader.read().await > 0).await;
    let first = reader.given.clone();
    // Longer than the group lets a member be silent.
    let silence = tokio::time::timeout(Duration::from_secs(8), std::future::pending::<()>());
    assert!(silence.await.is_err());
    reader.settle(&first).await;
    until("all the others", async || {
        reader.read().await;
        reader.numbers() == all(8000)
    })
    .await;
    assert_eq!(reader.given.len(), 8000, "something came twice");
    let committed = one.committed(&format!("{prefix}.group")).await.unwrap();
    assert!(!committed.is_empty(), "what it settled after the silence did not count");
}

#[tokio::test(flavor = "multi_thread")]
async fn lanes_that_a_topic_gets_later_are_read_whole() {
    let prefix = unique();
    let log = open(&prefix).await;
    log.append(&topic(&prefix), numbers(0..10)).await.unwrap();
    let topics = TopicSet::one(topic(&prefix));
    let subscription = log.subscribe(&format!("{prefix}.group"), topics, Start::Now).await.unwrap();
    let mut reader = Reader::of(subscription);
    crate::support::add_lanes(&topic(&prefix), 6).await;
    // Until the producer knows of them too.
    let mut sent = 10;
    until("a record in a new lane", async || {
        let positions = log.append(&topic(&prefix), numbers(sent..sent + 20)).await.unwrap();
        sent += 20;
        positions.iter().any(|position| position.lane >= 3)
    })
    .await;
    let expected: BTreeSet<u32> = (10..sent).collect();
    until("every record since", async || {
        reader.read().await;
        reader.numbers() == expected
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_in_another_process_is_forgotten_only_without_members() {
    let prefix = unique();
    let (one, other) = (open(&prefix).await, open(&prefix).await);
    let group = format!("{prefix}.group");
    one.append(&topic(&prefix), numbers(0..1)).await.unwrap();
    let mut reader = Reader::join(&one, &prefix).await;
    until("its record", async || reader.read().await > 0).await;
    let refused = other.forget(&group).await.unwrap_err().to_string();
    assert!(refused.contains("has members in another process"), "{refused}");
    drop(reader);
    one.close();
    soon("the group to be forgotten", other.forget(&group)).await.unwrap();
    assert!(other.committed(&group).await.unwrap().is_empty());
}
