//! `kafka_ingress` on the shared broker: what comes in, in which order, and what is committed.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

use hook_core::ports::Refusal;
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
};

use super::{Arc, Other, Pipeline, client, create, event, ingress, open, topic};
use crate::support::{PATIENCE, unique, until};

fn shared() -> (String, Vec<(String, String)>) {
    let brokers = hook_broker::shared();
    let environment = open(&brokers);
    (brokers, environment)
}

fn config(topic: &str) -> String {
    format!("topics = ['{topic}']\ngroup_id = '{topic}-group'")
}

/// The sum of what a group has committed in a topic.
fn committed(brokers: &str, topic: &str, partitions: i32) -> i64 {
    let consumer: BaseConsumer = client(brokers).set("group.id", format!("{topic}-group")).create().unwrap();
    let mut asked = TopicPartitionList::new();
    asked.add_partition_range(topic, 0, partitions - 1);
    let answer = consumer.committed_offsets(asked, PATIENCE).unwrap();
    let offset = |offset| match offset {
        Offset::Offset(offset) => offset,
        _ => 0,
    };
    answer.elements().iter().map(|element| offset(element.offset())).sum()
}

fn unavailable() -> Refusal {
    Refusal::Unavailable { reason: "the log is full".to_owned(), after: Duration::from_millis(50) }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_every_kind_come_in() {
    let (brokers, environment) = shared();
    let topic = topic(&brokers, 1, &[]).await;
    let other = Other::to(&brokers, &topic);
    let own = event("acme", "{\"n\" : 1}");
    let attributes =
        [("ce_specversion", "1.0"), ("ce_id", "A1"), ("ce_source", "/orders"), ("ce_type", "order.placed")];
    let structured =
        br#"{"specversion":"1.0","id":"A2","source":"/orders","type":"order.paid","data":{"n":2}}"#;
    other.send(Some("k1"), Some(b"{\"a\" : 1}"), &[("x-event-type", "order")]).await;
    other.send(None, Some(b"plain text"), &[]).await;
    other.send(None, Some(&[0xff, 0xfe]), &[]).await;
    other.send(Some("k2"), None, &[]).await;
    other.send(None, Some(&own.encode()), &[]).await;
    other.send(None, Some(b"{\"n\":1}"), &attributes).await;
    other.send(None, Some(structured), &[("content-type", "application/cloudevents+json")]).await;
    let pipeline = Pipeline::willing();
    let running = ingress(&config(&topic), environment, &pipeline).await;
    pipeline.wait_for(7).await;
    let bodies = [
        "{\"a\" : 1}",
        "{\"text\":\"plain text\"}",
        "{\"base64\":\"//4=\"}",
        "null",
        "{\"n\" : 1}",
        "{\"n\":1}",
        "{\"n\":2}",
    ];
    assert_eq!(pipeline.bodies(), bodies);
    let taken = pipeline.taken();
    let header =
        |at: usize, name: &str| taken[at].headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    assert_eq!((header(0, "kafka-key"), header(3, "kafka-key")), (Some("k1".into()), Some("k2".into())));
    assert_eq!(header(4, "webhook-id"), Some(own.id.to_string()));
    assert_eq!(
        (header(5, "ce_type"), header(6, "ce_type")),
        (Some("order.placed".into()), Some("order.paid".into()))
    );
    assert!(header(1, "kafka-record").unwrap().starts_with(&format!("{topic}/0/1/")));
    for raw in &taken {
        assert_eq!(raw.source, "kafka");
        assert_eq!(&*raw.transport.as_ref().unwrap().by, "kafka:plaintext");
        assert!(!raw.transport.as_ref().unwrap().protected);
    }
    until("the commit", async || committed(&brokers, &topic, 1) == 7).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_source_is_named_by_the_contract_or_by_the_record() {
    let (brokers, environment) = shared();
    for (key, expected) in
        [("source = 'orders'", ["orders", "orders"]), ("source = '{x-from}'", ["shop", ""])]
    {
        let topic = topic(&brokers, 1, &[]).await;
        let other = Other::to(&brokers, &topic);
        other.send(None, Some(b"1"), &[("x-from", "shop")]).await;
        other.send(None, Some(b"2"), &[]).await;
        let pipeline = Pipeline::willing();
        let running = ingress(&format!("{}\n{key}", config(&topic)), environment.clone(), &pipeline).await;
        until("both", async || pipeline.taken().len() + pipeline.aside().len() == 2).await;
        running.stop().await;
        let sources: Vec<String> = pipeline.taken().iter().map(|raw| raw.source.clone()).collect();
        let expected: Vec<&str> = expected.into_iter().filter(|name| !name.is_empty()).collect();
        assert_eq!(sources, expected, "{key}");
        let told = pipeline.aside().iter().all(|refused| refused.refusal.to_string().contains("`{x-from}`"));
        assert!(told, "{:?}", pipeline.aside());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poisonous_record_is_set_aside_with_its_position_and_blocks_nobody() {
    let (brokers, environment) = shared();
    let topic = topic(&brokers, 1, &[]).await;
    let other = Other::to(&brokers, &topic);
    other.send(None, Some(b"1"), &[]).await;
    other.send(None, Some(b"{\"specversion\":"), &[("content-type", "application/cloudevents+json")]).await;
    other.send(None, Some(b"\"refused\""), &[]).await;
    other.send(None, Some(b"4"), &[]).await;
    let pipeline = Pipeline::new(|raw| match &raw.body[..] {
        b"\"refused\"" => Err(Refusal::Malformed("as the script says".to_owned())),
        _ => Ok(()),
    });
    let running = ingress(&config(&topic), environment, &pipeline).await;
    pipeline.wait_for(2).await;
    until("the commit", async || committed(&brokers, &topic, 1) == 4).await;
    running.stop().await;
    assert_eq!(pipeline.bodies(), ["1", "4"]);
    let aside = pipeline.aside();
    let positions: Vec<&str> = aside.iter().map(|refused| refused.position.as_str()).collect();
    assert_eq!(positions, [format!("{topic}/0/1"), format!("{topic}/0/2")]);
    assert_eq!(aside[0].body, &b"{\"specversion\":"[..], "the bytes as they lie in the topic");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_stored_now_is_offered_again_in_order_and_nothing_is_committed() {
    const RECORDS: usize = 6_000;
    let (brokers, environment) = shared();
    let topic = topic(&brokers, 2, &[]).await;
    let other = Other::to(&brokers, &topic);
    let sent = (0..RECORDS).map(|n| {
        let other = &other;
        async move { other.send(Some(&format!("k{}", n % 7)), Some(n.to_string().as_bytes()), &[]).await }
    });
    futures_util::future::join_all(sent).await;
    // More waits than a lane may hold, so that partitions are paused meanwhile.
    let (open_now, offered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (gate, count) = (Arc::clone(&open_now), Arc::clone(&offered));
    let pipeline = Pipeline::new(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        gate.load(Ordering::Relaxed).then_some(()).ok_or_else(unavailable)
    });
    let running = ingress(&config(&topic), environment, &pipeline).await;
    until("the same to be offered again", async || offered.load(Ordering::Relaxed) > 20).await;
    assert_eq!((pipeline.taken().len(), committed(&brokers, &topic, 2)), (0, 0));
    open_now.store(true, Ordering::Relaxed);
    pipeline.wait_for(RECORDS).await;
    until("the commit", async || committed(&brokers, &topic, 2) == i64::try_from(RECORDS).unwrap()).await;
    running.stop().await;
    assert_eq!(pipeline.taken().len(), RECORDS, "each came once");
    let mut places: HashMap<String, i64> = HashMap::new();
    for raw in pipeline.taken() {
        let text = |name: &str| raw.headers[name].to_str().unwrap().to_owned();
        let offset = text("kafka-offset").parse().unwrap();
        let before = places.insert(text("kafka-partition"), offset);
        assert_eq!(before.map_or(0, |before| before + 1), offset, "a partition is in order");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_group_begins_where_it_is_told_and_decides_it_once() {
    let (brokers, environment) = shared();
    for (start, expected) in
        [("", 2..4), ("start_from = 'now'", 2..2), ("start_from = '2020-01-01T00:00:00Z'", 2..4)]
    {
        let topic = topic(&brokers, 1, &[]).await;
        let other = Other::to(&brokers, &topic);
        other.send(None, Some(b"2"), &[]).await;
        other.send(None, Some(b"3"), &[]).await;
        let pipeline = Pipeline::willing();
        let text = format!("{}\n{start}", config(&topic));
        let running = ingress(&text, environment.clone(), &pipeline).await;
        match expected.is_empty() {
            true => until("the beginning", async || committed(&brokers, &topic, 1) == 2).await,
            false => pipeline.wait_for(expected.len()).await,
        }
        running.stop().await;
        // Sent while nobody reads: a restart must not begin anew.
        other.send(None, Some(b"4"), &[]).await;
        let running = ingress(&text, environment.clone(), &pipeline).await;
        pipeline.wait_for(expected.len() + 1).await;
        running.stop().await;
        let all: Vec<String> = expected.chain([4]).map(|n| n.to_string()).collect();
        assert_eq!(pipeline.bodies(), all, "{start}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_of_a_group_share_the_partitions_and_take_over() {
    const PARTITIONS: usize = 4;
    let (brokers, environment) = shared();
    let topic = topic(&brokers, 4, &[]).await;
    let other = Other::to(&brokers, &topic);
    let (one, two) = (Pipeline::willing(), Pipeline::willing());
    let first = ingress(&config(&topic), environment.clone(), &one).await;
    let second = ingress(&config(&topic), environment, &two).await;
    let mut sent = 0;
    until("both to have a share", async || {
        for _ in 0..40 {
            other.send(Some(&format!("k{sent}")), Some(sent.to_string().as_bytes()), &[]).await;
            sent += 1;
        }
        !one.taken().is_empty() && !two.taken().is_empty()
    })
    .await;
    first.stop().await;
    for _ in 0..40 {
        other.send(Some(&format!("k{sent}")), Some(sent.to_string().as_bytes()), &[]).await;
        sent += 1;
    }
    let all = || one.bodies().into_iter().chain(two.bodies()).collect::<Vec<_>>();
    let missing = || (0..sent).filter(|n| !all().contains(&n.to_string())).count();
    until("everything", async || missing() == 0).await;
    second.stop().await;
    // At least once: a partition goes with one record at work at most, which may come again.
    let again = all().len() - sent;
    assert!(again <= PARTITIONS, "{again} came again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_comes_later_is_read_whole() {
    let (brokers, environment) = shared();
    let topic = unique();
    let pipeline = Pipeline::willing();
    let text = format!("{}\nstart_from = 'now'", config(&topic));
    let running = ingress(&text, environment, &pipeline).await;
    create(&brokers, &topic, 1, &[]).await;
    Other::to(&brokers, &topic).send(None, Some(b"1"), &[]).await;
    pipeline.wait_for(1).await;
    running.stop().await;
}
