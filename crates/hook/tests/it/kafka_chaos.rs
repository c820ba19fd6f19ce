//! Serve, relay and smash as processes of their own on three brokers, and `kill -9`
//! of any of them, again and again, under load.
//!
//! What was acknowledged is delivered; what the relay carried is in the second topic
//! once. A sender's repetition may be stored twice when brokers die: an append whose
//! outcome nobody knows is answered 503, and then it may be there all the same.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use hook_broker::{Kafka, Options};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::support::{Hook, Receiver, Sender, contract, figure, free_address, pause};

const ROUNDS: usize = 20;
const SENDERS: u64 = 6;
const SEED: u64 = 0xca05_0aa5;
/// Everything is delivered within this after the last restart.
const SETTLED_WITHIN: Duration = Duration::from_secs(180);
/// How long a sender waits before it sends again what was not taken.
const AGAIN: Duration = Duration::from_millis(50);

const FIRST: &str = "webhooks.github";
const SECOND: &str = "webhooks.core";

/// The processes that are killed.
struct Roles {
    serve: Hook,
    relay: Hook,
    smash: Hook,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_whoever_is_killed() {
    let kafka = Arc::new(blocking(|| Kafka::start(Options::three_nodes()).unwrap()).await);
    let receiver = Receiver::start().await;
    let bind = free_address();
    let mut roles = Roles::start(&kafka, bind, receiver.address).await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut senders = JoinSet::new();
    for key in 0..SENDERS {
        senders.spawn(send(key, bind, Arc::clone(&stop)));
    }

    let mut random = SEED;
    let mut killed = BTreeMap::<&str, usize>::new();
    for round in 0..ROUNDS {
        pause(Duration::from_millis(300 + next(&mut random) % 1500)).await;
        let down = Duration::from_millis(next(&mut random) % 700);
        // Every one of the four is killed as often as the others, in an order of chance.
        let victim = (round as u64 + next(&mut random) % 2) % 4;
        *killed.entry(roles.kill_and_restart(&kafka, victim, down, &mut random).await).or_default() += 1;
    }
    pause(Duration::from_secs(1)).await;
    stop.store(true, Ordering::Relaxed);
    let acknowledged: BTreeSet<String> = senders.join_all().await.into_iter().flatten().collect();
    assert!(acknowledged.len() > 20 * ROUNDS, "there was no load: {} events", acknowledged.len());

    let since = Instant::now();
    let missing = loop {
        let delivered = receiver.by_id();
        let missing: Vec<&String> = acknowledged.iter().filter(|id| !delivered.contains_key(*id)).collect();
        if missing.is_empty() || since.elapsed() > SETTLED_WITHIN {
            break missing;
        }
        pause(Duration::from_millis(100)).await;
    };
    assert!(
        missing.is_empty(),
        "{} of {} were not delivered: {missing:?}",
        missing.len(),
        acknowledged.len()
    );
    let settled = since.elapsed();

    roles.stop().await;
    let (first, second) = (ids(&kafka, FIRST).await, ids(&kafka, SECOND).await);
    check_carried(&first, &second);
    let delivered = receiver.by_id();
    let again: usize = delivered.values().map(|deliveries| deliveries.len() - 1).sum();
    figure(&format!(
        "kill -9 on three brokers, {ROUNDS} rounds ({killed:?}): {} acknowledged, 0 lost, settled {} ms after the \
         last; {} stored, each carried once; {} delivered, {again} of them again",
        acknowledged.len(),
        settled.as_millis(),
        first.len(),
        delivered.len(),
    ));
}

impl Roles {
    async fn start(kafka: &Kafka, bind: SocketAddr, to: SocketAddr) -> Self {
        let bootstrap = kafka.bootstrap();
        let role = |name: &'static str| {
            let text = on_kafka(bind, to, &bootstrap);
            let mut hook = Hook::new(move |_| text.clone());
            for (variable, value) in [
                ("KAFKA_BROKERS", bootstrap.as_str()),
                ("KAFKA_SECURITY_PROTOCOL", "plaintext"),
                ("KAFKA_ALLOW_PLAINTEXT", "true"),
                ("KAFKA_TOPIC_REPLICATION_FACTOR", "3"),
            ] {
                hook.set_variable(variable, value);
            }
            hook.spawn_with(arguments(name));
            hook
        };
        let mut roles = Self { serve: role("serve"), relay: role("relay"), smash: role("smash") };
        roles.serve.address = bind;
        assert!(roles.serve.ready().await, "{}", roles.serve.stderr());
        roles
    }

