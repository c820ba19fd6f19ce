//! Bodies that hold many events.

use super::*;

fn one(id: &str, event_type: &str) -> String {
    format!(r#"{{"id":"{id}","type":"{event_type}"}}"#)
}

fn ids(answer: Result<Answer, Refusal>) -> Vec<EventId> {
    match answer {
        Ok(Answer::Accepted { ids, .. }) => ids,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_batch_is_one_append_for_each_topic() {
    let world = World::new();
    let body = [one("1", "push"), one("2", "pull_request.opened"), one("3", "push")].join(",");
    let ids = ids(world.send(bulk(&body)).await);
    assert_eq!(
        *world.log.appends.lock().unwrap(),
        [("webhooks.bulk".into(), 2), ("webhooks.reviews".into(), 1)]
    );
    let stored = world.stored("webhooks.bulk");
    assert_eq!((stored[0].id, stored[1].id), (ids[0], ids[2]), "in the order of the body");
    assert_eq!(stored[0].payload, one("1", "push"));
    assert_eq!(world.stored("webhooks.reviews")[0].id, ids[1]);
    assert_eq!(world.send(bulk(&body)).await, duplicate(ids[0]));
}

#[tokio::test]
async fn what_is_known_of_a_batch_is_not_stored_again() {
    let world = World::new();
    let known = ids(world.send(bulk(&one("1", "push"))).await)[0];
    let all = ids(world.send(bulk(&[one("1", "push"), one("2", "push")].join(","))).await);
    assert_eq!((all.len(), all[0]), (2, known));
    assert_eq!(world.stored("webhooks.bulk").len(), 2);
}

#[tokio::test]
async fn the_same_event_twice_in_a_batch_is_stored_once() {
    let world = World::new();
    let ids = ids(world.send(bulk(&[one("1", "push"), one("1", "push")].join(","))).await);
    assert_eq!(ids[0], ids[1]);
    assert_eq!(world.stored("webhooks.bulk").len(), 1);
}

#[tokio::test]
async fn one_event_that_cannot_be_taken_refuses_the_batch() {
    let world = World::with(|plan| plan.serve_routes = vec![route("r", "*", "push", "webhooks.core")]);
    let answer = world.send(bulk(&[one("1", "push"), one("2", "other")].join(","))).await;
    assert!(matches!(answer, Err(Refusal::Unroutable { .. })), "{answer:?}");
    assert_eq!((world.reserved(), world.log.appends.lock().unwrap().len()), (0, 0));
    accepted(world.send(bulk(&one("1", "push"))).await);
}

#[tokio::test]
async fn when_one_topic_fails_the_retry_stores_just_the_rest() {
    let world = World::new();
    world.log.shut();
    let body = [one("1", "push"), one("2", "pull_request.opened")].join(",");
    let task = world.start(bulk(&body)).await;
    world.log.let_pass(1);
    settle().await;
    world.log.inner.fail_appends(AppendError::Full("no space".into()));
    world.log.let_pass(1);
    assert!(matches!(task.await.unwrap(), Err(Refusal::Unavailable { .. })));
    world.log.inner.heal();
    world.log.let_pass(1);
    let ids = ids(world.send(bulk(&body)).await);
    assert_eq!(world.stored("webhooks.bulk")[0].id, ids[0]);
    assert_eq!(world.stored("webhooks.reviews")[0].id, ids[1]);
    assert_eq!(world.stored("webhooks.bulk").len(), 1);
}
