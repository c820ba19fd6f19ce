//! One situation each, as an operator would tell it.

use std::{collections::HashSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use hook_event::{Clock, Event};
use hook_log::{AppendError, Log, MemoryLog, ReadError};
use hook_sdk::{Context, Hook, HookError, Point, Verdict};
use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    super::{Snapshot, State, Unrouted, redeliver},
    world::{CORE, DEAD, LONG, World, junk, named, plan, stopped_after, topic},
};
use crate::{
    expr::Condition,
    glob::Glob,
    plan::{self, DeliveryPolicy, Ordering, StartFrom},
    ports::DeliverError,
    testing::{ScriptedEgress, Step, event, failure, keyed_event, number},
};

const S: fn(u64) -> Duration = Duration::from_secs;
const HOUR: Duration = Duration::from_secs(3600);

fn pushes(range: std::ops::Range<u64>) -> impl Iterator<Item = Event> {
    range.map(|n| event(n, "push", b"{}"))
}

fn policy() -> DeliveryPolicy {
    DeliveryPolicy::default()
}

fn failed(after: Option<Duration>) -> Step {
    Step::Fail(DeliverError::Failed(failure(after)))
}

fn unavailable() -> Step {
    Step::Fail(DeliverError::Unavailable(failure(None)))
}

fn script(step: impl Fn(u64, u32) -> Step + Send + Sync + 'static) -> Arc<ScriptedEgress> {
    Arc::new(ScriptedEgress::new(move |event, attempt| (Duration::ZERO, step(number(event.id), attempt))))
}

fn numbers(egress: &ScriptedEgress) -> Vec<u64> {
    egress.delivered().iter().map(|event| number(event.id)).collect()
}

/// A destination that is away until this much time has passed.
fn away_for(time: Duration) -> Arc<ScriptedEgress> {
    let back = Instant::now() + time;
    script(move |_, _| if Instant::now() < back { unavailable() } else { Step::Deliver })
}

async fn told(step: Step, policy: DeliveryPolicy) -> (World, Snapshot) {
    let world = World::with(pushes(0..1)).await;
    let egress = script(move |_, _| step.clone());
    let status = world.run(plan(policy), &egress, LONG).await;
    (world, status.snapshot())
}

#[tokio::test(start_paused = true)]
async fn an_event_is_given_up_for_the_right_reason() {
    let twice = || DeliveryPolicy { max_retries: 2, ..policy() };
    let soon = || DeliveryPolicy { deadline: Some(S(60)), ..policy() };
    let refused = Step::Fail(DeliverError::Refused(failure(None)));
    for (step, policy, reason, attempts) in [
        (failed(None), twice(), "exhausted", 3),
        (Step::Panic, twice(), "exhausted", 3),
        (refused, twice(), "refused", 1),
        (failed(Some(HOUR)), soon(), "expired", 1),
        (failed(Some(Duration::MAX)), soon(), "expired", 1),
    ] {
        let (world, _) = told(step, policy).await;
        assert_eq!(world.reasons(), [(reason.to_owned(), attempts)]);
        assert_eq!(world.settled().await, 1);
        let letter = &world.letters()[0];
        assert_eq!(letter.adapter.as_deref(), Some("out"));
        assert_eq!(letter.position, "webhooks.core/0/0");
        assert_eq!(letter.envelope, event(0, "push", b"{}").encode());
    }
}