    async fn kill_and_restart(
        &mut self,
        kafka: &Arc<Kafka>,
        victim: u64,
        down: Duration,
        random: &mut u64,
    ) -> &'static str {
        let (name, hook) = match victim {
            0 => ("serve", &mut self.serve),
            1 => ("relay", &mut self.relay),
            2 => ("smash", &mut self.smash),
            _ => {
                let node = usize::try_from(next(random) % 3).unwrap() + 1;
                let kafka = Arc::clone(kafka);
                kafka.kill(node).unwrap();
                pause(down).await;
                blocking(move || {
                    kafka.restart(node).unwrap();
                    kafka.wait_ready().unwrap();
                })
                .await;
                return "broker";
            }
        };
        hook.kill();
        pause(down).await;
        hook.spawn_with(arguments(name));
        name
    }

    async fn stop(&mut self) {
        for hook in [&mut self.serve, &mut self.relay, &mut self.smash] {
            hook.stop().await;
        }
    }
}

fn arguments(role: &str) -> &'static [&'static str] {
    match role {
        "relay" => &["relay", "--topics", FIRST, "--output-topic", SECOND],
        "smash" => &["smash"],
        _ => &["serve"],
    }
}

fn on_kafka(bind: SocketAddr, to: SocketAddr, brokers: &str) -> String {
    let brokers: Vec<&str> = brokers.split(',').collect();
    let keys = "body = \"payload\"\nmax_in_flight = 16";
    contract(bind, &[("out", to, keys)])
        .replace("target_topic = \"webhooks.core\"", &format!("target_topic = \"{FIRST}\""))
        + &format!(
            "\n[log]\nbackend = \"kafka\"\n\n[log.kafka]\nbrokers = {brokers:?}\nsecurity_protocol = \"plaintext\"\n\
             allow_plaintext = true\ntopic_replication_factor = 3\n"
        )
}

/// Closed loop; what was not taken is sent again with the same delivery id. The ids
/// that it was told.
async fn send(key: u64, to: SocketAddr, stop: Arc<AtomicBool>) -> Vec<String> {
    let sender = Sender::new();
    let mut acknowledged = Vec::new();
    let mut seq = 0;
    while !stop.load(Ordering::Relaxed) {
        let body = format!(
            r#"{{"action":"opened","key":{key},"seq":{seq},"repository":{{"full_name":"acme/r{key}"}},"pull_request":{{"number":{key}}}}}"#
        );
        let request = sender.github(to, "pull_request", &format!("{key}-{seq}"), body.as_bytes());
        let answer = match request.send().await {
            Ok(answer) if answer.status() == 202 || answer.status() == 200 => answer.bytes().await.ok(),
            Ok(answer) => {
                assert_eq!(answer.status(), 503, "{:?}", answer.text().await);
                None
            }
            Err(_) => None,
        };
        match answer.and_then(|body| serde_json::from_slice::<Value>(&body).ok()) {
            Some(body) => {
                acknowledged.push(body["id"].as_str().expect("an id").to_owned());
                seq += 1;
            }
            None => pause(AGAIN).await,
        }
    }
    acknowledged
}

/// Every record of the first topic is in the second one once, in the order of its key.
fn check_carried(first: &[(u64, u64, String)], second: &[(u64, u64, String)]) {
    let mut count: HashMap<&str, usize> = HashMap::new();
    second.iter().for_each(|(_, _, id)| *count.entry(id).or_default() += 1);
    let twice: Vec<_> = count.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "carried more than once: {twice:?}");
    let lost: Vec<_> = first.iter().filter(|(_, _, id)| !count.contains_key(id.as_str())).collect();
    assert!(lost.is_empty(), "not carried: {lost:?}");
    assert_eq!(first.len(), second.len());
    let in_order = |records: &[(u64, u64, String)], key| -> Vec<String> {
        records.iter().filter(|(of, _, _)| *of == key).map(|(_, _, id)| id.clone()).collect()
    };
    for key in 0..SENDERS {
        assert_eq!(in_order(first, key), in_order(second, key), "the order of key {key}");
    }
}

/// Key, number and id of every committed record of a topic; each key in its order.
async fn ids(kafka: &Arc<Kafka>, topic: &'static str) -> Vec<(u64, u64, String)> {
    let kafka = Arc::clone(kafka);
    let text = blocking(move || {
        let args = [
            "--topic",
            topic,
            "--from-beginning",
            "--isolation-level",
            "read_committed",
            "--timeout-ms",
            "8000",
        ];
        kafka.tool("org.apache.kafka.tools.consumer.ConsoleConsumer", &args, "").unwrap()
    })
    .await;
    let record = |line: &str| {
        let envelope: Value = serde_json::from_str(line).ok()?;
        let payload = &envelope["payload"];
        Some((payload["key"].as_u64()?, payload["seq"].as_u64()?, envelope["id"].as_str()?.to_owned()))
    };
    text.lines().filter_map(record).collect()
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

/// A linear congruential generator: the same choices in every run.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}
