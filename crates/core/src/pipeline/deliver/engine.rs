//! One destination's loop: read, try, settle, commit. The one place that waits.

use std::{future::pending, sync::Arc, time::Duration};

use bytes::Bytes;
use hook_event::{Clock, DeadLetter, DecodeError, Event};
use hook_log::{Entry, Log, Next, ReadError, Start, Subscription, Topic};
use tokio::{
    task::{JoinError, JoinSet},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    DeliverContext,
    attempt::{Answer, Attempt, Line},
    backoff::Backoff,
    breaker::{Breaker, Outage},
    handover::Handover,
    lanes::Lanes,
    letter::{self, Letter, Letters, Reason},
    note,
    pending::Pending,
    route::{Judgement, Routes},
    status::{DestinationStatus, State},
    trouble::Trouble,
    window::{Id, Window},
};
use crate::{
    metrics::DestinationMetrics,
    pipeline::journal::Journal,
    plan::{DeliveryPolicy, Ordering, StartFrom},
    ports::{DeliverError, RunError},
};

/// Events read and not settled at once, and their bytes.
const MOST_UNSETTLED: usize = 4096;
const MOST_BYTES: usize = 16 << 20;

/// In strict order nothing passes, so reading far ahead is of no use.
const MOST_UNSETTLED_STRICT: usize = 256;

/// Events read beyond the first one that is not settled. It bounds what is
/// delivered twice after a crash.
const LONGEST_SPAN: usize = 16_384;

/// Events in one read.
const MOST_READ: usize = 256;

/// How long a stop waits for attempts under way.
const DRAIN: Duration = Duration::from_secs(10);

/// Everything one destination's delivery knows.
pub(super) struct Engine {
    pub(super) line: Arc<Line>,
    pub(super) policy: DeliveryPolicy,
    pub(super) backoff: Backoff,
    pub(super) window: Window<Pending>,
    pub(super) breaker: Breaker,
    pub(super) letters: Letters,
    pub(super) counts: Counts,
    pub(super) status: Arc<DestinationStatus>,
    pub(super) metrics: DestinationMetrics,
    pub(super) journal: Journal,
    pub(super) clock: Clock,
    pub(super) lanes: Lanes,
    pub(super) handover: Option<Handover>,
    routes: Routes,
    tasks: JoinSet<Done>,
    in_flight: usize,
    log: Arc<dyn Log>,
    group: String,
    pub(super) dead_letters: Topic,
    reading: Trouble,
    committing: Trouble,
    largest: usize,
}

/// Totals since the start.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) delivered: u64,
    pub(super) failed: u64,
    pub(super) dead_lettered: u64,
    pub(super) dropped: u64,
}

/// What a task came back with.
enum Done {
    Attempt(Answer),
    Probe(u64, Result<(), DeliverError>),
    Letters(Vec<Letter>, Result<(), hook_log::AppendError>),
}

impl Engine {
    pub(super) fn new(line: Line, routes: Routes, policy: DeliveryPolicy, context: DeliverContext) -> Self {
        let entropy = context.entropy;
        let adapter = Arc::clone(&line.adapter);
        Self {
            backoff: Backoff::new(policy.backoff_base, policy.backoff_max, entropy),
            window: Window::new(),
            breaker: Breaker::new(policy.backoff_base, policy.backoff_max, entropy),
            letters: Letters::new(entropy),
            counts: Counts::default(),
            status: Arc::new(DestinationStatus::new(&adapter)),
            metrics: context.metrics.destination(&adapter),
            journal: context.journal,
            clock: context.clock,
            lanes: Lanes::default(),
            handover: None,
            tasks: JoinSet::new(),
            in_flight: 0,
            log: context.log,
            group: format!("hook.{}.{adapter}", context.app_id),
            dead_letters: context.dead_letters,
            reading: Trouble::new(entropy),
            committing: Trouble::new(entropy),
            largest: 1,
            line: Arc::new(line),
            routes,
            policy,
        }
    }

