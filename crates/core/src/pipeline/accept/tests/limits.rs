//! Rates and cooldown: what they stop, and what they must not.

use super::*;

#[test]
fn what_is_refused_before_a_body_is_read() {
    let world = World::with(|plan| plan.accept.peer_rate_per_minute = Some(2));
    let peer = |text: &str| Some(text.parse().unwrap());
    let admit = |source: &str, from| world.acceptor.admit(source, from);
    assert_eq!(admit("jira", peer("10.0.0.9")), Err(Refusal::UnknownSource("jira".into())));
    assert_eq!(admit("github", peer("10.0.0.1")), Ok(()));
    assert_eq!(admit("github", peer("10.0.0.1")), Ok(()));
    let Err(Refusal::RateLimited { scope: "peer", after }) = admit("github", peer("10.0.0.1")) else {
        panic!("the third of two was admitted");
    };
    assert!(after > Duration::ZERO && after <= Duration::from_secs(30), "{after:?}");
    assert_eq!(admit("github", peer("10.0.0.2")), Ok(()), "another peer");
    assert_eq!(admit("github", None), Ok(()), "no peer is known");
}

#[tokio::test]
async fn bad_signatures_do_not_use_up_the_quota_of_the_source() {
    let world = World::with(|plan| plan.sources.get_mut("github").unwrap().rate_per_minute = Some(2));
    for n in 0..500 {
        assert!(matches!(world.send(forged(push(&n.to_string()))).await, Err(Refusal::Unverified(_))));
    }
    accepted(world.send(push("d1")).await);
    accepted(world.send(push("d2")).await);
    let third = world.send(push("d3")).await;
    assert!(matches!(third, Err(Refusal::RateLimited { scope: "source", .. })), "{third:?}");
    accepted(world.send(bulk(r#"{"type":"a"}"#)).await);
    assert_eq!(world.reserved(), 0);
}

fn labelled(delivery: &str, number: u32) -> RawEvent {
    let body = format!(
        r#"{{"action":"labeled","issue":{{"number":{number}}},"repository":{{"full_name":"acme/api"}}}}"#
    );
    github(delivery, "issues", &body)
}

#[tokio::test]
async fn without_being_asked_for_nothing_is_suppressed() {
    let world = World::new();
    for delivery in ["d1", "d2", "d3"] {
        accepted(world.send(labelled(delivery, 1)).await);
    }
}

#[tokio::test]
async fn a_cooldown_drops_what_follows_about_the_same_subject() {
    let world =
        World::with(|plan| plan.sources.get_mut("github").unwrap().cooldown = Duration::from_secs(30));
    accepted(world.send(labelled("d1", 1)).await);
    assert_eq!(world.send(labelled("d2", 1)).await, Ok(Answer::Suppressed));
    accepted(world.send(labelled("d3", 2)).await);
    assert_eq!(world.reserved(), 0, "a suppressed event spends no delivery id");
    assert_eq!(world.stored("webhooks.github").len(), 2);
}

#[tokio::test]
async fn a_failed_append_does_not_start_a_cooldown() {
    let world =
        World::with(|plan| plan.sources.get_mut("github").unwrap().cooldown = Duration::from_secs(30));
    world.log.inner.fail_appends(AppendError::Full("no space".into()));
    assert!(world.send(labelled("d1", 1)).await.is_err());
    world.log.inner.heal();
    accepted(world.send(labelled("d1", 1)).await);
}
