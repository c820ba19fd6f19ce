//! What is refused and has no sender: a dead letter, durable or asked for again.

use hook_event::DeadLetter;

use super::*;

fn refused(refusal: Refusal, body: &[u8]) -> Refused {
    Refused {
        adapter: "orders-in".into(),
        position: "orders/3/17".into(),
        topic: "orders".into(),
        body: Bytes::copy_from_slice(body),
        refusal,
    }
}

fn letters(world: &World) -> Vec<DeadLetter> {
    let entries = world.log.inner.entries(&Topic::new("webhooks.dlq").unwrap());
    entries.iter().map(|entry| DeadLetter::decode(&entry.value).unwrap()).collect()
}

#[tokio::test]
async fn the_letter_says_what_where_and_why() {
    let world = World::new();
    let unroutable = Refusal::Unroutable { source_name: "kafka".into(), event_type: "x".into() };
    let denied = Refusal::Denied { hook: "h".into(), reason: "no".into() };
    for (refusal, reason, body) in [
        (Refusal::Malformed("not JSON".into()), "malformed", &b"{ s3cret"[..]),
        (unroutable, "unroutable", b"{}"),
        (denied, "hook_denied", b"{}"),
        (Refusal::Unverified("no".into()), "unverified", b"{}"),
        (Refusal::UnknownSource("x".into()), "unknown_source", b"{}"),
        (Refusal::TooLarge { size: 2, limit: 1 }, "too_large", &[0xff]),
    ] {
        world.acceptor.set_aside(refused(refusal.clone(), body)).await.unwrap();
        let letter = letters(&world).pop().unwrap();
        assert_eq!((letter.reason.as_str(), letter.position.as_str()), (reason, "orders/3/17"));
        assert_eq!((letter.adapter, letter.event_id, letter.envelope.as_ref()), (None, None, body));
        assert!(letter.error.contains("`orders-in`") && letter.error.ends_with(&refusal.to_string()));
        assert!(!letter.error.contains("s3cret"));
    }
    assert!(world.counted("smash_dlq_total{topic=\"orders\"} 6"));
}

#[tokio::test]
async fn a_letter_that_cannot_be_stored_is_to_be_brought_again() {
    let world = World::new();
    world.log.inner.fail_appends(AppendError::Full("no space".into()));
    let malformed = || refused(Refusal::Malformed("not JSON".into()), b"{");
    let answer = world.acceptor.set_aside(malformed()).await;
    assert!(matches!(answer, Err(Refusal::Unavailable { .. })), "{answer:?}");
    assert!(letters(&world).is_empty() && !world.metrics.render().contains("smash_dlq_total{"));
    world.log.inner.heal();
    world.acceptor.set_aside(malformed()).await.unwrap();
    assert_eq!(letters(&world).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_does_not_answer_holds_nobody_up_for_ever() {
    let world = World::new();
    world.log.shut();
    let answer = world.acceptor.set_aside(refused(Refusal::Malformed("not JSON".into()), b"{")).await;
    assert!(matches!(answer, Err(Refusal::Unavailable { .. })), "{answer:?}");
}

#[tokio::test]
async fn a_letter_that_is_too_large_is_kept_without_its_bytes() {
    let world = World::over(MemoryLog::with_limit(Arc::new(|| 0), 1_000), |_| {});
    world.acceptor.set_aside(refused(Refusal::Malformed("not JSON".into()), &[b'x'; 2_000])).await.unwrap();
    let letter = letters(&world).pop().unwrap();
    assert!(letter.envelope.is_empty() && letter.error.contains("too large to be copied"), "{letter:?}");
    assert_eq!(letter.position, "orders/3/17");
}
