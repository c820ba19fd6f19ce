//! The load: senders with a connection each.
//!
//! *Closed loop*: every sender sends its next event when the last was answered;
//! that shows capacity. *Open loop*: events are due at fixed times whether or not
//! earlier ones were answered, and their latency counts from when they were due,
//! so that a stall cannot hide the events that it held up.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, bail};
use tokio::{task::JoinSet, time::Instant};

use crate::{
    payload,
    wire::{Message, Wire},
};

/// Whoever does not answer within this fails the measurement.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// How long a sender waits that was told to come back; less than `Retry-After` says,
/// so that what is measured is the server's pace and not the sender's patience.
const SENT_BACK: Duration = Duration::from_millis(100);

/// Each run's events have delivery ids of their own.
static RUNS: AtomicU64 = AtomicU64::new(1);

/// How much is sent.
#[derive(Clone, Copy)]
pub(crate) enum Until {
    /// For this long.
    Elapsed(Duration),
    /// This many events.
    Sent(u64),
}

/// What is sent, where to, by how many.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) to: SocketAddr,
    pub(crate) connections: u64,
    pub(crate) bytes: usize,
    pub(crate) until: Until,
    /// Events a second for an open loop; none is a closed loop.
    pub(crate) rate: Option<f64>,
}

/// An accepted event.
pub(crate) struct Answer {
    pub(crate) id: String,
    pub(crate) at: Instant,
}

/// What came of it.
#[derive(Default)]
pub(crate) struct Outcome {
    /// Accepted events, by the time of their answer.
    pub(crate) answers: Vec<Answer>,
    /// From when each was due (or sent) to its answer, sorted.
    pub(crate) latencies: Vec<Duration>,
    /// Answers 503, after each of which the same event was sent again.
    pub(crate) sent_back: u64,
    /// Answers other than 202 and 503, by status.
    pub(crate) refused: BTreeMap<u16, u64>,
    pub(crate) took: Duration,
}

/// What the senders of one run share.
struct Run {
    load: Load,
    number: u64,
    started: Instant,
    next: AtomicU64,
}

impl Load {
    /// Sends it all.
    pub(crate) async fn run(self) -> Result<Outcome> {
        let number = RUNS.fetch_add(1, Ordering::Relaxed);
        let run = Arc::new(Run { load: self, number, started: Instant::now(), next: AtomicU64::new(0) });
        let mut senders = JoinSet::new();
        for key in 0..self.connections {
            senders.spawn(run.clone().sender(key));
        }
        let mut all = Outcome::default();
        while let Some(outcome) = senders.join_next().await {
            all.add(outcome??);
        }
        all.took = run.started.elapsed();
        all.latencies.sort_unstable();
        Ok(all)
    }
}

impl Run {
    async fn sender(self: Arc<Self>, key: u64) -> Result<Outcome> {
        let mut wire = Wire::connect(self.load.to).await?;
        let mut outcome = Outcome::default();
        let mut seq = 0;
        while let Some(due) = self.next_due().await {
            // The run's number keeps keys of different runs apart.
            let request = payload::request(self.number, self.number * 1000 + key, seq, self.load.bytes);
            seq += 1;
            let answer = loop {
                let answer = ask(&mut wire, &request).await?;
                if answer.status()? != 503 {
                    break answer;
                }
                outcome.sent_back += 1;
                tokio::time::sleep_until(Instant::now() + SENT_BACK).await;
            };
            let at = Instant::now();
            match answer.status()? {
                202 => outcome.answers.push(Answer { id: id_of(&answer.body), at }),
                status => *outcome.refused.entry(status).or_default() += 1,
            }
            outcome.latencies.push(at - due);
        }
        Ok(outcome)
    }

    /// Waits for the next event's turn; none when all were sent.
    async fn next_due(&self) -> Option<Instant> {
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
        let due = match self.load.rate {
            Some(rate) => self.started + Duration::from_secs_f64(index as f64 / rate),
            None => Instant::now(),
        };
        let over = match self.load.until {
            Until::Elapsed(limit) => due > self.started + limit,
            Until::Sent(limit) => index >= limit,
        };
        if over {
            return None;
        }
        tokio::time::sleep_until(due).await;
        Some(due)
    }
}

async fn ask(wire: &mut Wire, request: &[u8]) -> Result<Message> {
    wire.write(request).await?;
    let answer = tokio::time::timeout(ANSWER_WITHIN, wire.read()).await.context("no answer")??;
    answer.context("the connection was closed")
}

impl Outcome {
    fn add(&mut self, other: Self) {
        self.answers.extend(other.answers);
        self.latencies.extend(other.latencies);
        self.sent_back += other.sent_back;
        for (status, count) in other.refused {
            *self.refused.entry(status).or_default() += count;
        }
    }

    pub(crate) fn accepted(&self) -> u64 {
        self.answers.len() as u64
    }

    /// `, sent back 17 times`, or nothing.
    pub(crate) fn sent_back(&self) -> String {
        if self.sent_back == 0 { String::new() } else { format!(", sent back {} times", self.sent_back) }
    }

    /// An error unless every event was accepted in the end.
    pub(crate) fn all_accepted(self) -> Result<Self> {
        if self.refused.is_empty() && !self.answers.is_empty() {
            return Ok(self);
        }
        bail!("{} events were accepted, others refused (by status: {:?})", self.answers.len(), self.refused)
    }
}

/// The `id` of an answer's JSON.
fn id_of(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let rest = text.split_once("\"id\":\"").map_or("", |(_, rest)| rest);
    rest.split('"').next().unwrap_or_default().to_owned()
}
