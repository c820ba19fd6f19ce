//! `kill -9` at random moments under load: what was acknowledged is delivered.
//!
//! Senders retry what was not answered, with the same delivery id, as real ones do.
//! So at the end every delivery id must have arrived under exactly one event id;
//! that one may have arrived more than once, but only from the window of deliveries
//! that no saved cursor could know of yet.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::task::JoinSet;

use crate::support::{Delivery, Hook, Receiver, Sender, Sent, contract, eventually, figure, pause};

const ROUNDS: usize = 20;
const SENDERS: u64 = 8;
const SEED: u64 = 0x5eed_f4a1;
/// The contract's `max_in_flight`.
const WINDOW: usize = 16;
/// Cursors are saved every 50 ms; a busy machine may be late.
const SAVED_WITHIN: Duration = Duration::from_millis(500);
const SETTLES_WITHIN: Duration = Duration::from_millis(50);

/// One sender: where it stands, and what it was told.
#[derive(Clone)]
struct Progress {
    key: u64,
    /// The number that is sent next, or again.
    seq: u64,
    /// Event ids by number.
    acknowledged: BTreeMap<u64, String>,
    /// Numbers that were sent more than once, and found to be stored already.
    recognised: u64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_by_kill_nine() {
    let receiver = Receiver::start().await;
    let address = receiver.address;
    let keys = format!("body = \"payload\"\nmax_in_flight = {WINDOW}");
    let mut hook = Hook::new(move |bind| contract(bind, &[("out", address, keys.as_str())]));
    let mut senders: Vec<Progress> = (0..SENDERS).map(Progress::new).collect();
    let mut kills = Vec::new();
    let mut random = SEED;

    for _ in 0..ROUNDS {
        hook.start().await;
        let mut running = JoinSet::new();
        for sender in senders.drain(..) {
            running.spawn(sender.send_until_it_breaks(hook.address));
        }
        pause(Duration::from_millis(20 + next(&mut random) % 600)).await;
        hook.kill();
        let killed = Instant::now();
        senders = running.join_all().await;
        // What the dead process had sent may still be on its way to the receiver.
        pause(SETTLES_WITHIN).await;
        kills.push((killed, Instant::now()));
    }

    hook.start().await;
    let acknowledged: HashMap<String, (u64, u64)> = senders
        .iter()
        .flat_map(|sender| sender.acknowledged.iter().map(|(seq, id)| (id.clone(), (sender.key, *seq))))
        .collect();
    let delivered = eventually("every acknowledged event to be delivered", async || {
        let delivered = receiver.by_id();
        acknowledged.keys().all(|id| delivered.contains_key(id)).then_some(delivered)
    })
    .await;
    hook.stop().await;

    check_identity(&receiver.by_id(), &acknowledged);
    check_order(&receiver.taken());
    let (again, oldest) = explain_repetitions(&receiver.taken(), &kills);
    let recognised: u64 = senders.iter().map(|sender| sender.recognised).sum();
    assert!(acknowledged.len() > ROUNDS, "there was no load: {} events", acknowledged.len());
    figure(&format!(
        "kill -9, {ROUNDS} rounds: {} acknowledged, 0 lost; {} delivered, {again} of them again, \
         the oldest {} ms before its crash; {recognised} retries were recognised as stored already",
        acknowledged.len(),
        delivered.len(),
        oldest.as_millis(),
    ));
}

impl Progress {
    fn new(key: u64) -> Self {
        Self { key, seq: 0, acknowledged: BTreeMap::new(), recognised: 0 }
    }

    /// Closed loop until the connection breaks; the number that broke is kept.
    async fn send_until_it_breaks(mut self, to: SocketAddr) -> Self {
        let sender = Sender::new();
        loop {
            let (key, seq) = (self.key, self.seq);
            let body = format!(
                r#"{{"action":"opened","key":{key},"seq":{seq},"repository":{{"full_name":"acme/r{key}"}},"pull_request":{{"number":{key}}}}}"#
            );
            let request = sender.github(to, "pull_request", &format!("{key}-{seq}"), body.as_bytes());
            let Ok(answer) = request.send().await else { return self };
            let status = answer.status().as_u16();
            let Ok(body) = answer.bytes().await else { return self };
            assert!(status == 202 || status == 200, "{status}: {body:?}");
            let body: Value = serde_json::from_slice(&body).unwrap();
            let sent = Sent { status, body, retry_after: None };
            self.recognised += u64::from(status == 200);
            self.acknowledged.insert(seq, sent.id());
            self.seq += 1;
        }
    }
}

/// What the sender sent once is one event, whose id is the one it was told.
fn check_identity(delivered: &HashMap<String, Vec<Delivery>>, acknowledged: &HashMap<String, (u64, u64)>) {
    let mut ids: HashMap<(u64, u64), &str> = HashMap::new();
    for (id, deliveries) in delivered {
        let which = key_and_seq(&deliveries[0]);
        assert!(deliveries.iter().all(|delivery| key_and_seq(delivery) == which));
        let other = ids.insert(which, id);
        assert_eq!(other, None, "{which:?} was stored twice, as {id} too");
        // An event may be stored whose answer never arrived; then nobody was told an id.
        assert!(acknowledged.get(id).is_none_or(|told| *told == which));
    }
}

/// Whatever came again, each key's events first came in the order they were sent.
fn check_order(taken: &[Delivery]) {
    let mut next: HashMap<u64, u64> = HashMap::new();
    for delivery in taken.iter().filter(|delivery| delivery.status == 200) {
        let (key, seq) = key_and_seq(delivery);
        let next = next.entry(key).or_default();
        assert!(seq <= *next, "of key {key}, {seq} came before {next}");
        *next = (*next).max(seq + 1);
    }
}

/// Each repetition must follow a crash that came soon after the delivery before it,
/// in time or in count. Returns how many there were, and the longest such time.
fn explain_repetitions(taken: &[Delivery], kills: &[(Instant, Instant)]) -> (usize, Duration) {
    let mut last: HashMap<&str, usize> = HashMap::new();
    let (mut again, mut oldest) = (0, Duration::ZERO);
    for (index, delivery) in taken.iter().enumerate() {
        let Some(before) = last.insert(delivery.id(), index) else { continue };
        let earlier = &taken[before];
        let between = |(_, settled): &&(Instant, Instant)| earlier.at <= *settled && *settled <= delivery.at;
        let Some((killed, settled)) = kills.iter().find(between) else {
            panic!("{} came again without a crash between", delivery.id());
        };
        let age = killed.saturating_duration_since(earlier.at);
        let later = taken[before + 1..].iter().filter(|other| other.at <= *settled).count();
        assert!(
            age <= SAVED_WITHIN || later < WINDOW,
            "{} came again, though it had come {} ms and {later} deliveries before the crash",
            delivery.id(),
            age.as_millis(),
        );
        again += 1;
        oldest = oldest.max(age);
    }
    (again, oldest)
}

fn key_and_seq(delivery: &Delivery) -> (u64, u64) {
    let payload: Value = serde_json::from_slice(&delivery.body).unwrap();
    (payload["key"].as_u64().unwrap(), payload["seq"].as_u64().unwrap())
}

/// A linear congruential generator: the same moments in every run.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}
