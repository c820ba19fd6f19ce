//! Dead letters: durable before their events are settled.
//!
//! Letters that wait are written together, one append at a time. An append that
//! fails is tried again for as long as it takes; until then the events stay
//! unsettled. A letter that is larger than the log takes is written without its
//! envelope, which lies in the log at the position that the letter names.

use std::sync::Arc;

use bytes::Bytes;
use hook_event::{DeadLetter, Entropy};
use hook_log::{AppendError, Log, Record, Topic};
use tokio::time::Instant;

use super::{backoff::Backoff, window::Id};

/// Letters in one append.
const BATCH: usize = 64;

/// Bytes in one append, unless the first letter alone is larger.
const BATCH_BYTES: usize = 4 << 20;

/// Why an event is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    Refused,
    Exhausted,
    Expired,
    HookDenied,
    WhenFailed,
    Malformed,
    Unroutable,
}

/// One letter to write.
pub(super) struct Letter {
    /// The event's number in the window.
    pub(super) id: Id,
    key: Bytes,
    value: Bytes,
    /// The same without the envelope, and saying so.
    slim: DeadLetter,
    said: String,
}

/// The letters of one destination.
pub(super) struct Letters {
    waiting: Vec<Letter>,
    writing: usize,
    failures: u32,
    retry_at: Option<Instant>,
    error: Option<String>,
    backoff: Backoff,
}

impl Reason {
    /// The reason in the stored letter and in metrics.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Exhausted => "exhausted",
            Self::Expired => "expired",
            Self::HookDenied => "hook_denied",
            Self::WhenFailed => "when_failed",
            Self::Malformed => "malformed",
            Self::Unroutable => "unroutable",
        }
    }
}

impl Letter {
    pub(super) fn new(id: Id, key: Bytes, letter: DeadLetter) -> Self {
        let value = letter.encode();
        let said = format!("{}: {}", letter.reason, letter.error);
        let error = format!("{} (too large to be copied here, see its position)", letter.error);
        Self { id, key, value, said, slim: DeadLetter { envelope: Bytes::new(), error, ..letter } }
    }

    /// What happened, for the record.
    pub(super) fn says(&self) -> Option<String> {
        Some(self.said.clone())
    }

    fn record(&self) -> Record {
        Record { key: self.key.clone(), value: self.value.clone() }
    }

    fn cut_to(&mut self, limit: usize) {
        if self.record().size() > limit {
            self.value = self.slim.encode();
        }
    }
}

impl Letters {
    pub(super) fn new(entropy: Entropy) -> Self {
        let backoff =
            Backoff::new(std::time::Duration::from_millis(100), std::time::Duration::from_secs(10), entropy);
        Self { waiting: Vec::new(), writing: 0, failures: 0, retry_at: None, error: None, backoff }
    }

    pub(super) fn push(&mut self, letter: Letter) {
        self.waiting.push(letter);
    }

    /// The letters to write now, if there are any and none are being written.
    pub(super) fn take(&mut self, now: Instant) -> Option<Vec<Letter>> {
        if self.writing > 0 || self.waiting.is_empty() || self.retry_at.is_some_and(|at| at > now) {
            return None;
        }
        let mut bytes = 0;
        let fits = self.waiting.iter().take(BATCH).take_while(|letter| {
            bytes += letter.value.len();
            bytes <= BATCH_BYTES
        });
        let count = fits.count().max(1);
        self.writing = count;
        Some(self.waiting.drain(..count).collect())
    }

    /// They are durable.
    pub(super) fn written(&mut self) {
        self.writing = 0;
        self.failures = 0;
        self.retry_at = None;
        self.error = None;
    }

    /// They are not, and will be tried again.
    pub(super) fn not_written(&mut self, letters: Vec<Letter>, error: &AppendError, now: Instant) {
        self.writing = 0;
        self.failures = self.failures.saturating_add(1);
        self.retry_at = Some(now + self.backoff.half(self.failures, None));
        self.error = Some(error.to_string());
        self.waiting.splice(0..0, letters);
    }

    /// When the next try is due, if one is waited for.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.retry_at.filter(|_| self.writing == 0 && !self.waiting.is_empty())
    }

    /// Letters that are not durable yet.
    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.writing
    }

    /// Why the last append failed, until one succeeds.
    pub(super) fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }
}

/// One append of these letters, again without the envelopes that are too large.
pub(super) async fn write(
    log: Arc<dyn Log>,
    topic: Topic,
    mut letters: Vec<Letter>,
) -> (Vec<Letter>, Result<(), AppendError>) {
    let mut result = append(log.as_ref(), &topic, &letters).await;
    if let Err(AppendError::TooLarge { limit, .. }) = result {
        letters.iter_mut().for_each(|letter| letter.cut_to(limit));
        result = append(log.as_ref(), &topic, &letters).await;
    }
    (letters, result)
}

async fn append(log: &dyn Log, topic: &Topic, letters: &[Letter]) -> Result<(), AppendError> {
    log.append(topic, letters.iter().map(Letter::record).collect()).await.map(drop)
}
