//! What an answer means for its event: settled, tried again, or given up.

use std::time::Duration;

use hook_event::DeadLetter;
use hook_sdk::Denial;
use tokio::time::Instant;

use super::{
    attempt::{Answer, Outcome},
    breaker::Failed,
    engine::Engine,
    letter::{Letter, Reason},
    note::{self, Subject},
    pending::{Last, Pending},
    status::LastError,
    window::Id,
};
use crate::{
    journal::{Attempt as Record, Outcome as Told},
    ports::{DeliverError, Delivered, Failure},
};

/// An event that finds nobody this often, while others are delivered in between,
/// is itself the cause: from then on finding nobody spends its attempts.
const STRIKES: u32 = 10;

impl Engine {
    /// An attempt is over.
    pub(super) fn answered(&mut self, answer: Answer) {
        let Answer { id, epoch, at, took, event, outcome } = answer;
        let Some(pending) = self.window.get_mut(id) else { return };
        let status = match &outcome {
            Outcome::Answered(Ok(delivered)) => delivered.status,
            Outcome::Answered(Err(error)) => error.failure().status,
            Outcome::Denied(_) => None,
        };
        pending.prepared = true;
        pending.event = Some(event);
        pending.last = Some(Last { at, took, status });
        match outcome {
            Outcome::Denied(denial) => self.denied(id, epoch, &denial),
            Outcome::Answered(Ok(delivered)) => self.delivered(id, epoch, delivered),
            Outcome::Answered(Err(error)) => {
                self.metrics.attempt_took(took);
                self.not_delivered(id, epoch, error);
            }
        }
    }

    /// A probe is over.
    pub(super) fn probed(&mut self, epoch: u64, result: Result<(), DeliverError>) {
        let now = Instant::now();
        match result {
            Err(DeliverError::Unavailable(failure)) => self.away(epoch, failure, false, now),
            Err(DeliverError::Halted(failure)) => self.away(epoch, failure, true, now),
            // A destination that answers, however badly, is there.
            Ok(()) | Err(DeliverError::Failed(_) | DeliverError::Refused(_)) => self.breaker.probed(epoch),
        }
        self.expire_waiting(now);
    }

    /// Nothing will be tried any more: a dead letter, or nothing if nobody requires it.
    pub(super) fn give_up(&mut self, id: Id, reason: Reason, error: &str, failure: Option<&Failure>) {
        let Some(pending) = self.window.get(id) else { return };
        // What is no event at all has no route that could waive it. A dead letter that is
        // given up must not become another one, or it would come round for ever.
        let waived = !pending.required && reason != Reason::Malformed;
        if waived || pending.position.topic == self.dead_letters {
            return self.dropped(id, reason, error, failure);
        }
        note::given_up(self.subject(pending), "dead_lettering", reason.as_str(), error);
        let letter = DeadLetter {
            adapter: Some(self.line.adapter.to_string()),
            event_id: pending.event.as_ref().map(|event| event.id),
            failed_at: self.clock.now(),
            error: quoted(error, failure),
            reason: reason.as_str().to_owned(),
            attempts: pending.attempts,
            status: failure.and_then(|failure| failure.status),
            position: pending.position.to_string(),
            envelope: pending.stored.clone(),
        };
        self.letters.push(Letter::new(id, pending.key.clone(), letter));
    }

    /// A dead letter is durable: now its event is settled.
    pub(super) fn dead_lettered(&mut self, letter: &Letter) {
        let Some(pending) = self.settle(letter.id) else { return };
        self.counts.dead_lettered += 1;
        self.metrics.dead_letter(pending.position.topic.as_str());
        self.record(&pending, Told::DeadLettered, letter.says());
    }

    /// Whether the event's deadline has passed.
    pub(super) fn is_expired(&self, id: Id, now: Instant) -> bool {
        self.window.get(id).is_some_and(|pending| expired(pending, self.policy.deadline, now))
    }

    fn delivered(&mut self, id: Id, epoch: u64, delivered: Delivered) {
        self.reached(epoch);
        let Some(mut pending) = self.settle(id) else { return };
        pending.attempts += 1;
        self.counts.delivered += 1;
        self.metrics.attempt_took(pending.last.map_or(Duration::ZERO, |last| last.took));
        if let Some(event) = &pending.event {
            let age = self.clock.now().duration_since(event.received_at);
            self.metrics.delivered(Duration::try_from(age).unwrap_or_default());
        }
        note::delivered(self.subject(&pending), pending.attempts);
        self.record(&pending, Told::Delivered, delivered.detail);
    }

    fn not_delivered(&mut self, id: Id, epoch: u64, error: DeliverError) {
        let now = Instant::now();
        let state = state(&error);
        self.failed_attempt(state, error.failure());
        if let Some(pending) = self.window.get(id) {
            note::not_delivered(self.subject(pending), state, pending.attempts + 1, error.failure());
        }
        match error {
            DeliverError::Failed(failure) => {
                self.reached(epoch);
                self.spend(id, failure, now);
            }
            DeliverError::Refused(failure) => {
                self.reached(epoch);
                self.count_attempt(id);
                self.give_up(id, Reason::Refused, &failure.reason, Some(&failure));
            }
            DeliverError::Unavailable(failure) => {
                self.away(epoch, failure.clone(), false, now);
                self.wait_for_destination(id, failure, now);
            }
            DeliverError::Halted(failure) => {
                self.tell(id, Told::Halted, &failure);
                self.away(epoch, failure, true, now);
                self.window.again(id);
            }
        }
    }

    fn denied(&mut self, id: Id, epoch: u64, denial: &Denial) {
        self.breaker.inconclusive(epoch);
        let failure = Failure::because(format!("the hook `{}` stopped it: {}", denial.hook, denial.reason));
        self.failed_attempt("hook_denied", &failure);
        self.give_up(id, Reason::HookDenied, &failure.reason, None);
    }

