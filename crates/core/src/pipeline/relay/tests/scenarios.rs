//! What a bridge does with each kind of record and each kind of failure.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use hook_log::{
    AppendError, Entry, LaneId, Next, Position, ReadError, Record,
    forward::{Batch, Forward, ForwardError, Guarantee, Link, Reading},
};
use tokio_util::sync::CancellationToken;

use super::world::{Append, LONG, OUTPUT, SOURCE, Scripted, World, pass, record, topic};
use crate::{
    pipeline::relay::State,
    plan::{OutputTopic, RelayMode},
    testing,
};

const SOON: Duration = Duration::from_secs(60);

fn envelope(number: u64, key: &str) -> Record {
    let event = testing::keyed_event(number, key);
    // Whatever it was stored under, it goes on under its ordering key.
    Record { key: Bytes::from_static(b"another"), value: event.encode() }
}

#[tokio::test(start_paused = true)]
async fn envelopes_go_on_byte_for_byte_under_their_ordering_key() {
    let world = World::new(RelayMode::Envelope);
    let records = [envelope(1, "a"), envelope(2, "b"), envelope(3, "a")];
    world.append(records.clone()).await;
    let status = world.run_and_stop(SOON).await.snapshot();
    let carried = world.carried();
    let values = |records: &[Record]| records.iter().map(|record| record.value.clone()).collect::<Vec<_>>();
    assert_eq!(values(&carried), values(&records));
    assert_eq!(carried[0].key, testing::keyed_event(1, "a").ordering_key());
    assert_eq!((status.carried, status.dead_lettered, status.state), (3, 0, State::Stopped));
    assert_eq!(world.settled().await, 3);
}

