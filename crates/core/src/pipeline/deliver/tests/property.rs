//! Whatever the destination answers, whenever the process dies and whichever
//! appends fail: every event ends, none is committed too early, keys stay in order.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use hook_event::Event;
use hook_log::{AppendError, Position};
use proptest::prelude::*;

use super::world::{CORE, LONG, World, block_on, junk, mix, plan, topic};
use crate::{
    plan::{DeliveryPolicy, Ordering},
    ports::DeliverError,
    testing::{self, ScriptedEgress, Step, failure, number},
};

/// One life of the process.
#[derive(Clone, Debug)]
struct Life {
    millis: u64,
    appends_fail: bool,
}

#[derive(Clone, Debug)]
struct Case {
    seed: u64,
    /// The key of each record; 0 for none, 7 for a record that is no envelope.
    keys: Vec<u8>,
    lives: Vec<Life>,
    ordering: Ordering,
    max_in_flight: usize,
    max_retries: u32,
    deadline: Option<Duration>,
}

fn cases() -> impl Strategy<Value = Case> {
    let life = (1..40_000_u64, prop::bool::weighted(0.3))
        .prop_map(|(millis, appends_fail)| Life { millis, appends_fail });
    let ordering = prop_oneof![
        3 => Just(Ordering::Key),
        1 => Just(Ordering::None),
        1 => Just(Ordering::Strict)
    ];
    (
        any::<u64>(),
        prop::collection::vec(0..8_u8, 1..40),
        prop::collection::vec(life, 0..5),
        ordering,
        (1..9_usize, 0..4_u32),
        prop::option::weighted(0.3, (1..60_u64).prop_map(Duration::from_secs)),
    )
        .prop_map(|(seed, keys, lives, ordering, (max_in_flight, max_retries), deadline)| Case {
            seed,
            keys,
            lives,
            ordering,
            max_in_flight,
            max_retries,
            deadline,
        })
}

/// What the destination does with this attempt at this event.
fn step(seed: u64, event: &Event, attempt: u32) -> (Duration, Step) {
    let chance = mix(&[seed, number(event.id), attempt.into()]);
    let after = chance.is_multiple_of(3).then(|| Duration::from_millis(chance >> 8 & 0x3fff));
    let step = match chance % 100 {
        0..55 => Step::Deliver,
        55..75 => Step::Fail(DeliverError::Failed(failure(after))),
        75..88 => Step::Fail(DeliverError::Unavailable(failure(after))),
        88..95 => Step::Fail(DeliverError::Refused(failure(None))),
        95..97 => Step::Fail(DeliverError::Halted(failure(None))),
        _ => Step::Panic,
    };
    (Duration::from_millis(chance >> 32 & 0xfff), step)
}

fn policy(case: &Case) -> DeliveryPolicy {
    DeliveryPolicy {
        max_in_flight: case.max_in_flight,
        ordering: case.ordering,
        max_retries: case.max_retries,
        deadline: case.deadline,
        ..DeliveryPolicy::default()
    }
}

async fn check(case: Case) {
    let mut world = World::new();
    let seed = case.seed;
    let egress = Arc::new(ScriptedEgress::new(move |event, attempt| step(seed, event, attempt)));
    for (n, key) in case.keys.iter().enumerate() {
        match key {
            7 => world.append_raw(vec![junk(b"no envelope")]).await,
            0 => world.append([testing::event(n as u64, "push", b"{}")]).await,
            key => world.append([testing::keyed_event(n as u64, &key.to_string())]).await,
        }
    }
    world.on_commit = nothing_unsettled_before(&world, &egress);
    for life in &case.lives {
        if life.appends_fail {
            world.log.fail_appends(AppendError::Full("no space".into()));
        }
        world.run(plan(policy(&case)), &egress, Duration::from_millis(life.millis)).await;
        world.log.heal();
    }
    let status = world.run(plan(policy(&case)), &egress, LONG).await.snapshot();

    assert_eq!(world.settled().await, case.keys.len() as u64, "everything ends: {status:?}");
    assert_eq!((status.waiting, status.in_flight, status.dead_letters_waiting), (0, 0, 0));
    in_order(&case, &world, &egress);
}

/// At every commit, all that it covers must be delivered, or dead and durable.
fn nothing_unsettled_before(
    world: &World,
    egress: &Arc<ScriptedEgress>,
) -> Arc<dyn Fn(&Position) + Send + Sync> {
    let (log, egress) = (world.log.clone(), Arc::clone(egress));
    let letters = World { log: log.clone(), ..World::new() };
    Arc::new(move |committed| {
        let delivered: HashSet<_> = egress.delivered().iter().map(|event| event.id).collect();
        let dead: HashSet<_> = letters.letters().into_iter().map(|letter| letter.position).collect();
        for entry in log.entries(&topic(CORE)).iter().take_while(|entry| entry.position <= *committed) {
            let taken = Event::decode(&entry.value).is_ok_and(|event| delivered.contains(&event.id));
            assert!(taken || dead.contains(&entry.position.to_string()), "{committed} is too early");
        }
    })
}

/// First deliveries of one key come in the order of the log. An event that was given
/// up lets the next one pass, and may be tried again if a crash came before its commit.
fn in_order(case: &Case, world: &World, egress: &ScriptedEgress) {
    let mut seen: HashSet<_> = world.letters().into_iter().filter_map(|letter| letter.event_id).collect();
    let mut last: HashMap<u8, u64> = HashMap::new();
    for event in egress.delivered().iter().filter(|event| seen.insert(event.id)) {
        let n = number(event.id);
        let key = match (case.ordering, case.keys[n as usize]) {
            (Ordering::None, _) | (Ordering::Key, 0) => continue,
            (Ordering::Strict, _) => 0,
            (Ordering::Key, key) => key,
        };
        let before = last.insert(key, n);
        assert!(before.is_none_or(|before| before < n), "{n} of key {key} came after {before:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_event_ends_and_nothing_is_committed_too_early(case in cases()) {
        block_on(case.seed, check(case));
    }
}
