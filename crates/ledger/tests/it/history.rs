//! What is told about events, attempts and dead letters is what the log holds.

use std::sync::Arc;

use hook_core::{glob::Glob, journal::Outcome};
use hook_event::EventId;
use hook_ledger::{DeadLetterQuery, EventQuery, Ledger, Mark, Progress, Reader};
use hook_log::{Lane, TopicInfo};

use crate::fixture::{Fixture, Seen, ago, event, follow_until, now, options, topic};

fn ids(ledger: &Ledger, query: EventQuery) -> Vec<EventId> {
    ledger.events(&query).unwrap().into_iter().map(|row| row.id).collect()
}

#[tokio::test]
async fn an_event_is_found_where_it_lies() {
    let fixture = Fixture::new();
    let (first, second) = (event("d1", "push", 20), event("d2", "pull_request.opened", 10));
    fixture.store(&first).await;
    let position = fixture.store(&second).await;
    fixture.attempt(&second, "reviewer", 1, Outcome::Failed).await;
    fixture.attempt(&second, "audit", 1, Outcome::Delivered).await;
    fixture.attempt(&second, "reviewer", 2, Outcome::Delivered).await;
    let ledger = fixture.start().await;

    let row = ledger.event(second.id).unwrap().unwrap();
    assert_eq!((row.position, row.received_at), (position, second.received_at));
    assert_eq!((row.source.as_str(), row.event_type.as_str()), ("github", "pull_request.opened"));
    assert_eq!(row.delivery_id.as_deref(), Some("d2"));
    assert_eq!(row.subject.as_deref(), Some("acme/api#1"));
    assert_eq!(row.ingress_adapter.as_deref(), Some("http"));
    let fates: Vec<_> = row.fates.iter().map(|f| (f.adapter.as_str(), f.outcome, f.attempts)).collect();
    assert_eq!(fates, [("audit", Outcome::Delivered, 1), ("reviewer", Outcome::Delivered, 2)]);
    let outcomes: Vec<_> = ledger.attempts(second.id).unwrap().iter().map(|a| a.outcome).collect();
    assert_eq!(outcomes, [Outcome::Failed, Outcome::Delivered, Outcome::Delivered]);
    assert_eq!(ledger.event(event("x", "x", 0).id).unwrap(), None);
}

#[tokio::test]
async fn events_are_listed_newest_first_by_what_was_asked() {
    let fixture = Fixture::new();
    let events: Vec<_> =
        [("push", 40), ("pull_request.opened", 30), ("pull_request.closed", 20), ("push", 10)]
            .into_iter()
            .map(|(event_type, age)| event(&format!("d{age}"), event_type, age))
            .collect();
    for event in &events {
        fixture.store(event).await;
    }
    fixture.attempt(&events[1], "reviewer", 1, Outcome::Failed).await;
    fixture.attempt(&events[2], "reviewer", 1, Outcome::Failed).await;
    fixture.attempt(&events[2], "reviewer", 2, Outcome::Delivered).await;
    fixture.attempt(&events[3], "audit", 1, Outcome::Failed).await;
    let ledger = fixture.start().await;

    let check = |query: EventQuery, expected: &[usize]| {
        let expected: Vec<_> = expected.iter().map(|&index| events[index].id).collect();
        assert_eq!(ids(&ledger, query.clone()), expected, "{query:?}");
    };
    let all = EventQuery::default;
    check(all(), &[3, 2, 1, 0]);
    check(EventQuery { limit: Some(2), ..all() }, &[3, 2]);
    check(EventQuery { before: Some(events[2].id), ..all() }, &[1, 0]);
    check(EventQuery { since: Some(ago(30)), ..all() }, &[3, 2, 1]);
    check(EventQuery { since: Some(ago(30)), until: Some(ago(10)), ..all() }, &[2, 1]);
    check(EventQuery { source: Some(Glob::new("linear")), ..all() }, &[]);
    check(EventQuery { event_type: Some(Glob::new("pull_request.*")), ..all() }, &[2, 1]);
    check(EventQuery { event_type: Some(Glob::new("push")), limit: Some(1), ..all() }, &[3]);
    check(EventQuery { adapter: Some("reviewer".into()), ..all() }, &[2, 1]);
    check(EventQuery { outcome: Some(Outcome::Failed), ..all() }, &[3, 1]);
    let failed_here = EventQuery { adapter: Some("audit".into()), outcome: Some(Outcome::Failed), ..all() };
    check(failed_here, &[3]);
}

