//! Each way a request can end, as a table; and what a refusal leaves behind: nothing.

use super::*;

#[tokio::test]
async fn what_is_refused_and_why() {
    let form = "application/xml";
    for (name, raw, expected) in [
        ("unknown source", post("jira", PUSH), "no source is called `jira`"),
        ("bad signature", forged(push("d1")), "signature"),
        ("no signature", without(push("d1"), "X-Hub-Signature-256"), "signature"),
        ("bad signature of something else", forged(github("d1", "push", "not json")), "signature"),
        ("not JSON", github("d1", "push", "not json"), "JSON"),
        ("no event type", without(push("d1"), "X-GitHub-Event"), "type is missing"),
        ("media type", with(push("d1"), "content-type", form), "media type `application/xml`"),
        ("method", RawEvent { method: Method::PUT, ..push("d1") }, "the method `PUT`"),
        ("unroutable", github("d1", "ping", "{}"), "no route takes event type `ping` from source `github`"),
        ("unknown adapter", RawEvent { adapter: "other".into(), ..push("d1") }, "no ingress adapter `other`"),
    ] {
        let world = World::with(|plan| plan.serve_routes = vec![route("r", "*", "pu*", "webhooks.core")]);
        let refusal = world.send(raw).await.expect_err(name).to_string();
        assert!(refusal.contains(expected), "{name}: {refusal}");
        assert_eq!(world.log.appends.lock().unwrap().len(), 0, "{name}: something was stored");
        assert_eq!(world.reserved(), 0, "{name}: a delivery id was spent");
        accepted(world.send(push("d1")).await);
    }
}

fn without(mut raw: RawEvent, header: &str) -> RawEvent {
    raw.headers.remove(header);
    raw
}

#[tokio::test]
async fn what_the_log_says_no_to_is_not_accepted_and_may_come_again() {
    let unavailable = |after| AppendError::Unavailable { reason: "no broker".into(), after };
    let refused = |reason: &str, seconds| super::unavailable(reason, Duration::from_secs(seconds));
    for (error, refusal, ready) in [
        (AppendError::Full("no space on /data".into()), refused("the log is full", 30), false),
        (AppendError::Poisoned("fsync".into()), refused("the log stopped and must be restarted", 30), false),
        (unavailable(None), refused("the log cannot be reached", 5), false),
        (unavailable(Some(Duration::from_secs(7))), refused("the log cannot be reached", 7), false),
        (AppendError::Closed, refused("the log is closed", 5), false),
        (AppendError::TooLarge { size: 9, limit: 8 }, Refusal::TooLarge { size: 9, limit: 8 }, true),
    ] {
        let world = World::new();
        world.log.inner.fail_appends(error.clone());
        assert_eq!(world.send(push("d1")).await, Err(refusal), "{error}");
        assert_eq!(world.acceptor.readiness().ready, ready, "{error}");
        assert_eq!(world.reserved(), 0, "{error}: the delivery id was burnt");
        world.log.inner.heal();
        let id = accepted(world.send(push("d1")).await);
        assert_eq!(world.stored("webhooks.github")[0].id, id, "{error}");
        assert!(world.acceptor.readiness().ready, "{error}");
    }
}

#[tokio::test]
async fn an_accepted_event_is_stored_as_it_was_sent() {
    let world = World::new();
    let raw = github(
        "d1",
        "pull_request",
        r#"{"action":"opened", "pull_request":{"number":42},"repository":{"full_name":"acme/api"}}"#,
    );
    let body = raw.body.clone();
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let raw = with(raw, "traceparent", &format!("00-{trace}-00f067aa0ba902b7-01"));
    let id = accepted(world.send(raw).await);

    let topic = Topic::new("webhooks.reviews").unwrap();
    assert_eq!(world.log.inner.entries(&topic)[0].key, "github:acme/api#42");
    let event = world.stored("webhooks.reviews").remove(0);
    assert_eq!((event.id, event.source.as_str(), event.received_at), (id, "github", now()));
    assert_eq!(event.event_type, "pull_request.opened");
    assert_eq!(event.payload, body);
    assert_eq!(event.meta.trace_id.as_deref(), Some(trace));
    assert_eq!(event.meta.ingress_adapter.as_deref(), Some("http"));
    assert_eq!(event.meta.route_key.as_deref(), Some("reviews"));
    assert_eq!(event.meta.delivery_id.as_deref(), Some("d1"));
    assert_eq!(event.meta.subject.as_deref(), Some("acme/api#42"));
    assert!(event.meta.verified_by.is_some_and(|by| by.contains("SECRET") && !by.contains("s3cret")));
}

