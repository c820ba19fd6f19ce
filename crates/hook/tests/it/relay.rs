//! `hook relay` and bridges of an embedded log, as processes: killed, cut off, shared.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use hook_broker::{Kafka, Options};
use serde_json::Value;

use crate::support::{Hook, Sender, contract, eventually, figure, free_address, pause};

const KEYS: usize = 20;
const ROUNDS: usize = 8;
const PER_ROUND: usize = 3000;
/// A killed relay's lanes and what it left open are free again within this.
const SETTLED_WITHIN: Duration = Duration::from_secs(120);

/// One node whose topics have six partitions, and on which a group is given out at once.
fn broker() -> Arc<Kafka> {
    let options = Options::single_node().property("num.partitions", "6");
    Arc::new(Kafka::start(options).unwrap())
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

fn create(kafka: &Kafka, topic: &str) {
    let args = ["--create", "--topic", topic, "--partitions", "6"];
    kafka.tool("org.apache.kafka.tools.TopicCommand", &args, "").unwrap();
}

/// Numbers as values, each under one of a few keys.
async fn produce(kafka: &Arc<Kafka>, numbers: std::ops::Range<usize>) {
    let kafka = Arc::clone(kafka);
    let lines: String = numbers.map(|number| format!("k{}\t{number}\n", number % KEYS)).collect();
    blocking(move || {
        let args = ["--topic", "in", "--reader-property", "parse.key=true"];
        kafka.tool("org.apache.kafka.tools.ConsoleProducer", &args, &lines).unwrap();
    })
    .await;
}

/// Key and value of every committed record: at most `most`, and none for `idle`.
async fn consume(
    kafka: &Arc<Kafka>,
    topic: &'static str,
    most: usize,
    idle: Duration,
) -> Vec<(String, String)> {
    let (kafka, most, idle) = (Arc::clone(kafka), most.to_string(), idle.as_millis().to_string());
    let text = blocking(move || {
        let args = [
            "--topic",
            topic,
            "--from-beginning",
            "--isolation-level",
            "read_committed",
            "--formatter-property",
            "print.key=true",
            "--max-messages",
            &most,
            "--timeout-ms",
            &idle,
        ];
        kafka.tool("org.apache.kafka.tools.consumer.ConsoleConsumer", &args, "").unwrap()
    })
    .await;
    let record = |line: &str| line.split_once('\t').map(|(key, value)| (key.to_owned(), value.to_owned()));
    text.lines().filter_map(record).collect()
}

fn relay(kafka: &Kafka) -> Hook {
    let mut hook = Hook::new(|bind| contract(bind, &[]));
    hook.set_variable("KAFKA_BROKERS", &kafka.bootstrap());
    hook.set_variable("KAFKA_SECURITY_PROTOCOL", "plaintext");
    hook.set_variable("KAFKA_ALLOW_PLAINTEXT", "true");
    hook
}

const RELAY: &[&str] =
    &["relay", "--topics", "in", "--output-topic", "out", "--mode", "raw", "--group-id", "both"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_relays_share_a_group_and_nothing_is_lost_or_carried_twice_by_kill() {
    let kafka = blocking(broker).await;
    let made = Arc::clone(&kafka);
    blocking(move || ["in", "out"].iter().for_each(|topic| create(&made, topic))).await;
    let mut relays = [relay(&kafka), relay(&kafka)];
    relays.iter_mut().for_each(|relay| relay.spawn_with(RELAY));
    for round in 0..ROUNDS {
        produce(&kafka, round * PER_ROUND..(round + 1) * PER_ROUND).await;
        if round % 4 == 2 {
            kafka.kill(1).unwrap();
            pause(Duration::from_millis(500)).await;
            let down = Arc::clone(&kafka);
            blocking(move || {
                down.restart(1).unwrap();
                down.wait_ready().unwrap();
            })
            .await;
        }
        let victim = &mut relays[round % 2];
        victim.kill();
        pause(Duration::from_millis(300)).await;
        victim.spawn_with(RELAY);
    }
    let all = ROUNDS * PER_ROUND;
    let since = Instant::now();
    consume(&kafka, "out", all, SETTLED_WITHIN).await;
    let settled = since.elapsed();
    for relay in &mut relays {
        relay.stop().await;
    }
    each_once(&kafka, all).await;
    figure(&format!(
        "two relays, {ROUNDS} kills of them and 2 of the broker: {all} records carried once each, settled in {} ms",
        settled.as_millis()
    ));
}

/// As many numbers are in the output, each once, those of a key in their order.
async fn each_once(kafka: &Arc<Kafka>, all: usize) {
    let carried = consume(kafka, "out", 2 * all, Duration::from_secs(5)).await;
    let mut count: HashMap<&str, usize> = HashMap::new();
    carried.iter().for_each(|(_, value)| *count.entry(value).or_default() += 1);
    let lost = (0..all).filter(|number| !count.contains_key(number.to_string().as_str())).count();
    let twice = count.values().filter(|count| **count > 1).count();
    assert_eq!((lost, twice, carried.len()), (0, 0, all), "lost, carried twice, all");
    let mut last: HashMap<&str, usize> = HashMap::new();
    for (key, value) in &carried {
        let number = value.parse().unwrap();
        let before = last.insert(key, number);
        assert!(before.is_none_or(|before| before < number), "{number} came after {before:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_was_believed_dead_and_wakes_up_carries_nothing_twice() {
    let kafka = blocking(broker).await;
    let made = Arc::clone(&kafka);
    blocking(move || ["in", "out"].iter().for_each(|topic| create(&made, topic))).await;
    let mut relays = [relay(&kafka), relay(&kafka)];
    relays.iter_mut().for_each(|relay| relay.spawn_with(RELAY));
    produce(&kafka, 0..PER_ROUND).await;
    consume(&kafka, "out", PER_ROUND, SETTLED_WITHIN).await;
    // Some of these it has read, perhaps published, and not settled.
    let producing = tokio::spawn({
        let kafka = Arc::clone(&kafka);
        async move { produce(&kafka, PER_ROUND..5 * PER_ROUND).await }
    });
    pause(Duration::from_millis(1200)).await;
    relays[0].signal("-STOP");
    producing.await.unwrap();
    // Only the other can have carried the rest, so the group has given this one up.
    consume(&kafka, "out", 5 * PER_ROUND, SETTLED_WITHIN).await;
    relays[0].signal("-CONT");
    produce(&kafka, 5 * PER_ROUND..6 * PER_ROUND).await;
    consume(&kafka, "out", 6 * PER_ROUND, SETTLED_WITHIN).await;
    for relay in &mut relays {
        relay.stop().await;
    }
    each_once(&kafka, 6 * PER_ROUND).await;
}

/// An edge: what it takes in goes to the cluster, whenever that is there.
fn edge(kafka: &Kafka) -> Hook {
    let brokers = kafka.bootstrap();
    Hook::new(move |bind| {
        contract(bind, &[])
            .replace("serve_routes = [\"all\"]", "serve_routes = [\"all\"]\nrelay_bridges = [\"up\"]")
            + &format!(
                "\n[relay.clusters.hq]\nbrokers = [{brokers:?}]\nsecurity_protocol = \"plaintext\"\nallow_plaintext = true\n\n\
                 [[relay.bridges]]\nid = \"up\"\nto = \"hq\"\ntopics = [\"webhooks.*\"]\noutput_topic = \"edge.{{source}}\"\n"
            )
    })
}

/// Takes events in, of one key and numbered.
async fn take_in(hook: &Hook, sender: &Sender, numbers: std::ops::Range<usize>) {
    for number in numbers {
        let body = format!(
            r#"{{"action":"opened","seq":{number},"repository":{{"full_name":"acme/api"}},"pull_request":{{"number":1}}}}"#
        );
        let sent =
            sender.github(hook.address, "pull_request", &format!("d-{number}"), body.as_bytes()).send().await;
        assert_eq!(sent.unwrap().status(), 202, "the edge takes in what it can store");
    }
}

fn up(hook: &Hook) -> Value {
    hook.json(&["status"])["bridges"][0].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_takes_in_without_its_uplink_and_forwards_in_order_when_it_is_back() {
    const EACH: usize = 150;
    let kafka = blocking(broker).await;
    kafka.kill(1).unwrap();
    let mut hook = edge(&kafka);
    hook.start().await;
    let sender = Sender::new();
    take_in(&hook, &sender, 0..EACH).await;
    eventually("the bridge to wait", async || (up(&hook)["relay"]["state"] == "waiting").then_some(())).await;
    assert_eq!(up(&hook)["lag"], EACH);
    restart(&kafka).await;
    eventually("the bridge to catch up", async || (up(&hook)["lag"] == 0).then_some(())).await;
    assert_eq!(up(&hook)["relay"]["state"], "running");

    // Cut off again, and killed with what it has.
    kafka.kill(1).unwrap();
    take_in(&hook, &sender, EACH..2 * EACH).await;
    hook.kill();
    hook.start().await;
    take_in(&hook, &sender, 2 * EACH..3 * EACH).await;
    restart(&kafka).await;
    eventually("the bridge to catch up", async || (up(&hook)["lag"] == 0).then_some(())).await;
    hook.stop().await;

    let carried = consume(&kafka, "edge.github", usize::from(u16::MAX), Duration::from_secs(5)).await;
    let number = |value: &str| {
        let envelope: Value = serde_json::from_str(value).unwrap();
        usize::try_from(envelope["payload"]["seq"].as_u64().unwrap()).unwrap()
    };
    let mut seen = HashSet::new();
    let firsts: Vec<_> =
        carried.iter().map(|(_, value)| number(value)).filter(|seq| seen.insert(*seq)).collect();
    assert_eq!(firsts, (0..3 * EACH).collect::<Vec<_>>(), "all arrived, each first in its order");
    let keys: HashSet<_> = carried.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys.len(), 1, "under one ordering key: {keys:?}");
}

async fn restart(kafka: &Arc<Kafka>) {
    let kafka = Arc::clone(kafka);
    blocking(move || {
        kafka.restart(1).unwrap();
        kafka.wait_ready().unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_cluster_to_cluster_everything_arrives_in_order_though_the_target_is_killed() {
    let (near, far) = blocking(|| (broker(), broker())).await;
    let made = Arc::clone(&near);
    blocking(move || create(&made, "in")).await;
    let brokers = (near.bootstrap(), far.bootstrap());
    let mut hook = Hook::new(move |bind| {
        let cluster = |name: &str, brokers: &str| {
            format!(
                "[relay.clusters.{name}]\nbrokers = [{brokers:?}]\nsecurity_protocol = \"plaintext\"\nallow_plaintext = true\n"
            )
        };
        contract(bind, &[])
            .replace("serve_routes = [\"all\"]", "serve_routes = [\"all\"]\nrelay_bridges = [\"copy\"]")
            + &cluster("near", &brokers.0)
            + &cluster("far", &brokers.1)
            + "[[relay.bridges]]\nid = \"copy\"\nfrom = \"near\"\nto = \"far\"\ntopics = [\"in\"]\noutput_topic = \"out\"\nmode = \"raw\"\n"
    });
    hook.spawn_with(&["relay"]);
    for round in 0..4 {
        produce(&near, round * PER_ROUND..(round + 1) * PER_ROUND).await;
        match round {
            1 => {
                far.kill(1).unwrap();
                pause(Duration::from_secs(1)).await;
                restart(&far).await;
            }
            2 => {
                hook.kill();
                hook.spawn_with(&["relay"]);
            }
            _ => {}
        }
    }
    let all = 4 * PER_ROUND;
    let since = Instant::now();
    let mut firsts = HashMap::<String, Vec<usize>>::new();
    while since.elapsed() < SETTLED_WITHIN && firsts.values().map(Vec::len).sum::<usize>() < all {
        firsts.clear();
        let mut seen = HashSet::new();
        for (key, value) in consume(&far, "out", 10 * all, Duration::from_secs(4)).await {
            if seen.insert(value.clone()) {
                firsts.entry(key).or_default().push(value.parse().unwrap());
            }
        }
    }
    hook.stop().await;
    assert_eq!(firsts.values().map(Vec::len).sum::<usize>(), all, "all arrived");
    assert!(firsts.values().all(|numbers| numbers.is_sorted()), "each key's first in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn flags_that_cannot_work_are_refused_and_figures_are_served() {
    let hook = relay_without_brokers();
    let done = hook.run(&["relay", "--topics", "webhooks.*", "--output-topic", "webhooks.core"]);
    assert_eq!(done.code, Some(2));
    assert!(done.stderr.contains("round for ever"), "{}", done.stderr);
    let done = hook.run(&["relay", "--topics", "a", "--output-topic", "b"]);
    assert!(done.code == Some(2) && done.stderr.contains("no broker is named"), "{}", done.stderr);
    let done = hook.run(&["relay", "--topics", "a"]);
    assert!(done.code == Some(2) && done.stderr.contains("--output-topic"), "{}", done.stderr);
    let done = hook.run(&["relay"]);
    assert!(done.code == Some(2) && done.stderr.contains("relay_bridges"), "{}", done.stderr);

    // Nobody is there, and it says so, and stops when it is asked to.
    let mut hook = relay_without_brokers();
    hook.set_variable("KAFKA_BROKERS", &free_address().to_string());
    hook.set_variable("KAFKA_SECURITY_PROTOCOL", "plaintext");
    hook.set_variable("KAFKA_ALLOW_PLAINTEXT", "true");
    let bind = free_address();
    hook.spawn_with(&["relay", "--topics", "a", "--output-topic", "b", "--admin-bind", &bind.to_string()]);
    let ready = eventually("the relay to say that it waits", async || {
        let answer = reqwest::get(format!("http://{bind}/ready")).await.ok()?;
        (answer.status() == 503).then_some(answer.text().await.ok()?)
    })
    .await;
    assert!(ready.contains("\"waiting\""), "{ready}");
    let metrics = reqwest::get(format!("http://{bind}/metrics")).await.unwrap().text().await.unwrap();
    assert!(metrics.contains("hook_relay_waiting{bridge=\"relay\"} 1"), "{metrics}");
    hook.stop().await;
}

fn relay_without_brokers() -> Hook {
    Hook::new(|bind| contract(bind, &[]))
}