#[tokio::test]
async fn a_dead_letter_tells_whether_it_was_replayed_or_purged() {
    let fixture = Fixture::new();
    let events: Vec<_> = (1..=3).map(|n| event(&format!("d{n}"), "push", 100)).collect();
    for event in &events {
        fixture.store(event).await;
    }
    fixture.dead_letter(&events[0], "reviewer").await;
    fixture.dead_letter(&events[1], "reviewer").await;
    fixture.dead_letter(&events[1], "audit").await;
    let purged = fixture.dead_letter(&events[2], "audit").await;
    fixture.append("webhooks.dlq", "{\"failed_at\":\"2026-03-04T05:06:07Z\",\"error\":\"x\"}".into()).await;
    fixture.redeliver(&events[1], "reviewer").await;
    Mark { purged: vec![purged], at: now() }.append(&fixture.log).await.unwrap();
    let ledger = fixture.start().await;

    let check = |query: DeadLetterQuery, expected: &[u64]| {
        let mut offsets: Vec<_> =
            ledger.dead_letters(&query).unwrap().into_iter().map(|row| row.offset).collect();
        offsets.sort_unstable();
        assert_eq!(offsets, expected, "{query:?}");
    };
    let all = DeadLetterQuery::default;
    check(all(), &[0, 1, 2, 4]);
    check(DeadLetterQuery { purged: true, ..all() }, &[0, 1, 2, 3, 4]);
    check(DeadLetterQuery { adapter: Some("reviewer".into()), ..all() }, &[0, 1]);
    check(DeadLetterQuery { replayed: Some(true), ..all() }, &[1]);
    check(DeadLetterQuery { replayed: Some(false), ..all() }, &[0, 2, 4]);
    check(DeadLetterQuery { event: Some(events[1].id), ..all() }, &[1, 2]);
    check(DeadLetterQuery { reason: Some("refused".into()), limit: Some(2), ..all() }, &[1, 2]);
    check(DeadLetterQuery { since: Some(ago(61)), until: Some(ago(60)), ..all() }, &[]);
    let row = &ledger.dead_letters(&DeadLetterQuery { event: Some(events[0].id), ..all() }).unwrap()[0];
    assert_eq!((row.source.as_deref(), row.event_type.as_deref()), (Some("github"), Some("push")));
    assert_eq!((row.status, row.attempts, row.failed_at), (Some(400), 1, ago(60)));
    assert_eq!(ledger.totals().unwrap().dead_letters, 3);
}

#[tokio::test]
async fn the_follower_keeps_up_and_repeats_nothing() {
    let fixture = Fixture::new();
    fixture.store(&event("d0", "push", 1)).await;
    let ledger = Arc::new(fixture.start().await);
    let log = fixture.shared_log();
    let later = event("later", "push", 1);
    for n in 1..700 {
        fixture.store(&event(&format!("d{n}"), "push", 1)).await;
    }
    follow_until(&ledger, &log, async |ledger: &Ledger| ledger.totals().unwrap().events == 700).await;
    fixture.attempt(&later, "reviewer", 1, Outcome::Delivered).await;
    fixture.store(&later).await;
    follow_until(&ledger, &log, async |ledger: &Ledger| ledger.totals().unwrap().events == 701).await;
    let totals = ledger.totals().unwrap();
    assert_eq!((totals.claims, totals.attempts), (701, 1));
    // A later start is not woken for what was indexed.
    follow_until(&ledger, &log, async |_: &Ledger| {
        let committed = log.committed("hook.ledger").await.unwrap();
        committed.iter().any(|position| position.topic == topic("webhooks.core") && position.offset == 700)
    })
    .await;
}

