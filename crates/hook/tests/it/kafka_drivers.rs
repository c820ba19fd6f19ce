//! The Kafka drivers in the running binary, on a real broker: out and in again.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::support::{Delivery, Hook, Receiver, Sender, Sent, eventually, kafka};

const BODY: &[u8] = br#"{"action":"opened",  "repository":{"full_name":"acme/api"}}"#;

/// GitHub's webhooks go to a topic of Kafka and come back from it as the source `kafka`.
/// The keys are those that seed contracts have, and no more.
fn there_and_back(bind: SocketAddr, topic: &str, receiver: SocketAddr, body: &str) -> String {
    let brokers = hook_broker::shared();
    format!(
        r#"[app]
id = "there-and-back"
name = "There and back"
version = "1.0.0"

[sources.github]
preset = "github"
secrets_env = ["GITHUB_SECRET"]

[[serve.ingress_adapters]]
id = "in"
driver = "http_webhook_ingress"
bind = "{bind}"

[[serve.ingress_adapters]]
id = "back"
driver = "kafka_ingress"
topics = ["{topic}"]
group_id = "{topic}-group"
brokers = ["{brokers}"]

[[serve.routes]]
id = "github"
source_match = "github"
event_type_pattern = "*"
target_topic = "webhooks.core"

[[serve.routes]]
id = "back"
source_match = "kafka"
event_type_pattern = "*"
target_topic = "webhooks.back"

[[smash.egress_adapters]]
id = "out"
driver = "kafka_output"
topic = "{topic}"
key_mode = "ordering_key"
{body}

[[smash.egress_adapters]]
id = "receiver"
driver = "http_output"
url = "http://{receiver}/in"
allow_networks = ["127.0.0.0/8"]

[[smash.routes]]
id = "out"
source_topic_pattern = "webhooks.core"
destinations = [{{ adapter_id = "out" }}]

[[smash.routes]]
id = "receiver"
source_topic_pattern = "webhooks.back"
destinations = [{{ adapter_id = "receiver" }}]

[profiles.default]
label = "There and back"
serve_adapters = ["in", "back"]
serve_routes = ["github", "back"]
smash_adapters = ["out", "receiver"]
smash_routes = ["out", "receiver"]
"#
    )
}

#[tokio::test]
async fn an_event_goes_to_kafka_and_comes_back_in_every_form() {
    let receiver = Receiver::start().await;
    for body in ["", "body = 'payload'", "body = 'cloudevents'", "body = 'cloudevents_binary'"] {
        let (topic, address) = (kafka::topic(3), receiver.address);
        let mut hook = Hook::new(move |bind| there_and_back(bind, &topic, address, body));
        kafka::open(&mut hook);
        hook.start().await;
        let before = receiver.taken().len();
        let id = Sender::new().accepted(hook.address, "pull_request", "d1", BODY).await;
        let back = receiver.wait_for(before + 1).await.pop().unwrap();
        let envelope: Value = serde_json::from_slice(&back.body).unwrap();
        assert_eq!(envelope["source"], "kafka", "{body}");
        assert_eq!(envelope["event_type"], "pull_request.opened", "{body}");
        assert_eq!(envelope["meta"]["delivery_id"], id, "{body}");
        assert_eq!(envelope["meta"]["verified_by"], "transport:kafka:plaintext", "{body}");
        assert_eq!(envelope["meta"]["flags"], json!(["unverified"]), "{body}");
        let text = String::from_utf8(back.body.to_vec()).unwrap();
        let payload = std::str::from_utf8(BODY).unwrap();
        assert!(text.ends_with(&format!("\"payload\":{payload}}}")), "the payload is untouched: {text}");
        let first = eventually("the first event's life", async || hook.life(&id)).await;
        assert_eq!(first["meta"]["trace_id"], envelope["meta"]["trace_id"], "one trace: {body}");
        hook.stop().await;
    }
}

/// The envelope that a receiver was sent.
fn envelope(delivery: &Delivery) -> Value {
    serde_json::from_slice(&delivery.body).unwrap()
}

