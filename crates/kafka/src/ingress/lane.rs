//! One partition, record by record: the next is offered when the one before is settled.
//!
//! So order holds, an offset stands for everything before it, and a record that the
//! pipeline cannot take now is simply offered again. What waits behind it is counted, so
//! that the reader pauses the partition instead of the whole client.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicUsize, Ordering},
        mpsc as std_mpsc,
    },
    time::{Duration, Instant},
};

use hook_core::{
    ports::{Accept, RawEvent, Refusal, Refused, Transport},
    source::Pick,
};
use hook_event::Clock;
use http::Method;
use tokio::{runtime::Handle, sync::mpsc};
use tokio_util::sync::CancellationToken;

use super::record::Record;

/// The shortest and the longest wait before a record is offered again.
const AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// Records that may wait in one lane.
const MOST_WAITING: usize = 2048;

/// Gives records to the pipeline.
pub(super) struct Taker {
    pub(super) accept: Arc<dyn Accept>,
    pub(super) adapter: Arc<str>,
    pub(super) source: Pick,
    pub(super) transport: Transport,
    pub(super) clock: Clock,
}

/// The reader's side of a partition.
pub(super) struct Lane {
    records: mpsc::UnboundedSender<Record>,
    progress: Arc<Progress>,
    leave: CancellationToken,
    /// Disconnected when the lane has ended.
    ended: std_mpsc::Receiver<()>,
    pub(super) paused: bool,
    /// The offset that was stored last.
    stored: i64,
}

/// What both sides know.
#[derive(Default)]
struct Progress {
    /// The offset after the last settled one; 0 before the first.
    next: AtomicI64,
    waiting: AtomicUsize,
    bytes: AtomicUsize,
}

impl Lane {
    /// Begins with nothing to do.
    pub(super) fn start(taker: &Arc<Taker>, runtime: &Handle) -> Self {
        let (records, queue) = mpsc::unbounded_channel();
        let (end, ended) = std_mpsc::channel::<()>();
        let (progress, leave) = (Arc::<Progress>::default(), CancellationToken::new());
        let (taker, own, left) = (Arc::clone(taker), Arc::clone(&progress), leave.clone());
        runtime.spawn(async move {
            work(&taker, queue, &own, &left).await;
            drop(end);
        });
        Self { records, progress, leave, ended, paused: false, stored: 0 }
    }

    /// Puts a record behind those that wait.
    pub(super) fn push(&self, record: Record) {
        self.progress.waiting.fetch_add(1, Ordering::Relaxed);
        self.progress.bytes.fetch_add(record.size(), Ordering::Relaxed);
        // A lane that has ended is made anew, and reads again from its commit.
        let _ = self.records.send(record);
    }

    /// Whether so much waits that fetching should pause.
    pub(super) fn is_full(&self, most_bytes: usize) -> bool {
        self.waits() >= MOST_WAITING || self.progress.bytes.load(Ordering::Relaxed) >= most_bytes
    }

    /// Whether fetching should go on.
    pub(super) fn has_room(&self, most_bytes: usize) -> bool {
        self.waits() <= MOST_WAITING / 2 && self.progress.bytes.load(Ordering::Relaxed) <= most_bytes / 2
    }

    /// The next offset, if it moved since it was asked last.
    pub(super) fn take_next(&mut self) -> Option<i64> {
        let next = self.progress.next.load(Ordering::Acquire);
        (next > std::mem::replace(&mut self.stored, next)).then_some(next)
    }

    /// The next offset, if anything was settled.
    pub(super) fn next(&self) -> Option<i64> {
        Some(self.progress.next.load(Ordering::Acquire)).filter(|next| *next > 0)
    }

    /// Asks it to end after the record that it is at.
    pub(super) fn leave(&self) {
        self.leave.cancel();
    }

    /// Waits until it has ended; says whether it did in time. Blocks.
    pub(super) fn wait_until(&self, deadline: Instant) -> bool {
        let patience = deadline.saturating_duration_since(Instant::now());
        self.ended.recv_timeout(patience) == Err(std_mpsc::RecvTimeoutError::Disconnected)
    }

    /// Whether it ended without being asked to, which only a defect can do.
    pub(super) fn is_broken(&self) -> bool {
        !self.leave.is_cancelled() && self.ended.try_recv() == Err(std_mpsc::TryRecvError::Disconnected)
    }

    fn waits(&self) -> usize {
        self.progress.waiting.load(Ordering::Relaxed)
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.leave.cancel();
    }
}

async fn work(
    taker: &Taker,
    mut records: mpsc::UnboundedReceiver<Record>,
    progress: &Progress,
    leave: &CancellationToken,
) {
    while let Some(Some(record)) = leave.run_until_cancelled(records.recv()).await {
        if !taker.settle(&record, leave).await {
            return;
        }
        progress.next.store(record.offset + 1, Ordering::Release);
        progress.waiting.fetch_sub(1, Ordering::Relaxed);
        progress.bytes.fetch_sub(record.size(), Ordering::Relaxed);
    }
}

impl Taker {
    /// Offers a record until it is settled; false if the lane was left before.
    async fn settle(&self, record: &Record, leave: &CancellationToken) -> bool {
        while let Err(after) = self.attempt(record).await {
            let (shortest, longest) = AGAIN;
            let pause = leave.cancelled();
            if tokio::time::timeout(after.clamp(shortest, longest), pause).await.is_ok() {
                return false;
            }
        }
        true
    }

    /// Offers it once. The error says when to offer it again.
    async fn attempt(&self, record: &Record) -> Result<(), Duration> {
        let refusal = match self.offer(record).await {
            Ok(()) => return Ok(()),
            Err(Refusal::Unavailable { after, .. } | Refusal::RateLimited { after, .. }) => {
                return Err(after);
            }
            Err(refusal) => refusal,
        };
        let refused = Refused {
            adapter: Arc::clone(&self.adapter),
            position: record.position(),
            topic: record.topic.clone(),
            body: record.value.clone().unwrap_or_default(),
            refusal,
        };
        match self.accept.set_aside(refused).await {
            Ok(()) => Ok(()),
            Err(Refusal::Unavailable { after, .. }) => Err(after),
            Err(_) => Err(AGAIN.1),
        }
    }

    async fn offer(&self, record: &Record) -> Result<(), Refusal> {
        let request = record.request()?;
        let source = self.source.fill_from(&request.headers).ok_or_else(|| {
            Refusal::Malformed(format!("the record does not say its source, which is at `{}`", self.source))
        })?;
        let raw = RawEvent {
            source,
            adapter: Arc::clone(&self.adapter),
            method: Method::POST,
            path: format!("/{}", record.topic),
            query: None,
            headers: request.headers,
            body: request.body,
            transport: Some(self.transport.clone()),
            peer: None,
            received_at: self.clock.now(),
        };
        self.accept.accept(raw).await.map(drop)
    }
}