#[tokio::test(start_paused = true)]
async fn an_optional_event_is_dropped_and_counted() {
    let world = World::with(pushes(0..1)).await;
    let mut plan = plan(DeliveryPolicy { max_retries: 1, ..policy() });
    plan.routes[0].required = false;
    let status = world.run(plan, &script(|_, _| failed(None)), LONG).await.snapshot();
    assert_eq!((status.dropped, status.dead_lettered, world.settled().await), (1, 0, 1));
    assert!(world.metrics.render().contains(r#"hook_dropped_total{adapter="out",reason="exhausted"} 1"#));
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_honoured() {
    let world = World::with(pushes(0..1)).await;
    let began = Instant::now();
    let egress = script(move |_, attempt| match attempt {
        1 => failed(Some(S(90))),
        _ if began.elapsed() < S(90) => Step::Fail(DeliverError::Refused(failure(None))),
        _ => Step::Deliver,
    });
    world.run(plan(policy()), &egress, S(92)).await;
    assert_eq!((numbers(&egress), world.reasons()), (vec![0], vec![]));
}

#[tokio::test(start_paused = true)]
async fn an_absent_destination_spends_no_attempts() {
    let world = World::with(pushes(0..200)).await;
    let egress = away_for(S(3600));
    let status =
        world.run(plan(DeliveryPolicy { max_retries: 0, ..policy() }), &egress, 2 * HOUR).await.snapshot();
    assert_eq!(numbers(&egress).len(), 200);
    assert_eq!((world.reasons(), status.state), (vec![], State::Running));
    let in_vain = egress.began().len() - 200;
    assert!((32 + 60..32 + 300).contains(&in_vain), "one at a time, at most half a minute apart: {in_vain}");
}

#[tokio::test(start_paused = true)]
async fn a_deadline_also_ends_the_wait_for_an_absent_destination() {
    let world = World::with(pushes(0..3)).await;
    let policy = DeliveryPolicy { deadline: Some(S(300)), ..policy() };
    let status = world.run(plan(policy), &away_for(LONG), S(400)).await.snapshot();
    assert_eq!(world.reasons(), vec![("expired".to_owned(), 0); 3]);
    assert!(matches!(status.state, State::Waiting { .. }));
}

#[tokio::test(start_paused = true)]
async fn an_event_that_alone_finds_nobody_does_not_stop_the_others_for_ever() {
    let world = World::with(pushes(0..400)).await;
    let slow = |event: &Event, _| match number(event.id) {
        3 => (Duration::ZERO, unavailable()),
        _ => (S(20), Step::Deliver),
    };
    let egress = Arc::new(ScriptedEgress::new(slow));
    let plan = plan(DeliveryPolicy { max_in_flight: 2, ..policy() });
    world.run(plan, &egress, 20 * HOUR).await;
    assert_eq!(world.reasons(), [("exhausted".to_owned(), 6)]);
    assert_eq!((numbers(&egress).len(), world.settled().await), (399, 400));
}

#[tokio::test(start_paused = true)]
async fn a_halted_destination_waits_for_a_person() {
    let world = World::with(pushes(0..5)).await;
    let began = Instant::now();
    let egress = script(move |_, _| match began.elapsed() < S(1000) {
        true => Step::Fail(DeliverError::Halted(failure(None))),
        false => Step::Deliver,
    });
    let plan = || plan(DeliveryPolicy { max_in_flight: 1, ..policy() });
    let status = world.run(plan(), &egress, S(900)).await.snapshot();
    assert!(matches!(status.state, State::Halted { .. }), "{status:?}");
    assert_eq!(egress.began().len(), 3, "once at first, then every five minutes");
    assert!(world.metrics.render().contains(r#"hook_breaker_state{adapter="out"} 2"#));
    world.run(plan(), &egress, HOUR).await;
    assert_eq!((numbers(&egress).len(), world.reasons()), (5, vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_poisonous_record_blocks_nobody() {
    let world = World::with(pushes(0..2)).await;
    world.append_raw(vec![junk(b"{\"not\":\"an envelope\"}"), junk(b"\xff\xfe")]).await;
    world.append(pushes(2..4)).await;
    let egress = Arc::new(ScriptedEgress::willing());
    world.run(plan(policy()), &egress, S(1)).await;
    assert_eq!((numbers(&egress), world.settled().await), (vec![0, 1, 2, 3], 6));
    let letters = world.letters();
    assert_eq!(
        letters.iter().map(|letter| letter.position.as_str()).collect::<Vec<_>>(),
        ["webhooks.core/0/2", "webhooks.core/0/3"]
    );
    assert_eq!((letters[0].reason.as_str(), &letters[1].envelope[..]), ("malformed", &b"\xff\xfe"[..]));
}

#[tokio::test(start_paused = true)]
async fn an_event_stays_unsettled_until_its_dead_letter_is_durable() {
    let world = World::with(pushes(0..2)).await;
    let egress = script(|n, _| match n {
        0 => Step::Fail(DeliverError::Refused(failure(None))),
        _ => Step::Deliver,
    });
    world.log.fail_appends(AppendError::Full("no space".into()));
    let delivery = world.delivery(plan(policy()), &egress);
    let status = delivery.status();
    let stop = CancellationToken::new();
    let running = tokio::spawn(delivery.run(stop.clone()));
    tokio::time::sleep_until(Instant::now() + HOUR).await;
    let full = status.snapshot();
    assert_eq!((full.dead_letters_waiting, full.delivered, world.settled().await), (1, 1, 0));
    assert!(full.dead_letter_error.unwrap().contains("no space"));
    world.log.heal();
    tokio::time::sleep_until(Instant::now() + S(20)).await;
    assert_eq!((world.reasons().len(), world.settled().await), (1, 2));
    assert_eq!(status.snapshot().dead_letter_error, None);
    stop.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_too_large_for_the_log_still_says_where_the_event_lies() {
    let encoded = event(0, "push", b"{}").encode().len();
    let mut world = World::new();
    world.log = MemoryLog::with_limit(Arc::new(|| 0), encoded + 300);
    let mut large = event(0, "push", b"{}");
    large.payload = format!("\"{}\"", "x".repeat(200)).into();
    world.append([large]).await;
    let egress = script(|_, _| Step::Fail(DeliverError::Refused(failure(None))));
    world.run(plan(policy()), &egress, S(10)).await;
    let letters = world.letters();
    assert_eq!((letters.len(), world.settled().await), (1, 1));
    assert!(letters[0].envelope.is_empty() && letters[0].error.contains("too large"));
    assert_eq!(letters[0].position, "webhooks.core/0/0");
}

#[tokio::test(start_paused = true)]
async fn a_failing_key_holds_back_its_own_events_only() {
    let keyed = |n: u64| keyed_event(n, if n.is_multiple_of(2) { "bad" } else { "good" });
    let world = World::with((0..200).map(keyed)).await;
    let healed = Instant::now() + S(600);
    let egress = script(move |n, _| match n {
        0 if Instant::now() < healed => failed(None),
        _ => Step::Deliver,
    });
    let plan = || plan(DeliveryPolicy { max_in_flight: 1, max_retries: 100, ..policy() });
    let status = world.run(plan(), &egress, S(30)).await.snapshot();
    assert_eq!(numbers(&egress), (0..100).map(|n| 2 * n + 1).collect::<Vec<_>>());
    assert_eq!((status.parked, status.in_flight, world.settled().await), (99, 0, 0));
    world.run(plan(), &egress, HOUR).await;
    let delivered = numbers(&egress);
    let bad: Vec<_> = delivered.into_iter().filter(|n| n.is_multiple_of(2)).collect();
    assert_eq!((bad, world.settled().await), ((0..100).map(|n| 2 * n).collect(), 200));
}

#[tokio::test(start_paused = true)]
async fn strict_order_waits_for_everything() {
    let world = World::with(pushes(0..20)).await;
    let egress = script(|n, attempt| if n == 5 && attempt < 4 { failed(None) } else { Step::Deliver });
    world.run(plan(DeliveryPolicy { ordering: Ordering::Strict, ..policy() }), &egress, HOUR).await;
    assert_eq!(numbers(&egress), (0..20).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn events_that_failed_together_are_not_tried_together_again() {
    let world = World::with(pushes(0..100)).await;
    let times = Arc::new(std::sync::Mutex::new(HashSet::new()));
    let seen = Arc::clone(&times);
    let began = Instant::now();
    let egress = script(move |_, attempt| {
        if attempt == 1 {
            return failed(None);
        }
        seen.lock().unwrap().insert(began.elapsed().as_millis() / 10);
        Step::Deliver
    });
    let plan = plan(DeliveryPolicy { max_in_flight: 100, backoff_base: S(10), ..policy() });
    world.run(plan, &egress, S(60)).await;
    assert!(times.lock().unwrap().len() > 80, "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn a_dead_destination_slows_no_other() {
    let world = World::with(pushes(0..1000)).await;
    let takes = |_: &Event, _| (Duration::from_millis(10), Step::Deliver);
    let (alive, dead) = (Arc::new(ScriptedEgress::new(takes)), away_for(LONG));
    let deliveries =
        [("alive", &alive), ("dead", &dead)].map(|(id, egress)| world.delivery(named(id, policy()), egress));
    let stop = CancellationToken::new();
    let began = Instant::now();
    for delivery in deliveries {
        tokio::spawn(delivery.run(stop.clone()));
    }
    while alive.delivered().len() < 1000 {
        tokio::time::sleep_until(Instant::now() + Duration::from_millis(1)).await;
    }
    assert!(began.elapsed() < Duration::from_millis(10 * (1000 / 32 + 3)), "{:?}", began.elapsed());
    assert!(dead.delivered().is_empty() && dead.began().len() < 40);
    stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn a_stop_finishes_what_is_under_way_and_begins_nothing() {
    let world = World::with(pushes(0..10)).await;
    let egress = Arc::new(ScriptedEgress::new(|_, _| (S(3), Step::Deliver)));
    let delivery = world.delivery(plan(DeliveryPolicy { max_in_flight: 4, ..policy() }), &egress);
    let status = delivery.status();
    stopped_after(delivery, S(1)).await.unwrap();
    assert_eq!((numbers(&egress), world.settled().await), (vec![0, 1, 2, 3], 4));
    assert_eq!(status.snapshot().state, State::Stopped);
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_ever() {
    let world = World::with(pushes(0..2)).await;
    let egress = script(|n, _| if n == 1 { Step::Hang } else { Step::Deliver });
    let began = Instant::now();
    stopped_after(world.delivery(plan(policy()), &egress), S(1)).await.unwrap();
    assert_eq!((began.elapsed(), world.settled().await), (S(11), 1));
}

#[tokio::test(start_paused = true)]
async fn only_what_a_route_wants_is_delivered() {
    let world = World::with([event(0, "push", b"{\"a\":1}"), event(1, "issues.opened", b"{}")]).await;
    world.append([event(2, "push", b"{\"a\":{\"b\":2}}")]).await;
    let mut plan = plan(policy());
    plan.routes[0].event_filters = vec![Glob::new("push")];
    plan.routes[0].when = Some(Condition::parse("payload.a.b.c is undefined or payload.a.b.c").unwrap());
    let egress = Arc::new(ScriptedEgress::willing());
    world.run(plan, &egress, S(1)).await;
    assert_eq!((numbers(&egress), world.settled().await), (vec![2], 3));
    assert_eq!(world.reasons(), [("when_failed".to_owned(), 0)]);
}

struct Plugin(fn(&Event) -> Verdict);

#[async_trait]
impl Hook for Plugin {
    fn name(&self) -> &str {
        "plugin"
    }
    fn points(&self) -> &[Point] {
        &[Point::Deliver]
    }
    async fn call(&self, event: &Event, _: &Context) -> Result<Verdict, HookError> {
        Ok((self.0)(event))
    }
}

#[tokio::test(start_paused = true)]
async fn dead_letters_can_be_routed_and_never_breed() {
    let world = World::with(pushes(0..2)).await;
    let refused = |_, _| Step::Fail(DeliverError::Refused(failure(None)));
    world.run(plan(policy()), &script(refused), S(1)).await;
    world.log.append(&topic(DEAD), vec![junk(b"no letter")]).await.unwrap();
    let mut alarm = named("alarm", policy());
    alarm.routes[0].topics = Glob::new(DEAD);
    let egress = script(move |n, attempt| if n == 0 { refused(n, attempt) } else { Step::Deliver });
    let status = world.run(alarm, &egress, HOUR).await.snapshot();
    assert_eq!((numbers(&egress), status.dropped, status.dead_lettered), (vec![1], 2, 0));
    assert_eq!(world.log.entries(&topic(DEAD)).len(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_adapter_that_never_answers_loses_its_slot_after_an_hour() {
    let world = World::with(pushes(0..2)).await;
    let egress = script(|n, attempt| if n == 0 && attempt == 1 { Step::Hang } else { Step::Deliver });
    let plan = plan(DeliveryPolicy { max_in_flight: 1, ..policy() });
    world.run(plan, &egress, 2 * HOUR).await;
    assert_eq!((numbers(&egress).len(), world.settled().await), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn hooks_change_an_event_once_and_stop_it_for_good() {
    let world = World::with(pushes(0..2)).await;
    let judge = |event: &Event| {
        if number(event.id) == 1 {
            return Verdict::Deny("not today".into());
        }
        let mut event = event.clone();
        event.event_type.push('!');
        Verdict::Modify(Box::new(event))
    };
    let mut plan = plan(policy());
    plan.plugins = vec![Arc::new(Plugin(judge))];
    let egress = script(|_, attempt| if attempt < 3 { failed(None) } else { Step::Deliver });
    world.run(plan, &egress, HOUR).await;
    assert_eq!(egress.delivered()[0].event_type, "push!");
    let letters = world.letters();
    assert_eq!((letters.len(), letters[0].reason.as_str()), (1, "hook_denied"));
    assert!(letters[0].error.contains("`plugin`") && letters[0].error.contains("not today"));
    assert_eq!(letters[0].envelope, event(1, "push", b"{}").encode(), "the letter keeps what was stored");
}

#[tokio::test(start_paused = true)]
async fn a_redelivery_reaches_one_destination_with_a_fresh_budget() {
    let world = World::new();
    let clock = Clock::of(|| Timestamp::UNIX_EPOCH);
    redeliver(&world.log, "out", pushes(0..300), "dead_letter", clock).await.unwrap();
    let (out, other) = (
        script(|_, attempt| if attempt < 3 { failed(None) } else { Step::Deliver }),
        Arc::new(ScriptedEgress::willing()),
    );
    let mut none = plan(DeliveryPolicy { max_retries: 2, ..policy() });
    none.routes[0].topics = Glob::new("nothing");
    world.run(none, &out, HOUR).await;
    world.run(named("other", policy()), &other, HOUR).await;
    assert_eq!((out.delivered().len(), other.delivered().len()), (300, 0));
    let mark = out.delivered()[0].meta.redelivery.clone().unwrap();
    assert_eq!((mark.adapter.as_str(), mark.reason.as_str()), ("out", "dead_letter"));
}

#[tokio::test(start_paused = true)]
async fn a_new_destination_begins_where_the_contract_says() {
    for (start_from, first) in [(StartFrom::Beginning, 0), (StartFrom::Now, 3)] {
        let world = World::with(pushes(0..3)).await;
        let egress = Arc::new(ScriptedEgress::willing());
        let delivery = world.delivery(plan(DeliveryPolicy { start_from, ..policy() }), &egress);
        let running = tokio::spawn(delivery.run(CancellationToken::new()));
        tokio::time::sleep_until(Instant::now() + S(1)).await;
        world.append(pushes(3..5)).await;
        tokio::time::sleep_until(Instant::now() + S(1)).await;
        assert_eq!(numbers(&egress), (first..5).collect::<Vec<_>>());
        running.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn a_log_that_cannot_be_read_for_a_while_needs_no_restart() {
    let world = World::with(pushes(0..3)).await;
    let damaged = ReadError::Corrupt { file: "segment".into(), byte: 9, reason: "checksum".into() };
    world
        .reads
        .lock()
        .unwrap()
        .extend([ReadError::Unavailable("broker".into()), damaged].map(|e| Some(Err(e))));
    let egress = Arc::new(ScriptedEgress::willing());
    let status = world.run(plan(policy()), &egress, S(5)).await.snapshot();
    assert!(status.log_error.unwrap().contains("hook log repair") && numbers(&egress).is_empty());
    world.run(plan(policy()), &egress, S(100)).await;
    assert_eq!(numbers(&egress), [0, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_was_closed_ends_the_delivery_with_an_error() {
    let world = World::new();
    world.reads.lock().unwrap().push_back(Some(Err(ReadError::Closed)));
    let delivery = world.delivery(plan(policy()), &Arc::new(ScriptedEgress::willing()));
    let error = delivery.run(CancellationToken::new()).await.unwrap_err();
    assert!(error.to_string().contains("`out`"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn what_nobody_wants_is_counted_or_kept_as_the_policy_says() {
    for (policy_name, letters) in [(plan::Unrouted::Discard, 0), (plan::Unrouted::DeadLetter, 2)] {
        let world = World::with([event(0, "push", b"{}"), event(1, "issues.opened", b"{}")]).await;
        world.append_raw(vec![junk(b"read by a destination")]).await;
        world.log.append(&topic("elsewhere"), vec![junk(b"read by nobody")]).await.unwrap();
        let mut destination = plan(policy());
        destination.routes[0].event_filters = vec![Glob::new("push")];
        let watch = Unrouted::new(&[destination], policy_name, world.context());
        let _ = tokio::time::timeout(S(5), watch.run(CancellationToken::new())).await;
        let reasons: Vec<_> = world.letters().into_iter().map(|letter| letter.reason).collect();
        let expected = ["unroutable", "malformed"];
        assert!(reasons.iter().all(|reason| expected.contains(&reason.as_str())), "{reasons:?}");
        assert_eq!(reasons.len(), letters.max(1), "{reasons:?}");
        let metrics = world.metrics.render();
        assert!(metrics.contains(&format!("hook_unrouted_total{{topic=\"{CORE}\"}} 1")), "{metrics}");
        let committed = world.log.committed("hook.app/unrouted").await.unwrap();
        assert_eq!(committed.iter().map(|position| position.offset).sum::<u64>(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn reading_stops_at_a_bound_and_says_so() {
    let world = World::with((0..6000).map(|n| keyed_event(n, "one"))).await;
    let egress = script(|_, _| Step::Hang);
    let status = world.run(plan(policy()), &egress, S(1)).await.snapshot();
    assert_eq!((status.waiting, status.parked, status.reading_paused), (4096, 4095, true));
}

#[tokio::test(start_paused = true)]
async fn a_hundred_thousand_events_need_no_more_room_than_a_few() {
    let world = World::new();
    for from in (0..100_000).step_by(10_000) {
        world.append(pushes(from..from + 10_000)).await;
    }
    let egress = Arc::new(ScriptedEgress::willing());
    let delivery = world.delivery(plan(policy()), &egress);
    let (status, stop) = (delivery.status(), CancellationToken::new());
    let running = tokio::spawn(delivery.run(stop.clone()));
    let mut most = 0;
    while world.settled().await < 100_000 {
        tokio::task::yield_now().await;
        most = most.max(status.snapshot().waiting);
    }
    stop.cancel();
    running.await.unwrap().unwrap();
    assert!(most <= 32 + 256, "{most} events in memory at once");
    assert!(world.log.entries(&topic(DEAD)).is_empty() && egress.delivered().len() == 100_000);
}