    pub(super) fn status(&self) -> Arc<DestinationStatus> {
        Arc::clone(&self.status)
    }

    pub(super) async fn run(mut self, stop: CancellationToken) -> Result<(), RunError> {
        let Some(mut subscription) = self.subscribe(&stop).await? else {
            self.stopped();
            return Ok(());
        };
        loop {
            self.shed();
            self.advance();
            self.commit(subscription.as_mut()).await;
            self.hand_over();
            self.publish();
            let (wake, reads, room) = (self.wake(), self.reads(), self.room());
            tokio::select! {
                () = stop.cancelled() => break,
                Some(done) = self.tasks.join_next() => self.finish(done)?,
                next = subscription.next(room), if reads => self.read(next)?,
                () = until(wake) => {}
            }
        }
        self.drain(subscription.as_mut()).await
    }

    /// Joins the group, for as long as that takes.
    async fn subscribe(
        &mut self,
        stop: &CancellationToken,
    ) -> Result<Option<Box<dyn Subscription>>, RunError> {
        loop {
            let start = start(self.policy.start_from);
            match self.log.subscribe(&self.group, self.routes.topics(), start).await {
                Ok(subscription) => {
                    self.reading.over();
                    let committed = self.log.committed(&self.group).await.unwrap_or_default();
                    self.status.update(|status| status.committed = committed);
                    return Ok(Some(subscription));
                }
                Err(error) => self.not_read("subscribing", &error)?,
            }
            self.publish();
            tokio::select! {
                () = stop.cancelled() => return Ok(None),
                () = until(self.reading.retry_at(Instant::now())) => {}
            }
        }
    }

    /// Starts everything that can start now.
    fn advance(&mut self) {
        let now = Instant::now();
        self.window.promote(now);
        self.write_letters(now);
        if let Some(epoch) = self.breaker.probe(now) {
            let line = Arc::clone(&self.line);
            self.tasks.spawn(async move { Done::Probe(epoch, line.probe().await) });
        }
        while self.breaker.admits(self.in_flight, self.policy.max_in_flight.max(1)) {
            let Some(id) = self.window.take() else { break };
            self.start(id, now);
        }
        self.write_letters(now);
    }

    fn start(&mut self, id: Id, now: Instant) {
        if self.is_expired(id, now) {
            return self.give_up(id, Reason::Expired, "the deadline passed while it waited", None);
        }
        let Some(pending) = self.window.get_mut(id) else { return };
        let Some(event) = pending.event.clone() else { return };
        pending.first_attempt.get_or_insert(now);
        if pending.last.is_some() {
            self.metrics.retried();
        }
        let attempt = Attempt { id, epoch: self.breaker.begin(), event, prepared: pending.prepared };
        let line = Arc::clone(&self.line);
        self.in_flight += 1;
        self.tasks.spawn(async move { Done::Attempt(line.attempt(attempt).await) });
    }

    fn write_letters(&mut self, now: Instant) {
        let Some(letters) = self.letters.take(now) else { return };
        let (log, topic) = (Arc::clone(&self.log), self.dead_letters.clone());
        self.tasks.spawn(async move {
            let (letters, result) = letter::write(log, topic, letters).await;
            Done::Letters(letters, result)
        });
    }

    /// Takes in a finished task, and every other that is finished too, so that
    /// they share one commit.
    fn finish(&mut self, done: Result<Done, JoinError>) -> Result<(), RunError> {
        let mut next = Some(done);
        while let Some(done) = next {
            match done.map_err(|error| RunError(format!("a delivery task broke: {error}")))? {
                Done::Attempt(answer) => {
                    self.in_flight -= 1;
                    self.answered(answer);
                }
                Done::Probe(epoch, result) => self.probed(epoch, result),
                Done::Letters(letters, result) => self.letters_done(letters, result),
            }
            next = self.tasks.try_join_next();
        }
        Ok(())
    }

