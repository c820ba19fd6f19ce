//! `kafka_output` on the shared broker, as other clients of Kafka see its records.

use std::collections::BTreeSet;

use hook_core::ports::DeliverError;
use hook_event::{Event, cloudevents};

use super::{event, open, output, records, topic};

fn shared() -> (String, Vec<(String, String)>) {
    let brokers = hook_broker::shared();
    let environment = open(&brokers);
    (brokers, environment)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_key_mode_keys_its_records() {
    let (brokers, environment) = shared();
    for mode in ["event_id", "source", "ordering_key", "none"] {
        let topic = topic(&brokers, 4, &[]).await;
        let egress = output(&format!("topic = '{topic}'\nkey_mode = '{mode}'"), environment.clone()).await;
        let events: Vec<Event> = (0..20).map(|n| event(&format!("k{}", n % 3), "{}")).collect();
        let mut places = BTreeSet::new();
        for event in &events {
            let delivered = egress.deliver(event).await.unwrap();
            assert!(places.insert(delivered.detail.clone().unwrap()), "{delivered:?}");
        }
        assert!(places.iter().all(|place| place.starts_with(&format!("{topic}/"))), "{places:?}");
        let seen = records(&brokers, &topic, events.len()).await;
        let partitions = |key: &Option<String>| {
            let same = seen.iter().filter(|record| record.key == *key);
            same.map(|record| record.partition).collect::<BTreeSet<_>>()
        };
        for event in &events {
            let id = event.id.to_string();
            let record = seen.iter().find(|record| record.header("webhook-id") == Some(&id)).unwrap();
            let expected = match mode {
                "event_id" => Some(id),
                "source" => Some("github".to_owned()),
                "ordering_key" => Some(format!("github:{}", event.meta.ordering_key.as_ref().unwrap())),
                _ => None,
            };
            assert_eq!(record.key, expected, "{mode}");
            assert!(
                record.key.is_none() || partitions(&record.key).len() == 1,
                "{mode}: a key is in one partition"
            );
            assert_eq!(Event::decode(&record.value).unwrap(), *event);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_body_and_header_arrives() {
    let (brokers, environment) = shared();
    for body in ["envelope", "payload", "cloudevents", "cloudevents_binary"] {
        let topic = topic(&brokers, 1, &[]).await;
        let text = format!(
            "topic = '{topic}'\nkey_mode = 'none'\nbody = '{body}'\nheaders = {{ team = 'reviews' }}"
        );
        let event = event("k", "{\"n\" : 1.50}");
        output(&text, environment.clone()).await.deliver(&event).await.unwrap();
        let record = records(&brokers, &topic, 1).await.remove(0);
        let expected = match body {
            "envelope" => event.encode(),
            "cloudevents" => cloudevents::structured(&event),
            _ => event.payload.clone(),
        };
        assert_eq!(record.value, expected, "{body}");
        let id = event.id.to_string();
        for (name, value) in [
            ("webhook-id", id.as_str()),
            ("hook-source", "github"),
            ("hook-event-type", "push"),
            ("hook-subject", "acme/api"),
            ("hook-ordering-key", "k"),
            ("team", "reviews"),
        ] {
            assert_eq!(record.header(name), Some(value), "{body}: {name}");
        }
        assert!(record.header("traceparent").unwrap().contains("4bf92f3577b34da6a3ce929d0e0e4736"));
        let content_type = record.header("content-type").unwrap();
        assert_eq!(content_type.starts_with("application/cloudevents+json"), body == "cloudevents");
        assert_eq!(record.header("ce_id").is_some(), body == "cloudevents_binary");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_sends_each_event_to_its_topic() {
    let (brokers, environment) = shared();
    let topic = topic(&brokers, 1, &[]).await;
    let text = format!("topic = '{topic}{{{{ payload.suffix }}}}'\nkey_mode = 'none'\ntimeout_seconds = 4");
    let egress = output(&text, environment).await;
    egress.deliver(&event("k", "{\"suffix\":\"\"}")).await.unwrap();
    egress.probe().await.unwrap();
    for suffix in ["-not-there", " no name", "/../x"] {
        let refused = egress.deliver(&event("k", &format!("{{\"suffix\":\"{suffix}\"}}"))).await;
        assert!(matches!(refused, Err(DeliverError::Refused(_))), "{suffix}: {refused:?}");
    }
    egress.deliver(&event("k", "{\"suffix\":\"\"}")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_record_that_is_too_large_alone_is_refused() {
    let (brokers, environment) = shared();
    let topic =
        topic(&brokers, 1, &[("max.message.bytes", "20000"), ("compression.type", "uncompressed")]).await;
    let text = format!("topic = '{topic}'\nkey_mode = 'none'\nbody = 'payload'");
    let egress = output(&text, environment).await;
    // Together far above the limit, each below it. Nothing here can be compressed.
    let body = |bytes: usize| {
        let noise = hook_event::Entropy::SYSTEM.bytes::<4096>();
        let text: String =
            noise.iter().map(|byte| char::from(b'0' + byte % 75)).filter(|c| *c != '\\').collect();
        format!("\"{}\"", text.repeat(bytes / text.len() + 1).chars().take(bytes).collect::<String>())
    };
    let events: Vec<Event> = (0..32).map(|_| event("k", &body(8_000))).collect();
    let sent = futures_util::future::join_all(events.iter().map(|event| egress.deliver(event))).await;
    assert!(sent.iter().all(Result::is_ok), "{sent:?}");
    let large: String = (0..30).map(|_| body(4_000).trim_matches('"').to_owned()).collect();
    let refused = egress.deliver(&event("k", &format!("\"{large}\""))).await;
    assert!(
        matches!(&refused, Err(DeliverError::Refused(failure)) if failure.reason.contains("larger")),
        "{refused:?}"
    );
    egress.deliver(&event("k", &body(8_000))).await.unwrap();
    records(&brokers, &topic, 33).await;
}