#[tokio::test]
async fn catching_up_reads_only_what_is_new_and_says_how_far_it_is() {
    let fixture = Fixture::new();
    for n in 0..300 {
        fixture.store(&event(&format!("d{n}"), "push", 1)).await;
    }
    drop(fixture.start().await);
    fixture.store(&event("new", "push", 1)).await;
    fixture.append("hook.other", "not indexed".into()).await;
    let ledger = Ledger::open(fixture.path(), options()).unwrap();
    let seen = Seen::default();
    ledger.catch_up(&fixture.log, |progress| seen.lock().unwrap().push(progress)).await.unwrap();
    assert_eq!(*seen.lock().unwrap(), [Progress { done: 1, total: 1 }]);
    assert_eq!(ledger.totals().unwrap().events, 301);
}

#[tokio::test]
async fn what_is_no_event_makes_no_row_and_stops_nothing() {
    let fixture = Fixture::new();
    for (topic, value) in [
        ("webhooks.core", "not an envelope"),
        ("webhooks.dlq", "[]"),
        ("hook.deliveries", "{}"),
        ("hook.redeliver.reviewer", ""),
        ("hook.ledger", "{\"purged\":5}"),
    ] {
        fixture.append(topic, value.into()).await;
    }
    fixture.store(&event("d1", "push", 1)).await;
    let totals = fixture.start().await.totals().unwrap();
    assert_eq!((totals.events, totals.attempts, totals.dead_letters), (1, 0, 0));
}

#[tokio::test]
async fn another_process_reads_while_this_one_writes() {
    let fixture = Fixture::new();
    let stored = event("d1", "push", 1);
    fixture.store(&stored).await;
    let ledger = fixture.start().await;
    let reader = Reader::open(&fixture.path()).unwrap();
    assert_eq!(reader.event(stored.id).unwrap(), ledger.event(stored.id).unwrap());
    drop(ledger);
    assert_eq!(reader.events(&EventQuery::default()).unwrap().len(), 1);
    let alone = Reader::open(&fixture.path()).unwrap();
    assert_eq!(alone.totals().unwrap().events, 1);
    assert!(Reader::open(&fixture.path().with_extension("none")).is_err());
}

#[tokio::test]
async fn rows_go_when_retention_took_their_records() {
    let fixture = Fixture::new();
    let events: Vec<_> = (0..2000).map(|n| event(&format!("d{n}"), "push", 1)).collect();
    for event in &events {
        fixture.store(event).await;
        fixture.attempt(event, "reviewer", 1, Outcome::Delivered).await;
        fixture.dead_letter(event, "audit").await;
    }
    fixture.append("webhooks.other", event("other", "push", 1).encode()).await;
    let ledger = fixture.start().await;
    let kept_from = |name: &str, first| {
        let lane = Lane { lane: 0, first, next: 2000, bytes: 0 };
        TopicInfo { topic: topic(name), lanes: vec![lane] }
    };
    let topics = [
        kept_from("webhooks.core", 1500),
        kept_from("hook.deliveries", 1200),
        kept_from("webhooks.dlq", 700),
        kept_from("webhooks.other", 0),
    ];
    assert_eq!(ledger.prune(&topics).await.unwrap(), 1500 + 1200 + 700);
    assert_eq!(ledger.prune(&topics).await.unwrap(), 0);
    let totals = ledger.totals().unwrap();
    assert_eq!((totals.events, totals.attempts, totals.dead_letters), (501, 800, 1300));
    assert_eq!(totals.claims, 2001, "a delivery id is remembered longer than its event");
    assert!(ledger.event(events[1499].id).unwrap().is_none());
    assert!(ledger.event(events[1500].id).unwrap().is_some());
    assert_eq!(ledger.attempts(events[1199].id).unwrap().len(), 0);
    assert_eq!(ledger.attempts(events[1200].id).unwrap().len(), 1);
}
