//! Whatever the target does and whenever the process dies: every record arrives or
//! becomes a dead letter, nothing is settled before, and keys stay in order.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use hook_log::Position;
use proptest::prelude::*;

use super::world::{Append, DEAD, LONG, OUTPUT, SOURCE, World, record, topic};
use crate::plan::RelayMode;

#[derive(Clone, Debug)]
struct Case {
    /// The key of each record; 7 is refused by the target, 6 is too large for it.
    keys: Vec<u8>,
    /// How each append of the target goes; then all succeed.
    appends: Vec<Append>,
    /// After how many milliseconds the process dies, and begins again.
    lives: Vec<u64>,
}

fn cases() -> impl Strategy<Value = Case> {
    let append = prop_oneof![
        2 => Just(Append::Stored),
        1 => Just(Append::Lost(0)),
        2 => (0..20_usize).prop_map(Append::Lost),
    ];
    (
        prop::collection::vec(0..8_u8, 1..60),
        prop::collection::vec(append, 0..12),
        prop::collection::vec(1..30_000_u64, 0..5),
    )
        .prop_map(|(keys, appends, lives)| Case { keys, appends, lives })
}

fn value(number: usize, key: u8) -> String {
    match key {
        7 => format!("{number} poison"),
        6 => format!("{number} {}", "x".repeat(200)),
        _ => format!("{number}"),
    }
}

async fn check(case: Case) {
    let appends = case.appends.clone();
    let script = move |number: u64| appends.get(number as usize).copied().unwrap_or(Append::Stored);
    let mut world = World::with(RelayMode::Raw, 100, script);
    let records = case.keys.iter().enumerate();
    world.append(records.map(|(number, key)| record(&key.to_string(), &value(number, *key)))).await;
    world.on_commit = nothing_settled_too_early(&world);
    for life in &case.lives {
        world.run_and_die(Duration::from_millis(*life)).await;
    }
    let status = world.run_and_die(LONG).await.snapshot();

    assert_eq!(world.settled().await, case.keys.len() as u64, "everything ends: {status:?}");
    assert_eq!(status.waiting, 0);
    let mut seen = HashSet::new();
    let mut last: HashMap<Vec<u8>, usize> = HashMap::new();
    for record in world.carried().into_iter().filter(|record| seen.insert(record.value.clone())) {
        let number: usize = String::from_utf8_lossy(&record.value).parse().unwrap();
        let before = last.insert(record.key.to_vec(), number);
        assert!(before.is_none_or(|before| before < number), "{number} came after {before:?}");
    }
    let good = case.keys.iter().filter(|key| **key < 6).count();
    assert_eq!(seen.len(), good, "each that can arrives");
    let dead: HashSet<_> = world.letters().into_iter().map(|letter| letter.position).collect();
    assert_eq!(dead.len(), case.keys.len() - good, "and no other becomes a dead letter");
}

/// At every commit, all that it covers must have arrived, or be dead and durable.
fn nothing_settled_too_early(world: &World) -> Arc<dyn Fn(&Position) + Send + Sync> {
    let (source, target) = (world.source.clone(), world.target.log.clone());
    Arc::new(move |committed| {
        let arrived: HashSet<_> =
            target.entries(&topic(OUTPUT)).into_iter().map(|entry| entry.value).collect();
        let letters = source.entries(&topic(DEAD));
        let letters: Vec<_> =
            letters.iter().map(|entry| String::from_utf8_lossy(&entry.value).into_owned()).collect();
        for entry in source.entries(&topic(SOURCE)).iter().take_while(|entry| entry.position <= *committed) {
            let dead = format!("\"position\":\"{}\"", entry.position);
            let is_dead = || letters.iter().any(|letter| letter.contains(&dead));
            assert!(arrived.contains(&entry.value) || is_dead(), "{committed} is too early");
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn everything_arrives_or_is_told_of(case in cases()) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_time().start_paused(true).build().unwrap().block_on(check(case));
    }
}