    fn letters_done(&mut self, letters: Vec<Letter>, result: Result<(), hook_log::AppendError>) {
        match result {
            Ok(()) => {
                self.letters.written();
                letters.iter().for_each(|letter| self.dead_lettered(letter));
            }
            Err(error) => {
                note::log_failed(&self.line.adapter, "writing dead letters", &error);
                self.letters.not_written(letters, &error, Instant::now());
            }
        }
    }

    fn read(&mut self, next: Result<Next, ReadError>) -> Result<(), RunError> {
        match next {
            Ok(Next::Revoked(lanes)) => {
                self.reading.over();
                self.revoked(lanes);
                Ok(())
            }
            Ok(Next::Entries(entries)) => {
                self.reading.over();
                self.largest = entries.iter().map(|entry| entry.value.len()).max().unwrap_or(1).max(1);
                entries.into_iter().for_each(|entry| self.admit(entry));
                Ok(())
            }
            Err(error) => self.not_read("reading", &error),
        }
    }

    /// Takes an event into the window, or settles it if nobody here wants it.
    fn admit(&mut self, entry: Entry) {
        let Some(ticket) = self.lanes.admit(&entry.position) else { return };
        self.metrics.consumed(entry.position.topic.as_str(), 1);
        let decoded = self.decode(&entry);
        let redelivery = self.routes.is_redelivery(&entry.position.topic);
        let bytes = entry.value.len() + entry.key.len();
        let mut pending = Pending::new(ticket, entry, redelivery);
        let event = match decoded {
            Ok(event) => event,
            Err(error) => {
                let id = self.window.admit_taken(bytes, pending);
                return self.give_up(id, Reason::Malformed, &error.to_string(), None);
            }
        };
        match self.routes.judge(&pending.position.topic, &event) {
            Judgement::Unwanted => self.lanes.settle(ticket),
            Judgement::Wanted { required } => {
                pending.required = required;
                let key = self.key(&event);
                pending.event = Some(Arc::new(event));
                self.window.admit(key, bytes, pending);
            }
            Judgement::WhenFailed { required, error } => {
                pending.required = required;
                pending.event = Some(Arc::new(event));
                let id = self.window.admit_taken(bytes, pending);
                self.give_up(id, Reason::WhenFailed, &error, None);
            }
        }
    }

    /// A route may name the dead letters' topic: then it is given the events in them.
    fn decode(&self, entry: &Entry) -> Result<Event, DecodeError> {
        match entry.position.topic == self.dead_letters {
            true => Event::decode(&DeadLetter::decode(&entry.value)?.envelope),
            false => Event::decode(&entry.value),
        }
    }

    /// What the event must stay in order with; none for nothing.
    fn key(&self, event: &Event) -> Option<Bytes> {
        match self.policy.ordering {
            Ordering::Strict => Some(Bytes::new()),
            Ordering::None => None,
            // Without a key of its own an event is related to no other.
            Ordering::Key => event.meta.ordering_key.as_ref().map(|_| event.ordering_key()),
        }
    }

    /// The event needs nothing more.
    pub(super) fn settle(&mut self, id: Id) -> Option<Pending> {
        let pending = self.window.settle(id)?;
        self.lanes.settle(pending.ticket);
        Some(pending)
    }

    async fn commit(&mut self, subscription: &mut dyn Subscription) {
        if self.committing.retry_at(Instant::now()).is_some() {
            return;
        }
        for position in self.lanes.due() {
            if let Err(error) = subscription.commit(&position).await {
                note::log_failed(&self.line.adapter, "committing", &error);
                return self.committing.noted(&error, Instant::now());
            }
            self.committing.over();
            self.lanes.committed(&position);
            self.metrics.committed(position.topic.as_str());
            self.status.update(|status| status.commit(&position));
        }
    }

    fn not_read(&mut self, doing: &'static str, error: &ReadError) -> Result<(), RunError> {
        note::log_failed(&self.line.adapter, doing, error);
        if matches!(error, ReadError::Closed) {
            return Err(RunError(format!("the destination `{}` stopped: {error}", self.line.adapter)));
        }
        self.reading.noted(error, Instant::now());
        Ok(())
    }

