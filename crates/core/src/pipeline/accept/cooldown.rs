//! Cooldown: after an event about a subject, others about it are dropped for a while.
//!
//! Off unless the contract asks for it, because it drops. Only a stored event starts
//! it, so a failed append never costs the next event its place.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};

/// Subjects remembered at most. When more are warm at once, the rest have no cooldown:
/// memory stays bounded, and what gives way is the dropping.
const MOST_SUBJECTS: usize = 65_536;

/// When each subject of one source last had an event stored.
pub(super) struct Cooldown {
    length: SignedDuration,
    stored: Mutex<HashMap<String, Timestamp>>,
}

/// One subject's part in a cooldown.
pub(super) struct Subject {
    pub(super) cooldown: Arc<Cooldown>,
    pub(super) name: String,
}

impl Subject {
    /// Whether an event about it is to be dropped now.
    pub(super) fn is_warm(&self, now: Timestamp) -> bool {
        self.cooldown.is_warm(&self.name, now)
    }

    /// An event about it was stored.
    pub(super) fn start(&self, now: Timestamp) {
        self.cooldown.start(&self.name, now);
    }
}

impl Cooldown {
    /// `None` when the length is zero: off.
    pub(super) fn new(length: Duration) -> Option<Self> {
        let length = SignedDuration::try_from(length).unwrap_or(SignedDuration::MAX);
        (!length.is_zero()).then(|| Self { length, stored: Mutex::default() })
    }

    fn is_warm(&self, subject: &str, now: Timestamp) -> bool {
        let stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        stored.get(subject).is_some_and(|last| self.covers(*last, now))
    }

    fn start(&self, subject: &str, now: Timestamp) {
        let mut stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        if stored.len() >= MOST_SUBJECTS && !stored.contains_key(subject) {
            stored.retain(|_, last| self.covers(*last, now));
            if stored.len() >= MOST_SUBJECTS {
                return;
            }
        }
        stored.insert(subject.to_owned(), now);
    }

    /// A clock that was set back ends a cooldown rather than prolonging it.
    fn covers(&self, last: Timestamp, now: Timestamp) -> bool {
        let since = now.duration_since(last);
        !since.is_negative() && since < self.length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_753_000_000 + seconds).unwrap()
    }

    #[test]
    fn it_lasts_as_long_as_it_says() {
        assert!(Cooldown::new(Duration::ZERO).is_none());
        let cooldown = Cooldown::new(Duration::from_secs(30)).unwrap();
        cooldown.start("acme/api#1", at(0));
        for (subject, seconds, warm) in [
            ("acme/api#1", 0, true),
            ("acme/api#1", 29, true),
            ("acme/api#1", 30, false),
            ("acme/api#1", -1, false),
            ("acme/api#2", 1, false),
        ] {
            assert_eq!(cooldown.is_warm(subject, at(seconds)), warm, "{subject} after {seconds} s");
        }
    }

    #[test]
    fn its_memory_is_bounded() {
        let cooldown = Cooldown::new(Duration::from_secs(30)).unwrap();
        for n in 0..MOST_SUBJECTS + 10 {
            cooldown.start(&n.to_string(), at(0));
        }
        assert_eq!(cooldown.stored.lock().unwrap().len(), MOST_SUBJECTS);
        cooldown.start("later", at(60));
        assert!(cooldown.is_warm("later", at(60)), "cold subjects made room");
    }
}
