//! Real input: every example payload that GitHub publishes, byte for byte.

use std::{
    collections::{BTreeSet, HashMap},
    path::PathBuf,
};

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use crate::support::{Delivery, Hook, Receiver, Sender, contract, eventually};

const COUNT: usize = 329;

#[derive(Deserialize)]
struct Examples {
    name: String,
    examples: Vec<Box<RawValue>>,
}

/// A payload as it stands in the file, blanks and line ends and all.
struct Example {
    event: String,
    body: String,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_payload_is_accepted_stored_and_delivered_byte_for_byte() {
    let receiver = Receiver::start().await;
    let address = receiver.address;
    let hook = Hook::running(move |bind| contract(bind, &[("out", address, "body = \"payload\"")])).await;
    let sender = Sender::new();

    let mut sent = HashMap::new();
    for (index, example) in examples().into_iter().enumerate() {
        let delivery = format!("octokit-{index}");
        let body = example.body.as_bytes();
        let id = sender.accepted(hook.address, &example.event, &delivery, body).await;
        assert!(sent.insert(id, example).is_none(), "an id was given twice");
    }
    assert_eq!(sent.len(), COUNT);

    let delivered = receiver.wait_for(COUNT).await;
    for delivery in &delivered {
        check_delivery(delivery, &sent[delivery.id()]);
    }
    let ids: BTreeSet<&str> = delivered.iter().map(Delivery::id).collect();
    assert_eq!(ids.len(), COUNT, "every event once");

    check_list(&hook, &sent).await;
    for (id, example) in &sent {
        let shown = hook.run(&["events", "show", id, "--payload"]);
        assert_eq!(shown.stdout, example.body, "{id}: {}", shown.stderr);
    }
}

fn check_delivery(delivery: &Delivery, example: &Example) {
    assert_eq!(delivery.body, example.body.as_bytes(), "{}", example.event);
    assert_eq!(delivery.path, "/in");
    assert_eq!(delivery.header("content-type"), "application/json");
    assert!(!delivery.header("webhook-timestamp").is_empty());
}

/// The list names each with its type, and comes to say that it was delivered.
async fn check_list(hook: &Hook, sent: &HashMap<String, Example>) {
    let listed = eventually("the ledger to have heard of every delivery", async || {
        let listed = hook.json(&["events", "list", "--limit", "1000"]);
        let listed = listed.as_array().expect("a list").clone();
        let delivered = listed.iter().filter(|event| event["fate"][0]["outcome"] == "delivered").count();
        (delivered == COUNT).then_some(listed)
    })
    .await;
    assert_eq!(listed.len(), COUNT);
    for event in &listed {
        let example = &sent[event["id"].as_str().unwrap()];
        let payload: Value = serde_json::from_str(&example.body).unwrap();
        let expected = match payload["action"].as_str() {
            Some(action) => format!("{}.{action}", example.event),
            None => example.event.clone(),
        };
        assert_eq!(event["event_type"], expected);
        assert_eq!(event["source"], "github");
    }
}

fn examples() -> Vec<Example> {
    let file = fixture();
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| {
        panic!("{}: {error}\nhint: `cargo xtask test` fetches GitHub's example payloads", file.display())
    });
    let all: Vec<Examples> = serde_json::from_str(&text).unwrap();
    let flat = all.into_iter().flat_map(|Examples { name, examples }| {
        examples.into_iter().map(move |body| Example { event: name.clone(), body: body.get().to_owned() })
    });
    flat.collect()
}

/// Where `cargo xtask test` put it, or would have.
#[expect(clippy::disallowed_methods, reason = "a test has no other way to be told where a fetched file is")]
fn fixture() -> PathBuf {
    let told = std::env::var_os("HOOK_TEST_OCTOKIT").map(PathBuf::from);
    told.unwrap_or_else(|| {
        let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("..");
        target.join("fixtures/node_modules/@octokit/webhooks-examples/api.github.com/index.json")
    })
}