    /// When something is due that no task and no read will announce.
    fn wake(&self) -> Option<Instant> {
        let now = Instant::now();
        let times = [
            self.window.next_timer(),
            self.breaker.next_probe(),
            self.letters.retry_at(),
            self.reading.retry_at(now),
            self.committing.retry_at(now),
            self.handover_ends(),
        ];
        times.into_iter().flatten().min()
    }

    fn reads(&self) -> bool {
        let enough = match self.breaker.outage() {
            Some(_) => self.window.is_ready(),
            None => self.window.fresh() >= self.policy.max_in_flight.max(1),
        };
        !enough
            && !self.is_full()
            && self.handover.is_none()
            && self.reading.retry_at(Instant::now()).is_none()
    }

    fn is_full(&self) -> bool {
        self.window.len() >= self.most_unsettled()
            || self.window.bytes() >= MOST_BYTES
            || self.lanes.span() >= LONGEST_SPAN
    }

    /// How many events may be read, so that the bounds on events and bytes hold.
    fn room(&self) -> usize {
        let events = self.most_unsettled().saturating_sub(self.window.len());
        let bytes = MOST_BYTES.saturating_sub(self.window.bytes()) / self.largest;
        events.min(bytes).clamp(1, MOST_READ)
    }

    fn most_unsettled(&self) -> usize {
        if self.policy.ordering == Ordering::Strict { MOST_UNSETTLED_STRICT } else { MOST_UNSETTLED }
    }

    /// Begins nothing more; waits a while for attempts and letters, and commits.
    async fn drain(mut self, subscription: &mut dyn Subscription) -> Result<(), RunError> {
        let end = Instant::now() + DRAIN;
        while self.in_flight > 0 || self.letters.len() > 0 {
            self.write_letters(Instant::now());
            let wake = self.letters.retry_at().map_or(end, |at| at.min(end));
            tokio::select! {
                Some(done) = self.tasks.join_next() => self.finish(done)?,
                () = sleep_until(wake) => {}
            }
            if Instant::now() >= end {
                break;
            }
        }
        self.committing.over();
        self.commit(subscription).await;
        self.stopped();
        Ok(())
    }

    fn stopped(&self) {
        self.publish();
        self.metrics.holds(0, 0);
        self.status.update(|status| status.state = State::Stopped);
    }

    fn publish(&self) {
        self.metrics.holds(self.in_flight, self.window.len());
        self.status.update(|status| {
            status.in_flight = self.in_flight;
            status.waiting = self.window.len();
            status.parked = self.window.parked();
            status.reading_paused = self.is_full();
            status.delivered = self.counts.delivered;
            status.failed = self.counts.failed;
            status.dead_lettered = self.counts.dead_lettered;
            status.dropped = self.counts.dropped;
            status.dead_letters_waiting = self.letters.len();
            status.dead_letter_error = self.letters.error().map(str::to_owned);
            status.log_error = self.reading.error().or(self.committing.error()).map(str::to_owned);
            match self.breaker.outage() {
                None => status.state = State::Running,
                Some(outage) => status.state = self.state(outage),
            }
        });
    }

    fn state(&self, outage: &Outage) -> State {
        let (now, wall) = (Instant::now(), self.clock.now());
        let since = wall.checked_sub(now.saturating_duration_since(outage.since)).unwrap_or(wall);
        let next_probe = wall.checked_add(outage.next_probe.saturating_duration_since(now)).unwrap_or(wall);
        let reason = outage.reason.clone();
        match outage.halted {
            true => State::Halted { since, reason, next_probe },
            false => State::Waiting { since, reason, next_probe },
        }
    }
}

fn start(from: StartFrom) -> Start {
    match from {
        StartFrom::Beginning => Start::Beginning,
        StartFrom::Now => Start::Now,
        StartFrom::Time(at) => Start::Time(u64::try_from(at.as_millisecond()).unwrap_or(0)),
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}