#[tokio::test]
async fn kcat_reads_what_goes_out_and_what_it_produces_comes_in() {
    let receiver = Receiver::start().await;
    let (topic, address) = (kafka::topic(3), receiver.address);
    let of_contract = topic.clone();
    let mut hook =
        Hook::new(move |bind| there_and_back(bind, &of_contract, address, "body = 'cloudevents_binary'"));
    kafka::open(&mut hook);
    hook.start().await;
    let id = Sender::new().accepted(hook.address, "pull_request", "d1", BODY).await;
    receiver.wait_for(1).await;
    let seen = kafka::kcat(&["-C", "-t", &topic, "-o", "beginning", "-c", "1", "-q", "-f", "%k\n%h\n%s"], "");
    let lines: Vec<&str> = seen.splitn(3, '\n').collect();
    assert_eq!((lines[0], lines[2].as_bytes()), ("github:acme/api", BODY), "{seen}");
    for header in
        [&format!("ce_id={id}"), "ce_source=github", "ce_type=pull_request.opened", "ce_specversion=1.0"]
    {
        assert!(lines[1].split(',').any(|have| have == header), "{header}: {seen}");
    }

    let produce = |headers: &[&str], key: &str, value: &str| {
        let headers = headers.iter().flat_map(|header| ["-H", header]);
        let args: Vec<&str> = ["-P", "-t", &topic, "-k", key].into_iter().chain(headers).collect();
        kafka::kcat(&args, value);
    };
    produce(&["x-event-type=order.placed"], "k1", r#"{"n": 1}"#);
    produce(
        &["ce_specversion=1.0", "ce_id=A1", "ce_source=/shop", "ce_type=order.paid"],
        "k2",
        r#"{"n": 2}"#,
    );
    let structured =
        r#"{"specversion":"1.0","id":"A2","source":"/shop","type":"order.sent","data":{"n": 3}}"#;
    produce(&["content-type=application/cloudevents+json"], "k3", structured);
    produce(&[], "k4", "no JSON at all");
    // The same CloudEvent again: it is stored already.
    produce(
        &["ce_specversion=1.0", "ce_id=A1", "ce_source=/shop", "ce_type=order.paid"],
        "k2",
        r#"{"n": 2}"#,
    );
    produce(&["x-event-type=last"], "k2", "5");
    let of_type = |name: &str| {
        let taken = receiver.taken();
        taken.iter().map(envelope).filter(|event| event["event_type"] == name).collect::<Vec<_>>()
    };
    eventually("the last record", async || {
        (of_type("last").len() + of_type("event").len() == 2).then_some(())
    })
    .await;
    for (name, key, payload) in [
        ("order.placed", "k1", json!({ "n": 1 })),
        ("order.paid", "k2", json!({ "n": 2 })),
        ("order.sent", "k3", json!({ "n": 3 })),
        ("event", "k4", json!({ "text": "no JSON at all" })),
        ("last", "k2", json!(5)),
    ] {
        let events = eventually(name, async || Some(of_type(name)).filter(|events| !events.is_empty())).await;
        assert_eq!(events.len(), 1, "{name}");
        assert_eq!(
            (&events[0]["payload"], &events[0]["meta"]["ordering_key"]),
            (&payload, &json!(key)),
            "{name}"
        );
    }
    hook.stop().await;
}

/// A pipeline whose log is in Kafka.
fn on_kafka(bind: SocketAddr, prefix: &str, receiver: SocketAddr) -> String {
    let text = crate::support::contract(bind, &[("out", receiver, "")]);
    let text = text.replace("webhooks.core", &format!("{prefix}.core"));
    format!(
        "{text}\n[log]\nbackend = \"kafka\"\n[log.kafka]\ntopic_prefix_core = \"{prefix}\"\ndlq_topic = \"{prefix}.dlq\"\n"
    )
}

#[tokio::test]
async fn kcat_reads_the_logs_own_topics_and_produces_to_them() {
    let receiver = Receiver::start().await;
    let (prefix, address) = (kafka::unique(), receiver.address);
    let of_contract = prefix.clone();
    let mut hook = Hook::new(move |bind| on_kafka(bind, &of_contract, address));
    kafka::open(&mut hook);
    hook.start().await;
    let id = Sender::new().accepted(hook.address, "pull_request", "d1", BODY).await;
    receiver.wait_for(1).await;
    let topic = format!("{prefix}.core");
    let seen = kafka::kcat(&["-C", "-t", &topic, "-o", "beginning", "-c", "1", "-q"], "");
    let stored: Value = serde_json::from_str(&seen).unwrap();
    assert_eq!((&stored["id"], &stored["event_type"]), (&json!(id), &json!("pull_request.opened")));

    let own = r#"{"id":"0198f3c2-0000-7000-8000-000000000001","source":"linear","event_type":"Issue.create","received_at":"2026-03-04T05:06:07Z","payload":{"x":1}}"#;
    kafka::kcat(&["-P", "-t", &topic, "-k", "k"], own);
    let taken = receiver.wait_for(2).await;
    assert_eq!(taken[1].id(), "0198f3c2-0000-7000-8000-000000000001");
    assert_eq!(envelope(&taken[1])["payload"], json!({ "x": 1 }));
    hook.stop().await;
}

#[tokio::test]
async fn what_is_refused_is_a_dead_letter_and_http_is_no_kafka() {
    let receiver = Receiver::start().await;
    let (topic, address) = (kafka::topic(1), receiver.address);
    let of_contract = topic.clone();
    let mut hook = Hook::new(move |bind| there_and_back(bind, &of_contract, address, ""));
    kafka::open(&mut hook);
    hook.start().await;
    // Over HTTP nobody can say that he is the Kafka cluster.
    let forged = reqwest::Client::new()
        .post(format!("http://{}/webhook/kafka", hook.address))
        .header("content-type", "application/json")
        .header("kafka-record", "orders/0/1/1")
        .body("{}");
    assert_eq!(Sent::by(forged).await.status, 401);

    kafka::kcat(&["-P", "-t", &topic, "-H", "content-type=application/json"], "{ this is none");
    kafka::kcat(&["-P", "-t", &topic], "{\"type\":\"fine\"}");
    let taken = receiver.wait_for(1).await;
    assert_eq!(envelope(&taken[0])["event_type"], "fine", "the one behind it went on");
    let letter = eventually("the dead letter", async || {
        let letters = hook.json(&["dlq", "list"]);
        letters.as_array().and_then(|letters| letters.first()).cloned()
    })
    .await;
    assert_eq!(letter["reason"], "malformed", "{letter}");
    let which = letter["position"].as_str().unwrap();
    let shown = hook.json(&["dlq", "show", which]);
    assert_eq!(
        (&shown["event_position"], &shown["envelope"]),
        (&json!(format!("{topic}/0/0")), &json!("{ this is none"))
    );
    hook.stop().await;
}
