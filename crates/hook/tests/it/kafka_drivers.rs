//! The Kafka drivers in the running binary, on a real broker: out and in again.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::support::{Hook, Receiver, Sender, eventually, kafka};

const BODY: &[u8] = br#"{"action":"opened",  "repository":{"full_name":"acme/api"}}"#;

/// GitHub's webhooks go to a topic of Kafka and come back from it as the source `kafka`.
/// The keys are those that seed contracts have, and no more.
fn there_and_back(bind: SocketAddr, topic: &str, receiver: SocketAddr, body: &str) -> String {
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
