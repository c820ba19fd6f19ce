//! Whether the destination is there.
//!
//! Closed: everything goes. Open: nothing goes until the probe's time. Half open:
//! one event goes, and what becomes of it closes or opens the breaker again. Only
//! attempts that began under the present state move it: answers of attempts that
//! began before an outage was known say nothing new about it. Pure: it is told the
//! time and sends nothing.

use std::time::Duration;

use hook_event::Entropy;
use tokio::time::Instant;

use super::backoff::Backoff;

/// A destination is asked at least this often whether it is back.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// A halted destination needs a person; asking it more often would be noise.
const HALTED_WAIT: Duration = Duration::from_secs(300);

/// One destination's breaker.
pub(super) struct Breaker {
    state: State,
    /// Changes with every state, so that old answers are recognised.
    epoch: u64,
    failures: u32,
    outage: Option<Outage>,
    backoff: Backoff,
}

/// What is known of an outage.
#[derive(Clone, Debug)]
pub(super) struct Outage {
    /// When it began.
    pub(super) since: Instant,
    /// What the destination, or the way to it, said last.
    pub(super) reason: String,
    /// Whether a person must act.
    pub(super) halted: bool,
    /// When it is asked again.
    pub(super) next_probe: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    Open,
    Probing,
    HalfOpen,
    Trial,
}

impl Breaker {
    pub(super) fn new(base: Duration, max: Duration, entropy: Entropy) -> Self {
        let backoff = Backoff::new(base.min(LONGEST_WAIT), max.min(LONGEST_WAIT), entropy);
        Self { state: State::Closed, epoch: 0, failures: 0, outage: None, backoff }
    }

    /// Whether one more attempt may begin.
    pub(super) fn admits(&self, in_flight: usize, max_in_flight: usize) -> bool {
        match self.state {
            State::Closed => in_flight < max_in_flight,
            State::HalfOpen => true,
            State::Open | State::Probing | State::Trial => false,
        }
    }

    /// An attempt begins; its answer comes back with this number.
    pub(super) fn begin(&mut self) -> u64 {
        if self.state == State::HalfOpen {
            self.state = State::Trial;
        }
        self.epoch
    }

    /// The destination answered an attempt, whatever it said of the event.
    /// True when that ends an outage.
    pub(super) fn reached(&mut self, epoch: u64) -> bool {
        if epoch != self.epoch || self.state != State::Trial {
            return false;
        }
        self.enter(State::Closed);
        self.failures = 0;
        self.outage = None;
        true
    }

    /// An attempt ended before it came to the destination.
    pub(super) fn inconclusive(&mut self, epoch: u64) {
        if epoch == self.epoch && self.state == State::Trial {
            self.state = State::HalfOpen;
        }
    }

    /// The destination was not there, or is `halted`. True when this begins an
    /// outage, or turns one into a halt.
    pub(super) fn away(&mut self, epoch: u64, failed: Failed, now: Instant) -> bool {
        if epoch != self.epoch || self.state == State::Open {
            return false;
        }
        self.failures = self.failures.saturating_add(1);
        let floor = if failed.halted { HALTED_WAIT } else { Duration::ZERO };
        let wait = self.backoff.half(self.failures, failed.after).max(floor);
        let news = self.outage.as_ref().is_none_or(|outage| failed.halted && !outage.halted);
        let since = self.outage.as_ref().map_or(now, |outage| outage.since);
        let Failed { reason, halted, .. } = failed;
        self.outage = Some(Outage { since, reason, halted, next_probe: now + wait });
        self.enter(State::Open);
        news
    }

    /// Whether it is time to probe; if so, the probe's number.
    pub(super) fn probe(&mut self, now: Instant) -> Option<u64> {
        let due = self.state == State::Open && self.next_probe().is_some_and(|at| at <= now);
        due.then(|| {
            self.enter(State::Probing);
            self.epoch
        })
    }

    /// The probe found the destination: one event may go.
    pub(super) fn probed(&mut self, epoch: u64) {
        if epoch == self.epoch && self.state == State::Probing {
            self.enter(State::HalfOpen);
        }
    }

    /// When the next probe is due, while the breaker is open.
    pub(super) fn next_probe(&self) -> Option<Instant> {
        self.outage.as_ref().filter(|_| self.state == State::Open).map(|outage| outage.next_probe)
    }

    /// The present outage.
    pub(super) fn outage(&self) -> Option<&Outage> {
        self.outage.as_ref()
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.epoch += 1;
    }
}

/// Why an attempt or a probe found nobody.
pub(super) struct Failed {
    pub(super) reason: String,
    pub(super) after: Option<Duration>,
    pub(super) halted: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    fn breaker() -> Breaker {
        Breaker::new(S(1), S(600), Entropy::of(|bytes| bytes.fill(0xff)))
    }

    fn away(after: Option<Duration>, halted: bool) -> Failed {
        Failed { reason: "connection refused".into(), after, halted }
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_ends_by_one_event() {
        let (mut breaker, now) = (breaker(), Instant::now());
        let epoch = breaker.begin();
        assert!(breaker.away(epoch, away(None, false), now));
        assert!(!breaker.admits(0, 8));
        assert_eq!(breaker.probe(now), None);
        let probe = breaker.probe(now + S(1)).unwrap();
        assert!(!breaker.admits(0, 8), "a probe is not an answer");
        breaker.probed(probe);
        assert!(breaker.admits(8, 8), "old attempts do not block the trial");
        let trial = breaker.begin();
        assert!(!breaker.admits(0, 8), "one event at a time");
        assert!(breaker.reached(trial));
        assert!(breaker.admits(7, 8) && !breaker.admits(8, 8));
    }

    #[tokio::test(start_paused = true)]
    async fn only_answers_of_this_outage_count() {
        let (mut breaker, now) = (breaker(), Instant::now());
        let (first, second) = (breaker.begin(), breaker.begin());
        breaker.away(first, away(None, false), now);
        let due = breaker.next_probe();
        assert!(!breaker.away(second, away(None, false), now));
        assert!(!breaker.reached(second));
        assert_eq!(breaker.next_probe(), due, "thirty failures at once are one outage");
    }

    #[tokio::test(start_paused = true)]
    async fn waits_grow_to_half_a_minute_and_honour_wishes() {
        let (mut breaker, mut now) = (breaker(), Instant::now());
        let mut waits = Vec::new();
        let mut epoch = breaker.begin();
        for after in [None, None, None, None, None, None, None, Some(S(90))] {
            breaker.away(epoch, away(after, false), now);
            let due = breaker.next_probe().unwrap();
            waits.push((due - now).as_secs_f64().round());
            now = due;
            epoch = breaker.probe(now).unwrap();
        }
        assert_eq!(waits, [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 90.0]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_halt_is_asked_about_rarely_and_is_news_once() {
        let (mut breaker, now) = (breaker(), Instant::now());
        let epoch = breaker.begin();
        assert!(breaker.away(epoch, away(None, true), now));
        assert_eq!(breaker.next_probe(), Some(now + S(300)));
        let probe = breaker.probe(now + S(300)).unwrap();
        assert!(!breaker.away(probe, away(None, true), now + S(300)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_trial_that_never_left_is_given_to_another_event() {
        let (mut breaker, now) = (breaker(), Instant::now());
        let epoch = breaker.begin();
        breaker.away(epoch, away(None, false), now);
        let probe = breaker.probe(now + S(2)).unwrap();
        breaker.probed(probe);
        let trial = breaker.begin();
        breaker.inconclusive(trial);
        assert!(breaker.admits(0, 8));
    }
}
