//! Lanes that go to another process while their events are at work or wait.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use hook_event::Event;
use hook_log::{Entry, LaneId, Next, Position};
use tokio::time::Instant;

use super::world::{CORE, LONG, World, plan, topic};
use crate::{
    plan::DeliveryPolicy,
    ports::DeliverError,
    testing::{ScriptedEgress, Step, failure, keyed_event, number},
};

const S: fn(u64) -> Duration = Duration::from_secs;

/// Reads the events 0 and 1 of one key and 2 of another, loses their lane, and reads
/// what `after` says. Gives what was tried and when, and what is committed.
async fn check(
    script: impl Fn(u64, u32) -> (Duration, Step) + Send + Sync + 'static,
    after: Vec<Option<Next>>,
) -> (Vec<(u64, u64)>, u64) {
    let events = || [(0, "a"), (1, "a"), (2, "b")].map(|(n, key)| keyed_event(n, key));
    let world = World::with(events()).await;
    let lane = LaneId { topic: topic(CORE), lane: 0 };
    let then = after.into_iter().map(|next| next.map(Ok));
    world.reads.lock().unwrap().extend([None, Some(Ok(Next::Revoked(vec![lane])))].into_iter().chain(then));

    let (tried, began) = (Arc::<Mutex<Vec<_>>>::default(), Instant::now());
    let log = Arc::clone(&tried);
    let egress = Arc::new(ScriptedEgress::new(move |event: &Event, attempt| {
        log.lock().unwrap().push((number(event.id), began.elapsed().as_secs()));
        script(number(event.id), attempt)
    }));
    world.run(plan(DeliveryPolicy::default()), &egress, LONG).await;
    let tried = tried.lock().unwrap().clone();
    (tried, world.settled().await)
}

/// The same three records, as the log gives them when the lane comes back.
fn again(from: u64) -> Option<Next> {
    let entry = |(n, key)| {
        let event = keyed_event(n, key);
        let position = Position { topic: topic(CORE), lane: 0, offset: n };
        Entry { position, appended_ms: 0, key: event.ordering_key(), value: event.encode() }
    };
    let all = [(0, "a"), (1, "a"), (2, "b")].into_iter().map(entry);
    Some(Next::Entries(all.filter(|entry| entry.position.offset >= from).collect()))
}

#[tokio::test(start_paused = true)]
async fn what_is_at_work_ends_and_is_committed_and_nothing_more_begins() {
    let (tried, settled) = check(|_, _| (S(5), Step::Deliver), vec![]).await;
    assert_eq!(tried, [(0, 0), (2, 0)], "1 waited for 0 and was left to the other process");
    assert_eq!(settled, 1, "2 is delivered and not committed: 1 lies before it");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_fails_meanwhile_is_not_repeated_here() {
    let failed = || Step::Fail(DeliverError::Failed(failure(None)));
    let (tried, settled) = check(move |_, _| (S(1), failed()), vec![]).await;
    assert_eq!(tried, [(0, 0), (2, 0)]);
    assert_eq!(settled, 0);
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_comes_back_begins_after_its_last_commit() {
    let (tried, settled) = check(|_, _| (S(5), Step::Deliver), vec![again(1)]).await;
    assert_eq!(tried, [(0, 0), (2, 0), (1, 5), (2, 5)], "it was handed over when both had ended");
    assert_eq!(settled, 3);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_never_ends_holds_a_lane_no_longer_than_others_can_wait() {
    let hangs_once = |n, attempt| match (n, attempt) {
        (0, 1) => (S(60), Step::Deliver),
        _ => (S(1), Step::Deliver),
    };
    let (tried, settled) = check(hangs_once, vec![again(0)]).await;
    assert_eq!(tried, [(0, 0), (2, 0), (0, 15), (2, 15), (1, 16)], "the late answer is not heard");
    assert_eq!(settled, 3);
}
