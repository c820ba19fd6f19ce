//! The moment of storing: slow logs, twins, senders that hang up.

use proptest::prelude::*;

use super::*;

fn is_unavailable(answer: &Result<Answer, Refusal>) -> bool {
    matches!(answer, Err(Refusal::Unavailable { .. }))
}

#[tokio::test]
async fn success_is_never_said_before_the_append_returned() {
    let world = World::new();
    world.log.shut();
    let task = world.start(push("d1")).await;
    assert!(!task.is_finished() && world.stored("webhooks.github").is_empty());
    world.log.let_pass(1);
    let id = accepted(task.await.unwrap());
    assert_eq!(world.stored("webhooks.github")[0].id, id);
}

#[tokio::test]
async fn a_twin_is_told_to_come_back_and_then_that_it_is_one() {
    let world = World::new();
    world.log.shut();
    let first = world.start(push("d1")).await;
    let twin = world.send(push("d1")).await;
    assert!(
        matches!(twin, Err(Refusal::Unavailable { after, .. }) if after == Duration::from_secs(1)),
        "{twin:?}"
    );
    world.log.let_pass(1);
    let id = accepted(first.await.unwrap());
    assert_eq!(world.send(push("d1")).await, duplicate(id));
    assert_eq!(world.stored("webhooks.github").len(), 1);
}

#[tokio::test]
async fn a_twin_of_a_failure_is_welcome() {
    let world = World::new();
    world.log.shut();
    let first = world.start(push("d1")).await;
    assert!(is_unavailable(&world.send(push("d1")).await));
    world.log.inner.fail_appends(AppendError::Full("no space".into()));
    world.log.let_pass(1);
    assert!(is_unavailable(&first.await.unwrap()));
    world.log.inner.heal();
    world.log.let_pass(1);
    accepted(world.send(push("d1")).await);
}

#[tokio::test]
async fn many_twins_at_once_store_one_event() {
    let world = World::new();
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let acceptor = Arc::clone(&world.acceptor);
            tokio::spawn(async move { acceptor.accept(push("d1")).await })
        })
        .collect();
    let mut accepted = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(Answer::Accepted { .. }) => accepted += 1,
            Ok(Answer::Duplicate { .. }) | Err(Refusal::Unavailable { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((accepted, world.stored("webhooks.github").len()), (1, 1));
}

#[tokio::test]
async fn a_sender_that_hangs_up_does_not_part_the_event_from_its_claim() {
    let world = World::new();
    world.log.shut();
    let task = world.start(push("d1")).await;
    task.abort();
    settle().await;
    assert!(is_unavailable(&world.send(push("d1")).await), "not decided yet");
    world.log.let_pass(1);
    settle().await;
    let stored = world.stored("webhooks.github");
    assert_eq!(world.send(push("d1")).await, duplicate(stored[0].id));
    assert_eq!(stored.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_slow_log_is_a_503_and_its_late_success_is_remembered() {
    let world = World::new();
    world.log.shut();
    let answer = world.send(push("d1")).await;
    assert!(is_unavailable(&answer), "{answer:?}");
    let readiness = world.acceptor.readiness();
    assert!(!readiness.ready && readiness.reason.is_some_and(|reason| reason.contains("5s")));
    world.log.let_pass(1);
    settle().await;
    let stored = world.stored("webhooks.github");
    assert_eq!(world.send(push("d1")).await, duplicate(stored[0].id));
    assert!(world.acceptor.readiness().ready);
}

#[tokio::test(start_paused = true)]
async fn a_slow_log_that_fails_in_the_end_gives_the_delivery_id_back() {
    let world = World::new();
    world.log.shut();
    assert!(is_unavailable(&world.send(push("d1")).await));
    world.log.inner.fail_appends(AppendError::Full("no space".into()));
    world.log.let_pass(1);
    settle().await;
    world.log.inner.heal();
    world.log.let_pass(1);
    accepted(world.send(push("d1")).await);
}

#[tokio::test(start_paused = true)]
async fn a_stuck_log_holds_a_bounded_number_of_bytes() {
    let world = World::new();
    world.log.shut();
    let fill = "x".repeat(8 << 20);
    let mut tasks = Vec::new();
    for n in 0..12 {
        let body = format!("{{\"id\":\"{n}\",\"type\":\"push\",\"fill\":\"{fill}\"}}");
        tasks.push(world.start(bulk(&body)).await);
    }
    for task in tasks {
        assert!(is_unavailable(&task.await.unwrap()));
    }
    assert_eq!(world.reserved(), 7, "those that found room are still undecided, the others are forgotten");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the log does: what was accepted is stored, a delivery id is accepted
    /// once, and a duplicate names the event that is stored.
    #[test]
    fn accepted_means_stored_once(steps in proptest::collection::vec((0_u8..4, 0_u8..4), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let world = World::new();
            let mut accepted = HashMap::new();
            for (delivery, failure) in steps {
                match failure {
                    0 => world.log.inner.fail_appends(AppendError::Full("no space".into())),
                    1 => world.log.inner.fail_appends(AppendError::Closed),
                    _ => world.log.inner.heal(),
                }
                match world.send(push(&delivery.to_string())).await {
                    Ok(Answer::Accepted { ids, .. }) => assert_eq!(accepted.insert(delivery, ids[0]), None),
                    Ok(Answer::Duplicate { id, .. }) => assert_eq!(accepted.get(&delivery), Some(&id)),
                    Err(Refusal::Unavailable { .. }) => assert!(failure < 2 && !accepted.contains_key(&delivery)),
                    other => panic!("{other:?}"),
                }
            }
            let stored: Vec<_> = world.stored("webhooks.github").iter().map(|event| event.id).collect();
            assert_eq!(stored.len(), accepted.len());
            assert!(accepted.values().all(|id| stored.contains(id)));
        });
    }
}
