//! How long to wait before the next try.
//!
//! Retries of events take full jitter (anything from nothing to the ceiling), so
//! that a thousand events that failed together do not come back together. Probes
//! of a destination take half, because a probe after nothing asks too often.

use std::time::Duration;

use hook_event::Entropy;

/// What a destination asks for (`Retry-After`) is honoured up to here: a longer
/// wish would hold the log's commit for as long.
pub(in crate::pipeline) const LONGEST_WISH: Duration = Duration::from_secs(3600);

/// Doubling waits between a base and a ceiling.
#[derive(Clone, Copy, Debug)]
pub(in crate::pipeline) struct Backoff {
    base: Duration,
    max: Duration,
    entropy: Entropy,
}

impl Backoff {
    pub(in crate::pipeline) fn new(base: Duration, max: Duration, entropy: Entropy) -> Self {
        Self { base, max: max.max(base), entropy }
    }

    /// Before try `n + 1`, when `n` (from 1) have failed; `after` is the destination's wish.
    pub(in crate::pipeline) fn full(&self, n: u32, after: Option<Duration>) -> Duration {
        wished(self.ceiling(n).mul_f64(self.entropy.fraction()), after)
    }

    /// As [`Self::full`], but never less than half the ceiling.
    pub(in crate::pipeline) fn half(&self, n: u32, after: Option<Duration>) -> Duration {
        wished(self.ceiling(n).mul_f64(0.5 + self.entropy.fraction() / 2.0), after)
    }

    fn ceiling(&self, n: u32) -> Duration {
        let factor = 1_u32.checked_shl(n.saturating_sub(1)).unwrap_or(u32::MAX);
        self.base.saturating_mul(factor).min(self.max)
    }
}

fn wished(wait: Duration, after: Option<Duration>) -> Duration {
    wait.max(after.unwrap_or_default().min(LONGEST_WISH))
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    #[test]
    fn waits_double_up_to_the_ceiling() {
        let most = Backoff::new(S(1), S(300), Entropy::of(|bytes| bytes.fill(0xff)));
        for (n, about) in [(1, 1), (2, 2), (3, 4), (9, 256), (10, 300), (60, 300), (u32::MAX, 300)] {
            assert!(most.full(n, None).abs_diff(S(about)) < Duration::from_millis(1), "{n}");
        }
        let least = Backoff::new(S(1), S(300), Entropy::of(|bytes| bytes.fill(0)));
        assert_eq!((least.full(5, None), least.half(5, None)), (S(0), S(8)));
    }

    #[test]
    fn a_wish_is_the_least_wait_but_not_for_ever() {
        let backoff = Backoff::new(S(1), S(2), Entropy::SYSTEM);
        assert_eq!(backoff.full(1, Some(S(90))), S(90));
        assert_eq!(backoff.half(1, Some(S(1 << 40))), LONGEST_WISH);
    }

    #[test]
    fn events_that_failed_together_do_not_come_back_together() {
        let backoff = Backoff::new(S(60), S(600), Entropy::SYSTEM);
        let mut waits: Vec<_> = (0..100).map(|_| backoff.full(1, None)).collect();
        waits.sort();
        waits.dedup();
        assert!(waits.len() > 90 && waits[99 - (100 - waits.len())] - waits[0] > S(20), "{waits:?}");
    }
}
