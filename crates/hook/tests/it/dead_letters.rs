//! What was given up, and how a person brings it back: `hook dlq`, `hook replay`.

use crate::support::{Hook, Receiver, Sender, contract, eventually};

const BODY: &[u8] = br#"{"number":7,"repository":{"full_name":"acme/api"}}"#;

#[tokio::test]
async fn a_refused_event_is_listed_shown_replayed_and_reaches_one_destination() {
    let (picky, easy) = (Receiver::start().await, Receiver::start().await);
    let (one, other) = (picky.address, easy.address);
    let hook = Hook::running(move |bind| contract(bind, &[("picky", one, ""), ("easy", other, "")])).await;
    picky.answer(400);
    let id = Sender::new().accepted(hook.address, "push", "1", BODY).await;
    let letters = eventually("the dead letter to be listed", async || {
        let letters = hook.json(&["dlq", "list"]);
        (!letters.as_array()?.is_empty()).then_some(letters)
    })
    .await;
    let letter = &letters[0];
    assert_eq!((letter["adapter"].as_str(), letter["event_id"].as_str()), (Some("picky"), Some(id.as_str())));
    assert_eq!((letter["reason"].as_str(), letter["state"].as_str()), (Some("refused"), Some("open")));
    assert_eq!(picky.taken().len(), 1, "a refusal is not tried again");

    let shown = hook.json(&["dlq", "show", &id]);
    assert_eq!(
        (shown["status"].as_u64(), shown["envelope"]["payload"]["number"].as_u64()),
        (Some(400), Some(7))
    );

    picky.answer(200);
    let counted = hook.run(&["dlq", "replay", "--adapter", "picky", "--dry-run"]);
    assert_eq!(counted.code, Some(0), "{counted:?}");
    let done = hook.run(&["dlq", "replay", "--adapter", "picky"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let taken = picky.wait_for(2).await;
    assert_eq!((taken[1].id(), taken.len()), (id.as_str(), 2));
    let envelope: serde_json::Value = serde_json::from_slice(&taken[1].body).unwrap();
    assert_eq!(envelope["meta"]["redelivery"]["reason"], "dead_letter");
    assert_eq!(easy.taken().len(), 1, "the other destination is left alone");
    assert_eq!(hook.json(&["dlq", "list"]), serde_json::json!([]));
}

#[tokio::test]
async fn an_exhausted_event_is_a_dead_letter_and_the_next_one_gets_through() {
    let receiver = Receiver::start().await;
    let address = receiver.address;
    let hook = Hook::running(move |bind| contract(bind, &[("out", address, "max_retries = 2")])).await;
    receiver.answer(500);
    let id = Sender::new().accepted(hook.address, "push", "1", BODY).await;
    let letters = eventually("the dead letter to be listed", async || {
        let letters = hook.json(&["dlq", "list"]);
        (!letters.as_array()?.is_empty()).then_some(letters)
    })
    .await;
    assert_eq!(
        (letters[0]["reason"].as_str(), letters[0]["attempts"].as_u64()),
        (Some("exhausted"), Some(3))
    );
    assert_eq!(letters[0]["event_id"], id);
    receiver.answer(200);
    let next = Sender::new().accepted(hook.address, "push", "2", BODY).await;
    eventually("the next event", async || receiver.by_id().contains_key(&next).then_some(())).await;

    let refused = hook.run(&["dlq", "purge"]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert_eq!(hook.json(&["dlq", "purge", "--yes"])["purged"], 1);
    assert_eq!(hook.json(&["dlq", "list"]), serde_json::json!([]));
    assert_eq!(hook.json(&["dlq", "list", "--all"])[0]["state"], "purged");
}

#[tokio::test]
async fn events_of_the_log_are_replayed_to_one_destination() {
    let (one, other) = (Receiver::start().await, Receiver::start().await);
    let (a, b) = (one.address, other.address);
    let hook = Hook::running(move |bind| contract(bind, &[("one", a, ""), ("other", b, "")])).await;
    let sender = Sender::new();
    for number in 0..4 {
        let body = format!(r#"{{"number":{number}}}"#);
        sender.accepted(hook.address, "push", &number.to_string(), body.as_bytes()).await;
    }
    for receiver in [&one, &other] {
        receiver.wait_for(4).await;
    }
    let replay =
        ["replay", "events", "--topic", "webhooks.core", "--when", "payload.number >= 2", "--to", "one"];
    let counted = hook.json(&[&replay[..], &["--dry-run"]].concat());
    assert_eq!(counted["matched"], 2, "{counted}");
    assert_eq!(one.taken().len(), 4, "a dry run sends nothing");
    let done = hook.run(&replay);
    assert_eq!(done.code, Some(0), "{done:?}");
    let taken = one.wait_for(6).await;
    for delivery in &taken[4..] {
        let envelope: serde_json::Value = serde_json::from_slice(&delivery.body).unwrap();
        assert!(envelope["payload"]["number"].as_u64() >= Some(2));
        assert_eq!(envelope["meta"]["redelivery"]["adapter"], "one");
        assert!(taken[..4].iter().any(|first| first.id() == delivery.id()), "the id stays the same");
    }
    assert_eq!(other.taken().len(), 4);

    let nowhere = hook.run(&["replay", "events", "--to", "nobody"]);
    assert_eq!(nowhere.code, Some(2), "{nowhere:?}");
    assert!(nowhere.stderr.contains("`nobody`") && nowhere.stderr.contains("`one`"), "{}", nowhere.stderr);
}

#[tokio::test]
async fn a_condition_that_fails_on_an_event_is_told() {
    let receiver = Receiver::start().await;
    let address = receiver.address;
    let guarded = move |bind| {
        let plain = contract(bind, &[("one", address, "")]);
        let route = r#"source_topic_pattern = "webhooks.core""#;
        plain.replace(route, &format!("{route}\nwhen = \"payload.pull.number > 1\""))
    };
    let hook = Hook::running(guarded).await;
    let sender = Sender::new();
    let mut ids = Vec::new();
    for (number, body) in
        [r#"{"pull":{"number":2}}"#, r#"{"issue":3}"#, r#"{"pull":{"number":1}}"#].iter().enumerate()
    {
        ids.push(sender.accepted(hook.address, "push", &number.to_string(), body.as_bytes()).await);
    }
    eventually("the letter of the second", async || {
        (hook.json(&["dlq", "list"])[0]["reason"] == "when_failed").then_some(())
    })
    .await;
    let life = hook.json(&["events", "show", &ids[1]]);
    assert_eq!(
        (life["routes"].as_array().unwrap().len(), &life["when_failed"][0]["adapter"]),
        (0, &"one".into())
    );
    assert!(life["when_failed"][0]["error"].as_str().unwrap().contains("undefined"), "{life:#}");
    let shown = hook.run(&["events", "show", &ids[1]]);
    assert!(shown.stdout.contains("when failed  one (route out): "), "{}", shown.stdout);
    assert_eq!(hook.json(&["events", "show", &ids[2]])["when_failed"], serde_json::json!([]));

    let replay = ["replay", "events", "--to", "one", "--when", "payload.pull.number == 2"];
    for dry_run in [&["--dry-run"][..], &[]] {
        let done = hook.run(&[&["--json"], &replay[..], dry_run].concat());
        assert_eq!(done.code, Some(1), "{done:?}");
        let told: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
        let figures = ["seen", "matched", "failed"].map(|name| told[name].as_u64());
        assert_eq!(figures, [Some(3), Some(1), Some(1)], "{told}");
        for said in [told["first_failure"].to_string(), done.stderr] {
            assert!(said.contains(&ids[1]) && said.contains("`--when` failed"), "{said}");
        }
    }
    let taken = receiver.wait_for(2).await;
    assert!(taken.iter().all(|delivery| delivery.id() == ids[0]), "only what fits is sent again");
}

#[tokio::test]
async fn a_letter_whose_destination_is_gone_is_left_out_and_told() {
    let receiver = Receiver::start().await;
    let address = receiver.address;
    let mut hook = Hook::running(move |bind| contract(bind, &[("old", address, "")])).await;
    receiver.answer(400);
    Sender::new().accepted(hook.address, "push", "1", BODY).await;
    eventually("the letter", async || (hook.json(&["dlq", "list"])[0]["adapter"] == "old").then_some(()))
        .await;
    hook.stop().await;
    hook.set_contract(move |bind| contract(bind, &[("new", address, "")]));
    let done = hook.run(&["dlq", "replay"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.stderr.contains("1 of 1 were left out") && done.stderr.contains("`old`"), "{}", done.stderr);
}
