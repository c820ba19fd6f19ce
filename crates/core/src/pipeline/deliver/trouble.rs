//! A log that cannot be read or committed to: when to try again, and what to say.

use std::time::Duration;

use hook_event::Entropy;
use hook_log::ReadError;
use tokio::time::Instant;

use super::backoff::Backoff;

/// A damaged log needs a person; it is tried again this rarely.
const DAMAGED_WAIT: Duration = Duration::from_secs(60);

/// Failures in a row of one kind of access.
pub(super) struct Trouble {
    failures: u32,
    retry_at: Option<Instant>,
    error: Option<String>,
    backoff: Backoff,
}

impl Trouble {
    pub(super) fn new(entropy: Entropy) -> Self {
        let backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10), entropy);
        Self { failures: 0, retry_at: None, error: None, backoff }
    }

    /// It failed.
    pub(super) fn noted(&mut self, error: &ReadError, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        let wait = match error {
            ReadError::Corrupt { .. } => DAMAGED_WAIT,
            ReadError::Unavailable(_) | ReadError::Io(_) | ReadError::NoTopic(_) | ReadError::Closed => {
                self.backoff.half(self.failures, None)
            }
        };
        self.retry_at = Some(now + wait);
        self.error = Some(error.to_string());
    }

    /// When it may be tried again; none for now.
    pub(super) fn retry_at(&self, now: Instant) -> Option<Instant> {
        self.retry_at.filter(|at| *at > now)
    }

    /// It succeeded.
    pub(super) fn over(&mut self) {
        self.failures = 0;
        self.retry_at = None;
        self.error = None;
    }

    /// What went wrong last, until it succeeds.
    pub(super) fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }
}