#[tokio::test(start_paused = true)]
async fn any_bytes_go_on_untouched() {
    let world = World::new(RelayMode::Raw);
    let records = [
        Record { key: Bytes::from_static(&[0, 255]), value: Bytes::from_static(&[1, 0, 254]) },
        record("", ""),
    ];
    world.append(records.clone()).await;
    world.run_and_stop(SOON).await;
    assert_eq!(world.carried(), records);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_envelope_becomes_a_dead_letter_and_blocks_nobody() {
    let world = World::new(RelayMode::Envelope);
    world.append([envelope(1, "a"), record("k", "no envelope"), record("k", ""), envelope(2, "a")]).await;
    world.run_and_stop(SOON).await;
    assert_eq!(world.carried().len(), 2);
    let letters = world.letters();
    let told: Vec<_> =
        letters.iter().map(|letter| (letter.position.as_str(), letter.reason.as_str())).collect();
    assert_eq!(told, [("webhooks.github/0/1", "malformed"), ("webhooks.github/0/2", "malformed")]);
    assert_eq!(letters[0].envelope, &b"no envelope"[..]);
    assert!(letters[0].error.contains("`bridge`"), "{}", letters[0].error);
    assert_eq!(world.settled().await, 4);
    assert!(
        world
            .metrics
            .render()
            .contains(r#"hook_relay_records_total{bridge="bridge",outcome="dead_lettered"} 2"#)
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_too_large_becomes_a_dead_letter_without_its_copy() {
    let world = World::with(RelayMode::Raw, 1000, |_| Append::Stored);
    world
        .append([
            record("k", "1"),
            record("k", &"x".repeat(1000)),
            record("k", &"x".repeat(300_000)),
            record("k", "2"),
        ])
        .await;
    world.run_and_stop(SOON).await;
    assert_eq!(world.texts(), ["1", "2"]);
    let sizes: Vec<_> =
        world.letters().iter().map(|letter| (letter.reason.clone(), letter.envelope.len())).collect();
    assert_eq!(sizes, [("refused".to_owned(), 1000), ("refused".to_owned(), 0)]);
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_is_tried_as_often_as_the_plan_says() {
    let check = async |max_retries: u32| {
        let mut world = World::new(RelayMode::Raw);
        world.plan.max_retries = max_retries;
        world.append([record("k", "1"), record("k", "poison"), record("k", "2")]).await;
        world.run_and_stop(SOON).await;
        assert_eq!(world.texts(), ["1", "2"]);
        let letters = world.letters();
        assert_eq!((letters.len(), letters[0].attempts), (1, max_retries + 1), "{letters:?}");
        assert_eq!(letters[0].position, "webhooks.github/0/1");
    };
    check(0).await;
    check(5).await;
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_away_is_waited_for_and_costs_no_memory() {
    let away = Arc::new(AtomicBool::new(true));
    let asked = Arc::clone(&away);
    let script = move |_| if asked.load(Ordering::Relaxed) { Append::Lost(0) } else { Append::Stored };
    let world = World::with(RelayMode::Raw, 1 << 20, script);
    let all: Vec<_> = (0..20_000).map(|number| number.to_string()).collect();
    world.append(all.iter().map(|text| record("k", text))).await;
    let relay = world.relay(world.link());
    let (status, stop) = (relay.status(), CancellationToken::new());
    let running = tokio::spawn(relay.run(stop.clone()));
    pass(Duration::from_secs(86_400)).await;
    let snapshot = status.snapshot();
    assert!(matches!(&snapshot.state, State::Waiting { reason, .. } if reason.contains("the line is dead")));
    assert!(world.reads.load(Ordering::Relaxed) <= 2048, "{}", world.reads.load(Ordering::Relaxed));
    assert_eq!((world.settled().await, snapshot.carried), (0, 0));
    away.store(false, Ordering::Relaxed);
    pass(SOON).await;
    stop.cancel();
    running.await.unwrap().unwrap();
    assert_eq!(world.texts(), all);
    assert_eq!(world.letters().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_crash_between_publishing_and_settling_publishes_again() {
    let world =
        World::with(
            RelayMode::Raw,
            1 << 20,
            |number| if number == 0 { Append::Lost(2) } else { Append::Stored },
        );
    world.append([record("k", "1"), record("k", "2"), record("k", "3")]).await;
    // The first append takes 5 ms, and the second try comes later.
    world.run_and_die(Duration::from_millis(6)).await;
    assert_eq!((world.texts(), world.settled().await), (vec!["1".to_owned(), "2".to_owned()], 0));
    world.run_and_stop(SOON).await;
    assert_eq!(world.texts(), ["1", "2", "1", "2", "3"]);
}

#[tokio::test(start_paused = true)]
async fn sources_choose_their_topics() {
    let mut world = World::new(RelayMode::Envelope);
    world.plan.output_topic = OutputTopic::parse("all.{source}", RelayMode::Envelope).unwrap();
    world.append([envelope(1, "a")]).await;
    world.run_and_stop(SOON).await;
    assert_eq!(
        world.target.log.entries(&topic(&format!("all.{}", testing::keyed_event(1, "a").source))).len(),
        1
    );
}

/// A link of which each call is scripted: what it gives out, and what becomes of it.
struct Lanes {
    script: Scripted,
    first: ForwardError,
    published: Mutex<Vec<String>>,
}

struct Joined(Arc<Lanes>);

struct Lane(Arc<Lanes>);

fn entry(lane: u32, offset: u64) -> Entry {
    let position = Position { topic: topic(SOURCE), lane, offset };
    Entry { position, appended_ms: 0, key: Bytes::new(), value: Bytes::from(format!("{lane}/{offset}")) }
}

#[async_trait]
impl Link for Joined {
    fn guarantee(&self) -> Guarantee {
        Guarantee::ExactlyOnce
    }

    async fn open(&self, _: &Reading) -> Result<Box<dyn Forward>, ReadError> {
        self.0.script.count("open");
        Ok(Box::new(Lane(Arc::clone(&self.0))))
    }

    async fn lag(&self, _: &Reading) -> Result<u64, ReadError> {
        Ok(0)
    }
}

#[async_trait]
impl Forward for Lane {
    async fn next(&mut self, _: usize) -> Result<Next, ReadError> {
        match self.0.script.count("next") {
            1 => Ok(Next::Entries(vec![entry(0, 0), entry(1, 0), entry(0, 1)])),
            2 => Ok(Next::Revoked(vec![LaneId { topic: topic(SOURCE), lane: 0 }])),
            3 => Ok(Next::Entries(vec![entry(1, 1)])),
            _ => std::future::pending().await,
        }
    }

    async fn forward(&mut self, batch: &Batch) -> Result<(), ForwardError> {
        if self.0.script.count("forward") == 1 {
            return Err(match &self.0.first {
                ForwardError::Revoked => ForwardError::Revoked,
                other => ForwardError::Broken(other.to_string()),
            });
        }
        assert_eq!(batch.records.len(), batch.records.iter().filter(|(to, _)| *to == topic(OUTPUT)).count());
        let texts =
            batch.records.iter().map(|(_, record)| String::from_utf8_lossy(&record.value).into_owned());
        self.0.published.lock().unwrap().extend(texts);
        Ok(())
    }
}

async fn run_scripted(first: ForwardError) -> (Vec<String>, u32) {
    let lanes =
        Arc::new(Lanes { script: Scripted { calls: Mutex::default() }, first, published: Mutex::default() });
    let world = World::new(RelayMode::Raw);
    let stop = CancellationToken::new();
    let running = tokio::spawn(world.relay(Arc::new(Joined(Arc::clone(&lanes)))).run(stop.clone()));
    pass(SOON).await;
    stop.cancel();
    running.await.unwrap().unwrap();
    let published = lanes.published.lock().unwrap().clone();
    (published, lanes.script.count("open") - 1)
}

#[tokio::test(start_paused = true)]
async fn lanes_that_went_are_carried_no_more() {
    assert_eq!(run_scripted(ForwardError::Revoked).await, (vec!["1/0".to_owned(), "1/1".to_owned()], 1));
}

#[tokio::test(start_paused = true)]
async fn a_place_that_broke_is_opened_anew_and_what_it_held_is_forgotten() {
    let (published, opened) = run_scripted(ForwardError::Broken("fenced".into())).await;
    // The script gives out nothing twice; a real log would, from what is settled.
    assert_eq!((published, opened), (vec!["1/1".to_owned()], 2));
}

#[tokio::test(start_paused = true)]
async fn a_log_that_was_closed_ends_the_bridge() {
    let world = World::new(RelayMode::Raw);
    world.append([record("k", "1")]).await;
    world.target.log.fail_appends(AppendError::Closed);
    let ended = tokio::time::timeout(LONG, world.relay(world.link()).run(CancellationToken::new())).await;
    assert!(ended.unwrap().is_err_and(|error| error.0.contains("`bridge`")));
}
