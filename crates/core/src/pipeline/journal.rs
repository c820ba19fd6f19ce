//! Writes attempt records to the log in the background.
//!
//! Delivery never waits for it: records that find the queue full, or whose append
//! fails, are counted and gone. What they tell is history and decides nothing.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use hook_log::{Log, Record, Topic};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    journal::{Attempt, TOPIC},
    metrics::Metrics,
};

/// Records that may wait to be written.
const QUEUE: usize = 8192;

/// Records in one append.
const BATCH: usize = 256;

/// How long a record may wait for others to share its append.
const LINGER: Duration = Duration::from_millis(20);

/// Where a delivery leaves its attempt records.
#[derive(Clone)]
pub struct Journal {
    queue: mpsc::Sender<Attempt>,
    metrics: Arc<Metrics>,
}

/// The other end, which writes them; it must be run.
pub struct JournalWriter {
    queue: mpsc::Receiver<Attempt>,
    log: Arc<dyn Log>,
    metrics: Arc<Metrics>,
}

impl Journal {
    /// A journal over `log`.
    pub fn new(log: Arc<dyn Log>, metrics: Arc<Metrics>) -> (Self, JournalWriter) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let writer = JournalWriter { queue: receiver, log, metrics: Arc::clone(&metrics) };
        (Self { queue: sender, metrics }, writer)
    }

    /// Leaves a record; never waits.
    pub fn record(&self, attempt: Attempt) {
        if self.queue.try_send(attempt).is_err() {
            self.metrics.journal_dropped(1);
        }
    }
}

impl JournalWriter {
    /// Writes until `stop`, or until every [`Journal`] is gone; then what is left.
    pub async fn run(mut self, stop: CancellationToken) {
        #[expect(clippy::expect_used, reason = "a constant that is a topic")]
        let topic = Topic::new(TOPIC).expect("a topic name");
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                () = stop.cancelled(), if !self.queue.is_closed() => self.queue.close(),
                first = self.queue.recv() => {
                    let Some(first) = first else { return };
                    batch.push(first);
                    self.gather(&mut batch).await;
                    self.write(&topic, std::mem::take(&mut batch)).await;
                }
            }
        }
    }

    async fn gather(&mut self, batch: &mut Vec<Attempt>) {
        let until = Instant::now() + LINGER;
        while batch.len() < BATCH {
            let left = BATCH - batch.len();
            let more = tokio::time::timeout_at(until, self.queue.recv_many(batch, left));
            if !matches!(more.await, Ok(1..)) {
                return;
            }
        }
    }

    async fn write(&self, topic: &Topic, batch: Vec<Attempt>) {
        let count = batch.len() as u64;
        let records = batch.iter().map(record).collect();
        if let Err(error) = self.log.append(topic, records).await {
            self.metrics.journal_dropped(count);
            tracing::warn!(%error, records = count, "attempt records could not be written");
        }
    }
}

fn record(attempt: &Attempt) -> Record {
    #[expect(clippy::expect_used, reason = "plain fields cannot fail to serialize")]
    let value = serde_json::to_vec(attempt).expect("an attempt is always JSON");
    Record { key: Bytes::copy_from_slice(attempt.event_id.as_bytes()), value: value.into() }
}

#[cfg(test)]
mod tests {
    use hook_log::{AppendError, MemoryLog};
    use jiff::Timestamp;

    use super::*;
    use crate::{journal::Outcome, testing};

    fn attempt(n: u32) -> Attempt {
        Attempt {
            event_id: testing::event(1, "push", b"{}").id,
            adapter: "out".into(),
            attempt: n,
            at: Timestamp::UNIX_EPOCH,
            millis: 3,
            outcome: Outcome::Delivered,
            status: Some(200),
            detail: None,
            redelivery: false,
        }
    }

    fn stored(log: &MemoryLog) -> Vec<u32> {
        let entries = log.entries(&Topic::new(TOPIC).unwrap());
        entries.iter().map(|e| serde_json::from_slice::<Attempt>(&e.value).unwrap().attempt).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn records_are_written_in_order_and_flushed_on_stop() {
        let log = MemoryLog::new();
        let (journal, writer) = Journal::new(Arc::new(log.clone()), Arc::new(Metrics::new()));
        let stop = CancellationToken::new();
        let running = tokio::spawn(writer.run(stop.clone()));
        (0..700).for_each(|n| journal.record(attempt(n)));
        tokio::time::advance(Duration::from_millis(100)).await;
        (700..705).for_each(|n| journal.record(attempt(n)));
        stop.cancel();
        running.await.unwrap();
        assert_eq!(stored(&log), (0..705).collect::<Vec<_>>());
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_written_is_counted_and_blocks_nobody() {
        let log = MemoryLog::new();
        let metrics = Arc::new(Metrics::new());
        let (journal, writer) = Journal::new(Arc::new(log.clone()), Arc::clone(&metrics));
        (0..QUEUE as u32 + 5).for_each(|n| journal.record(attempt(n)));
        assert!(metrics.render().contains("hook_journal_dropped_total 5\n"));
        log.fail_appends(AppendError::Full("no space".into()));
        drop(journal);
        writer.run(CancellationToken::new()).await;
        let all = QUEUE + 5;
        assert!(metrics.render().contains(&format!("hook_journal_dropped_total {all}\n")));
    }
}
