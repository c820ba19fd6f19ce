//! Whether events can be stored, judged by what the last append came to.

use std::sync::{Mutex, PoisonError};

use hook_log::AppendError;
use jiff::{SignedDuration, Timestamp};

/// How long a failure that may pass keeps the process out of the rotation. After it the
/// process offers itself again: without traffic no append could ever prove recovery.
const TRIED_AGAIN_AFTER: SignedDuration = SignedDuration::from_secs(10);

/// What the last append came to.
#[derive(Default)]
pub(super) struct Health(Mutex<Option<Trouble>>);

struct Trouble {
    reason: String,
    since: Timestamp,
    lasting: bool,
}

impl Health {
    /// An append succeeded.
    pub(super) fn recovered(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// An append failed. One record being too large says nothing about the next.
    pub(super) fn failed(&self, error: &AppendError, now: Timestamp) {
        let lasting = match error {
            AppendError::TooLarge { .. } | AppendError::Refused(_) => return,
            AppendError::Full(_) | AppendError::Unavailable { .. } => false,
            AppendError::Poisoned(_) | AppendError::Closed => true,
        };
        self.note(error.to_string(), now, lasting);
    }

    /// Storing failed for a reason that may pass.
    pub(super) fn passing(&self, reason: &str, now: Timestamp) {
        self.note(reason.to_owned(), now, false);
    }

    /// Why events cannot be stored, if they cannot.
    pub(super) fn trouble(&self, now: Timestamp) -> Option<String> {
        let trouble = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let trouble = trouble.as_ref()?;
        let over = now.duration_since(trouble.since) >= TRIED_AGAIN_AFTER;
        (trouble.lasting || !over).then(|| trouble.reason.clone())
    }

    fn note(&self, reason: String, now: Timestamp, lasting: bool) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Trouble { reason, since: now, lasting });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_it_unready_and_for_how_long() {
        let at = |seconds: i64| Timestamp::from_second(1_753_000_000 + seconds).unwrap();
        let unavailable = AppendError::Unavailable { reason: "no broker".into(), after: None };
        for (error, at_once, later) in [
            (AppendError::TooLarge { size: 2, limit: 1 }, true, true),
            (AppendError::Full("no space".into()), false, true),
            (unavailable, false, true),
            (AppendError::Poisoned("fsync".into()), false, false),
            (AppendError::Closed, false, false),
        ] {
            let health = Health::default();
            health.failed(&error, at(0));
            assert_eq!(health.trouble(at(9)).is_none(), at_once, "{error}");
            assert_eq!(health.trouble(at(10)).is_none(), later, "{error}");
            health.recovered();
            assert_eq!(health.trouble(at(0)), None, "{error}");
        }
    }
}