    /// The attempt counts. Another one follows if the budget and the deadline allow it.
    fn spend(&mut self, id: Id, failure: Failure, now: Instant) {
        let attempts = self.count_attempt(id);
        if attempts > self.policy.max_retries {
            let error = format!("{attempts} attempts failed, the last: {}", failure.reason);
            return self.give_up(id, Reason::Exhausted, &error, Some(&failure));
        }
        let wait = self.backoff.full(attempts, failure.after);
        let at = now + wait.max(failure.after.unwrap_or_default().min(FAR));
        let Some(pending) = self.window.get(id) else { return };
        if expired(pending, self.policy.deadline, at) {
            let error = format!("the deadline comes before the next attempt may: {}", failure.reason);
            return self.give_up(id, Reason::Expired, &error, Some(&failure));
        }
        self.tell(id, Told::Failed, &failure);
        self.window.later(id, now + wait);
    }

    /// The destination is not there: the event waits with all the others, and by
    /// itself once it is plain that only this event finds nobody.
    fn wait_for_destination(&mut self, id: Id, failure: Failure, now: Instant) {
        let delivered = self.counts.delivered;
        let Some(pending) = self.window.get_mut(id) else { return };
        if pending.mark.replace(delivered).is_some_and(|mark| mark < delivered) {
            pending.strikes += 1;
        }
        let strikes = pending.strikes;
        if strikes > STRIKES {
            return self.spend(id, failure, now);
        }
        self.tell(id, Told::Unavailable, &failure);
        match strikes {
            0 => self.window.again(id),
            strikes => self.window.later(id, now + self.backoff.full(strikes, failure.after)),
        }
    }

    fn expire_waiting(&mut self, now: Instant) {
        let Some(deadline) = self.policy.deadline else { return };
        for id in self.window.take_waiting(|pending| expired(pending, Some(deadline), now)) {
            self.give_up(id, Reason::Expired, "the deadline passed while the destination was away", None);
        }
    }

    fn dropped(&mut self, id: Id, reason: Reason, error: &str, failure: Option<&Failure>) {
        let Some(pending) = self.settle(id) else { return };
        note::given_up(self.subject(&pending), "dropped", reason.as_str(), error);
        self.counts.dropped += 1;
        self.metrics.dropped(reason.as_str());
        self.record(
            &pending,
            Told::Dropped,
            Some(format!("{}: {}", reason.as_str(), quoted(error, failure))),
        );
    }

    fn reached(&mut self, epoch: u64) {
        if self.breaker.reached(epoch) {
            self.metrics.breaker(0);
            note::back(&self.line.adapter);
        }
    }

    fn away(&mut self, epoch: u64, failure: Failure, halted: bool, now: Instant) {
        let reason = failure.reason.clone();
        let failed = Failed { reason: failure.reason, after: failure.after, halted };
        if self.breaker.away(epoch, failed, now) {
            note::away(&self.line.adapter, halted, &reason);
        }
        if let Some(outage) = self.breaker.outage() {
            self.metrics.breaker(if outage.halted { 2 } else { 1 });
        }
    }

    fn failed_attempt(&mut self, reason: &'static str, failure: &Failure) {
        self.counts.failed += 1;
        self.metrics.failed(reason);
        let error = LastError { at: self.clock.now(), reason: failure.reason.clone() };
        self.status.update(|status| status.last_error = Some(error));
    }

    fn count_attempt(&mut self, id: Id) -> u32 {
        let Some(pending) = self.window.get_mut(id) else { return 0 };
        pending.attempts += 1;
        pending.attempts
    }

    fn tell(&self, id: Id, told: Told, failure: &Failure) {
        if let Some(pending) = self.window.get(id) {
            self.record(pending, told, Some(failure.quoted_after(&failure.reason)));
        }
    }

    fn record(&self, pending: &Pending, outcome: Told, detail: Option<String>) {
        // A record that is no envelope has no id under which it could be found.
        let Some(event) = &pending.event else { return };
        let spent = matches!(outcome, Told::Unavailable | Told::Halted);
        self.journal.record(Record {
            event_id: event.id,
            adapter: self.line.adapter.to_string(),
            attempt: pending.attempts + u32::from(spent),
            at: pending.last.map_or_else(|| self.clock.now(), |last| last.at),
            millis: pending.last.map_or(0, |last| u64::try_from(last.took.as_millis()).unwrap_or(u64::MAX)),
            outcome,
            status: pending.last.and_then(|last| last.status),
            detail,
            redelivery: pending.redelivery,
        });
    }

    fn subject<'a>(&'a self, pending: &'a Pending) -> Subject<'a> {
        Subject { adapter: &self.line.adapter, position: &pending.position, event: pending.event.as_deref() }
    }
}

/// What is kept of a failure, with the destination's own words.
fn quoted(error: &str, failure: Option<&Failure>) -> String {
    failure.map_or_else(|| error.to_owned(), |failure| failure.quoted_after(error))
}

/// Keeps sums of times in range, whatever a destination wishes.
const FAR: Duration = Duration::from_secs(10 * 365 * 86_400);

fn expired(pending: &Pending, deadline: Option<Duration>, at: Instant) -> bool {
    let (Some(first), Some(deadline)) = (pending.first_attempt, deadline) else { return false };
    at.saturating_duration_since(first) >= deadline
}

fn state(error: &DeliverError) -> &'static str {
    match error {
        DeliverError::Unavailable(_) => "unavailable",
        DeliverError::Failed(_) => "failed",
        DeliverError::Refused(_) => "refused",
        DeliverError::Halted(_) => "halted",
    }
}
