//! The log in Kafka: roles as processes of their own, and brokers that go and come back.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use hook_broker::{Kafka, Options};

use crate::support::{Hook, Receiver, Sender, contract, eventually, free_address, pause};

/// Within which a sender is told that nothing can be stored.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);

async fn broker() -> Arc<Kafka> {
    let started = tokio::task::spawn_blocking(|| Kafka::start(Options::single_node()));
    Arc::new(started.await.unwrap().unwrap())
}

/// The contract of both roles.
fn over_kafka(
    kafka: &Kafka,
    receiver: SocketAddr,
) -> impl Fn(SocketAddr) -> String + Send + Sync + Clone + 'static {
    let brokers = kafka.bootstrap();
    move |bind| {
        let text = contract(bind, &[("out", receiver, "body = \"payload\"")]);
        format!(
            "{text}\n[log]\nbackend = \"kafka\"\n\n[log.kafka]\nbrokers = [\"{brokers}\"]\n\
             security_protocol = \"plaintext\"\nallow_plaintext = true\n"
        )
    }
}

async fn started(contract: impl Fn(SocketAddr) -> String + Send + Sync + 'static, role: &str) -> Hook {
    let mut hook = Hook::new(contract);
    hook.spawn(role);
    if role == "serve" {
        assert!(hook.ready().await, "{}", hook.stderr());
    }
    hook
}

fn body(seq: usize) -> Vec<u8> {
    format!(r#"{{"seq":{seq},"repository":{{"full_name":"acme/r{}"}}}}"#, seq % 7).into_bytes()
}

async fn ready(address: SocketAddr) -> u16 {
    match reqwest::get(format!("http://{address}/ready")).await {
        Ok(answer) => answer.status().as_u16(),
        Err(_) => 0,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_serve_accepts_smash_delivers_whoever_is_killed() {
    let (kafka, receiver, sender) = (broker().await, Receiver::start().await, Sender::new());
    let contract = over_kafka(&kafka, receiver.address);
    let mut serve = started(contract.clone(), "serve").await;
    let mut ids = Vec::new();
    for seq in 0..20 {
        ids.push(sender.accepted(serve.address, "push", &seq.to_string(), &body(seq)).await);
    }
    let mut first = started(contract.clone(), "smash").await;
    let second = started(contract.clone(), "smash").await;
    receiver.wait_for(20).await;
    for seq in 20..60 {
        ids.push(sender.accepted(serve.address, "push", &seq.to_string(), &body(seq)).await);
        if seq == 40 {
            first.kill();
        }
        if seq == 50 {
            serve.kill();
            serve.spawn("serve");
            assert!(serve.ready().await, "{}", serve.stderr());
        }
    }
    eventually("every event to be delivered", async || {
        let delivered = receiver.by_id();
        ids.iter().all(|id| delivered.contains_key(id)).then_some(())
    })
    .await;
    let again = sender.send(serve.address, "push", "20", &body(20)).await;
    assert_eq!((again.status, again.id()), (200, ids[20].clone()), "the ledger was built from Kafka");
    let status = serve.json(&["status"]);
    assert_eq!(
        (status["role"].as_str(), status["destinations"][0]["adapter"].as_str()),
        (Some("serve"), Some("out"))
    );
    eventually("the lag to be gone", async || {
        (serve.json(&["status"])["destinations"][0]["lag"] == 0).then_some(())
    })
    .await;
    drop(second);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_brokers_senders_are_told_and_with_them_all_goes_on() {
    let (kafka, receiver, sender) = (broker().await, Receiver::start().await, Sender::new());
    let contract = over_kafka(&kafka, receiver.address);
    let serve = started(contract.clone(), "serve").await;
    let _smash = started(contract, "smash").await;
    let before = sender.accepted(serve.address, "push", "before", &body(1)).await;
    receiver.wait_for(1).await;

    kafka.kill(1).unwrap();
    let began = Instant::now();
    let refused = sender.send(serve.address, "push", "lost", &body(2)).await;
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.retry_after.is_some(), "it does not say when to come back");
    assert!(began.elapsed() < ANSWERED_WITHIN, "it took {:?}", began.elapsed());
    eventually("readiness to say so", async || (ready(serve.address).await == 503).then_some(())).await;
    // Longer than a failed append alone would keep it so.
    pause(Duration::from_secs(12)).await;
    assert_eq!(ready(serve.address).await, 503, "it offers itself while nobody can store anything");

    let back = kafka.clone();
    let restarted = tokio::task::spawn_blocking(move || back.restart(1).and_then(|()| back.wait_ready()));
    restarted.await.unwrap().unwrap();
    eventually("readiness to come back", async || (ready(serve.address).await == 200).then_some(())).await;
    let stored = eventually("the retry to be stored", async || {
        let sent = sender.send(serve.address, "push", "lost", &body(2)).await;
        // The first attempt may have been stored after all; then this is its duplicate.
        matches!(sent.status, 200 | 202).then(|| sent.id())
    })
    .await;
    eventually("both to be delivered", async || {
        let delivered = receiver.by_id();
        (delivered.contains_key(&before) && delivered.contains_key(&stored)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_start_says_why() {
    let nobody = free_address();
    let unreachable = move |bind| {
        let text = contract(bind, &[]);
        format!("{text}\n[log]\nbackend = \"kafka\"\n")
    };
    let mut hook = Hook::new(unreachable);
    let done = hook.run(&["serve"]);
    assert_eq!(done.code, Some(2));
    assert!(done.stderr.contains("no broker is named"), "{}", done.stderr);
    hook.set_variable("KAFKA_BROKERS", &nobody.to_string());
    hook.set_variable("KAFKA_SECURITY_PROTOCOL", "plaintext");
    let done = hook.run(&["serve"]);
    assert_eq!(done.code, Some(2));
    assert!(done.stderr.contains("write `KAFKA_ALLOW_PLAINTEXT=true` as well"), "{}", done.stderr);
    hook.set_variable("KAFKA_ALLOW_PLAINTEXT", "true");
    let done = hook.run(&["serve"]);
    assert_eq!(done.code, Some(3), "{}", done.stderr);
    assert!(done.stderr.contains(&format!("cannot reach Kafka at {nobody}")), "{}", done.stderr);
    let done = hook.run(&["log", "verify"]);
    assert!(done.stderr.contains("this log is in Kafka"), "{}", done.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_of_a_role_needs_a_directory_of_its_own() {
    let (kafka, receiver) = (broker().await, Receiver::start().await);
    let serve = started(over_kafka(&kafka, receiver.address), "serve").await;
    let done = serve.run(&["serve"]);
    assert_eq!(done.code, Some(2), "{}", done.stderr);
    assert!(done.stderr.contains("is in use by `hook serve`"), "{}", done.stderr);
}
