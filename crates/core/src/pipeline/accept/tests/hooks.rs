//! Hooks on the way in: their order, their reach, and what they cannot do.

use hook_sdk::{Context, Hook, HookError, OnFailure, Point, Verdict};

use super::*;

type Body = fn(&mut Event) -> Result<(), HookError>;

/// A hook that changes the event, or fails.
struct Change(OnFailure, Body);

#[async_trait]
impl Hook for Change {
    fn name(&self) -> &str {
        "change"
    }
    fn points(&self) -> &[Point] {
        &[Point::Accept]
    }
    fn on_failure(&self) -> OnFailure {
        self.0
    }
    async fn call(&self, event: &Event, _context: &Context) -> Result<Verdict, HookError> {
        let mut event = event.clone();
        (self.1)(&mut event)?;
        Ok(Verdict::Modify(Box::new(event)))
    }
}

/// A hook that never answers.
struct Silent;

#[async_trait]
impl Hook for Silent {
    fn name(&self) -> &str {
        "silent"
    }
    fn points(&self) -> &[Point] {
        &[Point::Accept]
    }
    async fn call(&self, _event: &Event, _context: &Context) -> Result<Verdict, HookError> {
        std::future::pending().await
    }
}

fn change(body: Body) -> Arc<dyn Hook> {
    Arc::new(Change(OnFailure::Closed, body))
}

fn hooked(hooks: Vec<Arc<dyn Hook>>) -> World {
    World::with(|plan| plan.ingress = vec![ingress("http", hooks), ingress("plain", Vec::new())])
}

#[tokio::test]
async fn they_run_in_order_and_decide_the_route() {
    let world = hooked(vec![
        change(|event| {
            event.event_type.push_str(".one");
            Ok(())
        }),
        change(|event| {
            event.event_type = format!("pull_request.{}", event.event_type);
            Ok(())
        }),
    ]);
    accepted(world.send(push("d1")).await);
    assert_eq!(world.stored("webhooks.reviews")[0].event_type, "pull_request.push.one");
    accepted(world.send(RawEvent { adapter: "plain".into(), ..push("d2") }).await);
    assert_eq!(
        world.stored("webhooks.github")[0].event_type,
        "push",
        "another adapter's hooks are not asked"
    );
}

#[tokio::test]
async fn a_failure_means_what_the_hook_says() {
    let fail: Body = |_| Err(HookError("no answer".into()));
    let panic: Body = |_| panic!("a bug in a hook");
    for (on_failure, body, passes) in [
        (OnFailure::Closed, fail, false),
        (OnFailure::Open, fail, true),
        (OnFailure::Closed, panic, false),
        (OnFailure::Open, panic, true),
    ] {
        let world = hooked(vec![Arc::new(Change(on_failure, body))]);
        let answer = world.send(push("d1")).await;
        assert_eq!(answer.is_ok(), passes, "{on_failure:?}: {answer:?}");
        assert!(passes || matches!(answer, Err(Refusal::Denied { hook, .. }) if hook == "change"));
        assert_eq!(world.reserved(), 0);
    }
}

#[tokio::test]
async fn an_event_keeps_its_identity() {
    let world = hooked(vec![change(|event| {
        event.id = EventId::from_bytes([9; 16]);
        event.source = "linear".into();
        event.received_at = Timestamp::UNIX_EPOCH;
        event.meta = hook_event::Meta { ordering_key: Some("own".into()), ..Default::default() };
        event.payload = Bytes::from_static(b"{\"cleaned\":true}");
        Ok(())
    })]);
    let id = accepted(world.send(push("d1")).await);
    let event = world.stored("webhooks.github").remove(0);
    assert_eq!((event.id, event.source.as_str(), event.received_at), (id, "github", now()));
    assert_eq!(event.meta.delivery_id.as_deref(), Some("d1"));
    assert!(event.meta.verified_by.is_some() && event.meta.trace_id.is_some());
    assert_eq!(event.meta.ordering_key.as_deref(), Some("own"), "what it may change it did");
    assert_eq!(event.payload, &b"{\"cleaned\":true}"[..]);
    assert_eq!(world.send(push("d1")).await, duplicate(id));
}

#[tokio::test]
async fn a_payload_that_is_no_json_any_more_is_refused() {
    let world = hooked(vec![change(|event| {
        event.payload = Bytes::from_static(b"{\"cut\":");
        Ok(())
    })]);
    let answer = world.send(push("d1")).await;
    assert!(matches!(answer, Err(Refusal::Denied { .. })), "{answer:?}");
}

#[tokio::test]
async fn a_sender_that_hangs_up_before_the_append_spends_nothing() {
    let world = hooked(vec![Arc::new(Silent)]);
    let task = world.start(push("d1")).await;
    assert_eq!(world.reserved(), 1);
    task.abort();
    settle().await;
    assert_eq!(world.reserved(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_never_answers_is_a_refusal() {
    let answer = hooked(vec![Arc::new(Silent)]).send(push("d1")).await;
    assert!(matches!(answer, Err(Refusal::Denied { ref hook, .. }) if hook == "silent"), "{answer:?}");
}
