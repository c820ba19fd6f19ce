//! Delivery as a receiver sees it: signatures, retries, a dead neighbour, order.

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::support::{Delivery, Hook, Receiver, Sender, contract, eventually, pause};

const BODY: &[u8] = br#"{"action":"opened",  "repository":{"full_name":"acme/api"}}"#;

fn body(key: u64, seq: u64) -> Vec<u8> {
    format!(r#"{{"seq":{seq},"repository":{{"full_name":"acme/r{key}"}}}}"#).into_bytes()
}

#[tokio::test]
async fn a_delivery_is_signed_by_standard_webhooks() {
    let receiver = Receiver::start().await;
    let address = receiver.address;
    let mut hook = Hook::new(move |bind| contract(bind, &[("out", address, "secret_env = \"OUT_SECRET\"")]));
    hook.set_variable("OUT_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    hook.start().await;
    let id = Sender::new().accepted(hook.address, "push", "1", BODY).await;
    let delivery = receiver.wait_for(1).await.remove(0);

    assert_eq!(delivery.id(), id);
    let key = base64("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(&key).unwrap();
    mac.update(format!("{id}.{}.", delivery.header("webhook-timestamp")).as_bytes());
    mac.update(&delivery.body);
    let signature = delivery.header("webhook-signature").strip_prefix("v1,").unwrap().to_owned();
    assert_eq!(base64(&signature), mac.finalize().into_bytes().to_vec());

    let envelope = String::from_utf8(delivery.body.to_vec()).unwrap();
    let payload = std::str::from_utf8(BODY).unwrap();
    assert!(envelope.ends_with(&format!("\"payload\":{payload}}}")), "the payload is untouched: {envelope}");
}

#[tokio::test]
async fn what_is_accepted_is_delivered_however_large() {
    let receiver = Receiver::start().await;
    let address = receiver.address;
    let hook = Hook::running(move |bind| contract(bind, &[("out", address, "body = \"payload\"")])).await;
    let sender = Sender::new();
    let mut sent = Vec::new();
    for size in [1_000_000, 1_048_576, 1_048_577, 5_000_000] {
        let body = format!("{{\"x\":\"{}\"}}", "x".repeat(size - 8)).into_bytes();
        assert_eq!(body.len(), size);
        let id = sender.accepted(hook.address, "push", &size.to_string(), &body).await;
        sent.push((id, body));
    }
    sender.accepted(hook.address, "push", "small", BODY).await;
    receiver.wait_for(sent.len() + 1).await;
    let taken = receiver.taken();
    for (id, body) in sent {
        let found = taken.iter().find(|delivery| delivery.id() == id);
        assert!(found.is_some_and(|delivery| delivery.body == body), "{} bytes", body.len());
    }
}

#[tokio::test]
async fn a_failure_is_tried_again_with_the_same_id_and_bytes() {
    let receiver = Receiver::start().await;
    let address = receiver.address;
    let hook = Hook::running(move |bind| contract(bind, &[("out", address, "")])).await;
    receiver.answer(500);
    let id = Sender::new().accepted(hook.address, "push", "1", BODY).await;
    receiver.wait_for(2).await;
    receiver.answer(200);
    eventually("the event to get through", async || receiver.by_id().contains_key(&id).then_some(())).await;
    let taken = receiver.taken();
    assert!(taken.iter().all(|delivery| delivery.id() == id && delivery.body == taken[0].body));

    let life = eventually("the attempts to be in the ledger", async || {
        let life = hook.life(&id)?;
        let delivered = life["attempts"].as_array()?.last()?["outcome"] == "delivered";
        delivered.then_some(life)
    })
    .await;
    let attempts = life["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), taken.len(), "{life:#}");
    assert_eq!(
        (attempts[0]["outcome"].as_str(), attempts[0]["status"].as_u64()),
        (Some("failed"), Some(500))
    );
}

#[tokio::test]
async fn a_dead_neighbour_delays_nobody_and_catches_up_in_order() {
    let (alive, mut dead) = (Receiver::start().await, Receiver::start().await);
    let (one, other) = (alive.address, dead.address);
    let keys = "body = \"payload\"";
    let hook =
        Hook::running(move |bind| contract(bind, &[("alive", one, keys), ("dead", other, keys)])).await;
    dead.die().await;
    let sender = Sender::new();
    for seq in 0..40 {
        sender.accepted(hook.address, "push", &format!("n-{seq}"), &body(seq % 4, seq)).await;
    }
    assert_eq!(alive.wait_for(40).await.len(), 40);
    let letters = hook.json(&["dlq", "list"]);
    assert_eq!(letters, serde_json::json!([]), "a destination that is not there costs no event");

    dead.revive().await;
    for receiver in [&alive, &dead] {
        let taken = receiver.wait_for(40).await;
        for key in 0..4 {
            let of_key = taken.iter().map(seq_of).filter(|seq| seq % 4 == key);
            assert!(of_key.is_sorted(), "key {key} is out of order");
        }
    }
}

#[tokio::test]
async fn a_restart_goes_on_where_it_stopped() {
    let mut receiver = Receiver::start().await;
    let address = receiver.address;
    let mut hook = Hook::running(move |bind| contract(bind, &[("out", address, "")])).await;
    let sender = Sender::new();
    let first = sender.accepted(hook.address, "push", "1", BODY).await;
    receiver.wait_for(1).await;
    receiver.die().await;
    let second = sender.accepted(hook.address, "push", "2", BODY).await;
    hook.stop().await;
    receiver.revive().await;
    hook.start().await;
    let third = sender.accepted(hook.address, "push", "3", BODY).await;
    receiver.wait_for(3).await;
    pause(Duration::from_millis(200)).await;
    let taken = receiver.taken();
    let ids: Vec<&str> = taken.iter().map(Delivery::id).collect();
    assert_eq!(ids, [first, second, third]);
}

fn seq_of(delivery: &Delivery) -> u64 {
    let payload: serde_json::Value = serde_json::from_slice(&delivery.body).unwrap();
    payload["seq"].as_u64().unwrap()
}

/// Decodes standard base64, by hand: nothing of this crate's own.
fn base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bits, mut count, mut out) = (0_u32, 0, Vec::new());
    for digit in text.bytes().filter(|byte| *byte != b'=') {
        bits = bits << 6 | u32::try_from(DIGITS.iter().position(|have| *have == digit).unwrap()).unwrap();
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push(u8::try_from(bits >> count & 0xff).unwrap());
        }
    }
    out
}