#[tokio::test]
async fn a_repetition_is_answered_with_the_first_id() {
    let world = World::new();
    let first = accepted(world.send(push("d1")).await);
    assert_eq!(world.send(push("d1")).await, duplicate(first));
    assert_eq!(
        world.send(github("d1", "push", "{}")).await,
        duplicate(first),
        "the id decides, not the body"
    );
    accepted(world.send(push("d2")).await);
    assert_eq!(world.stored("webhooks.github").len(), 2);
}

#[tokio::test]
async fn an_event_without_a_delivery_id_is_never_a_repetition() {
    let world = World::new();
    for _ in 0..2 {
        accepted(world.send(bulk(r#"{"type":"a"}"#)).await);
    }
    assert_eq!(world.stored("webhooks.bulk").len(), 2);
}

#[tokio::test]
async fn the_signature_comes_before_the_delivery_id() {
    let world = World::new();
    accepted(world.send(push("d1")).await);
    for delivery in ["d1", "d2"] {
        assert!(matches!(world.send(forged(push(delivery))).await, Err(Refusal::Unverified(_))));
    }
    accepted(world.send(push("d2")).await);
}

#[tokio::test]
async fn a_handshake_is_answered_and_stored_nowhere() {
    let world = World::new();
    let body = r#"{"type":"url_verification","challenge":"3eZbrw1a"}"#;
    let environment = Environment::new([("SECRET".to_owned(), "s3cret".to_owned())]);
    let slack = Source::build("slack", &source_plan("slack", SOURCES[2].1), &environment).unwrap();
    let mut raw = post("slack", body);
    raw.headers.extend(slack.sign(body.as_bytes(), now(), Entropy::SYSTEM, None));
    let Ok(Answer::Handshake(Reply { status: 200, body, .. })) = world.send(raw.clone()).await else {
        panic!("no handshake");
    };
    assert!(String::from_utf8_lossy(&body).contains("3eZbrw1a"));
    assert_eq!(world.log.appends.lock().unwrap().len(), 0);
    let forged = with(raw, "X-Slack-Signature", &format!("v0={}", "0".repeat(64)));
    assert!(matches!(world.send(forged).await, Err(Refusal::Unverified(_))));
}

#[tokio::test]
async fn every_answer_is_counted_and_an_unknown_source_is_no_label() {
    let world = World::new();
    for raw in [push("d1"), push("d1"), forged(push("d2")), post("made-up-by-a-stranger", "{}")] {
        let _ = world.send(raw).await;
    }
    let metrics = world.metrics.render();
    for (source, answer) in [
        ("github", "accepted"),
        ("github", "duplicate"),
        ("github", "unverified"),
        ("unknown", "unknown_source"),
    ] {
        let found = metrics.lines().any(|line| {
            line.contains(&format!("source=\"{source}\""))
                && line.contains(&format!("\"{answer}\""))
                && line.ends_with(" 1")
        });
        assert!(found, "{source} {answer} in {metrics}");
    }
    assert!(!metrics.contains("made-up-by-a-stranger"));
    assert!(world.counted("serve_publish_success_total{topic=\"webhooks.github\"} 1"), "{metrics}");
}

#[test]
fn readiness_names_the_profile_and_the_mode() {
    let readiness = World::new().acceptor.readiness();
    assert_eq!((readiness.profile.as_str(), readiness.validation_mode.as_str()), ("reviews", "debug"));
    assert!(readiness.ready && readiness.reason.is_none());
}

#[test]
fn a_plan_that_cannot_be_run_is_refused() {
    let check = |change: fn(&mut Plan), because: &str| {
        let mut plan = plan();
        change(&mut plan);
        let log = Arc::new(Door::open(MemoryLog::new()));
        let built = acceptor(&plan, log, Arc::default(), Arc::new(Metrics::new()));
        assert_eq!(built.err().map(|error| error.to_string().contains(because)), Some(true), "{because}");
    };
    check(|plan| plan.accept.peer_rate_per_minute = Some(0), "rate of 0");
    check(|plan| plan.serve_routes = vec![route("r", "*", "*", "not a topic")], "cannot be routed");
    let log: Arc<dyn Log> = Arc::new(MemoryLog::new());
    let (claims, metrics) = (Arc::<MemoryClaims>::default(), Arc::new(Metrics::new()));
    let built =
        Acceptor::new(&plan(), BTreeMap::new(), log, claims, metrics, Clock::of(now), Entropy::SYSTEM);
    assert!(built.err().is_some_and(|error| error.to_string().contains("`bulk` was not built")));
}
