//! Duplicates are recognised across crashes and restarts, and nothing else is one.

use std::sync::Arc;

use hook_core::ports::{Claims, Reservation, claim_key};
use hook_event::{Entropy, EventId};
use hook_ledger::{Ledger, Options};

use crate::fixture::{Fixture, TTL, event, follow_until, now, options};

fn id() -> EventId {
    EventId::new(now(), Entropy::SYSTEM)
}

fn reserve(ledger: &Ledger, delivery: &str) -> Reservation {
    ledger.reserve(&claim_key("github", delivery), id(), now()).unwrap()
}

#[tokio::test]
async fn a_claim_is_reserved_kept_or_released() {
    let fixture = Fixture::new();
    let ledger = fixture.start().await;
    let (key, first) = (claim_key("github", "d1"), id());
    assert_eq!(ledger.reserve(&key, first, now()).unwrap(), Reservation::New);
    assert_eq!(ledger.reserve(&key, id(), now()).unwrap(), Reservation::InFlight);
    ledger.release(&key, first);
    assert_eq!(ledger.reserve(&key, first, now()).unwrap(), Reservation::New);
    ledger.keep(&key, first, now());
    assert_eq!(ledger.reserve(&key, id(), now()).unwrap(), Reservation::Duplicate(first));
    ledger.release(&key, first);
    assert_eq!(
        ledger.reserve(&key, id(), now()).unwrap(),
        Reservation::Duplicate(first),
        "a kept claim stays"
    );
    assert_eq!(ledger.reserve("linear:d1", id(), now()).unwrap(), Reservation::New, "another source");
}

#[tokio::test]
async fn no_claim_before_the_log_was_read() {
    let fixture = Fixture::new();
    fixture.store(&event("d1", "push", 1)).await;
    let ledger = Ledger::open(fixture.path(), options()).unwrap();
    let error = ledger.reserve("github:d1", id(), now()).unwrap_err();
    assert!(error.to_string().contains("caught up"), "{error}");
}

#[tokio::test]
async fn a_crash_between_the_append_and_the_keep_forgets_nothing() {
    let fixture = Fixture::new();
    let stored = event("d1", "push", 1);
    {
        let ledger = fixture.start().await;
        assert_eq!(reserve(&ledger, "d1"), Reservation::New);
        fixture.store(&stored).await;
    }
    assert_eq!(reserve(&fixture.start().await, "d1"), Reservation::Duplicate(stored.id));
}

#[tokio::test]
async fn a_crash_before_the_append_forgets_the_reservation() {
    let fixture = Fixture::new();
    assert_eq!(reserve(&fixture.start().await, "d1"), Reservation::New);
    assert_eq!(reserve(&fixture.start().await, "d1"), Reservation::New);
}

#[tokio::test]
async fn duplicates_are_known_after_the_file_was_deleted() {
    let fixture = Fixture::new();
    let stored = event("d1", "push", 1);
    fixture.store(&stored).await;
    drop(fixture.start().await);
    std::fs::remove_file(fixture.path()).unwrap();
    assert_eq!(reserve(&fixture.start().await, "d1"), Reservation::Duplicate(stored.id));
}

#[tokio::test]
async fn the_first_of_two_stored_twins_is_the_one_named() {
    let fixture = Fixture::new();
    let (first, second) = (event("d1", "push", 2), event("d1", "push", 1));
    fixture.store(&first).await;
    fixture.store(&second).await;
    assert_eq!(reserve(&fixture.start().await, "d1"), Reservation::Duplicate(first.id));
}

#[tokio::test]
async fn an_expired_claim_is_free_again() {
    let ttl = i64::try_from(TTL.as_secs()).unwrap();
    for (age, expected_new) in [(ttl - 1, false), (ttl, true), (ttl + 1, true)] {
        let fixture = Fixture::new();
        let stored = event("d1", "push", age);
        // Indexed while it was young.
        let long = Options { dedup_ttl: TTL * 2, ..options() };
        let ledger = Ledger::open(fixture.path(), long).unwrap();
        fixture.store(&stored).await;
        ledger.catch_up(&fixture.log, |_| {}).await.unwrap();
        drop(ledger);
        let ledger = fixture.start().await;
        let reserved = ledger.reserve("github:d1", stored.id, now()).unwrap();
        assert_eq!(reserved == Reservation::New, expected_new, "{age} s old");
        ledger.release("github:d1", stored.id);
        ledger.prune(&[]).await.unwrap();
        assert_eq!(ledger.totals().unwrap().claims, u64::from(!expected_new), "{age} s old");
    }
}

#[tokio::test]
async fn a_kept_claim_moves_from_memory_into_the_file() {
    let fixture = Fixture::new();
    let ledger = Arc::new(fixture.start().await);
    let stored = event("d1", "push", 1);
    assert_eq!(ledger.reserve("github:d1", stored.id, now()).unwrap(), Reservation::New);
    fixture.store(&stored).await;
    ledger.keep("github:d1", stored.id, stored.received_at);
    follow_until(&ledger, &fixture.shared_log(), async |ledger: &Ledger| {
        assert_eq!(reserve(ledger, "d1"), Reservation::Duplicate(stored.id), "at every moment");
        ledger.totals().unwrap().claims == 1
    })
    .await;
    assert_eq!(reserve(&ledger, "d1"), Reservation::Duplicate(stored.id));
}
