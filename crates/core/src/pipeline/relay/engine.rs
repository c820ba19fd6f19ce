//! One bridge's loop: read, map, publish, settle. The one place that waits.

use std::{sync::Arc, time::Duration};

use hook_event::Clock;
use hook_log::{
    AppendError, Entry, Next, ReadError, Start, Topic, TopicSet,
    forward::{Batch, Forward, ForwardError, Link, Reading},
};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{
    RelayContext,
    map::{Letter, Reason, map},
    note,
    pending::{Item, Outcome, Pending},
    status::{BridgeStatus, State},
};
use crate::{
    metrics::BridgeMetrics,
    pipeline::backoff::Backoff,
    plan::{BridgePlan, StartFrom},
    ports::RunError,
};

/// How long a stop waits for the batch under way.
const DRAIN: Duration = Duration::from_secs(10);

/// Everything one bridge knows.
pub(super) struct Engine {
    plan: BridgePlan,
    link: Arc<dyn Link>,
    reading: Reading,
    pending: Pending,
    backoff: Backoff,
    /// Failures in a row.
    failures: u32,
    largest: usize,
    status: Arc<BridgeStatus>,
    metrics: BridgeMetrics,
    clock: Clock,
}

/// Why a place in the group was given up.
enum End {
    Stopped,
    Broken,
}

impl Engine {
    pub(super) fn new(
        plan: BridgePlan,
        link: Arc<dyn Link>,
        dead_letters: Topic,
        context: &RelayContext,
    ) -> Self {
        let own = plan.clone();
        let topics = TopicSet::matching(move |topic| own.reads(topic, &dead_letters));
        let reading = Reading { group: plan.group.clone(), topics, start: start(plan.start_from) };
        Self {
            pending: Pending::default(),
            backoff: Backoff::new(plan.backoff_base, plan.backoff_max, context.entropy),
            failures: 0,
            largest: 1,
            status: Arc::new(BridgeStatus::new(&plan.id, Arc::clone(&link), reading.clone())),
            reading,
            metrics: context.metrics.bridge(&plan.id),
            clock: context.clock,
            plan,
            link,
        }
    }

    pub(super) fn status(&self) -> Arc<BridgeStatus> {
        Arc::clone(&self.status)
    }

    pub(super) async fn run(mut self, stop: CancellationToken) -> Result<(), RunError> {
        while let Some(mut place) = self.open(&stop).await? {
            let end = self.carry(place.as_mut(), &stop).await?;
            // What was read and not settled is read again by whoever comes next.
            self.pending.clear();
            if matches!(end, End::Stopped) {
                break;
            }
        }
        self.status.update(|status| {
            status.state = State::Stopped;
            status.waiting = 0;
        });
        Ok(())
    }

    /// Takes a place in the group, for as long as that takes.
    async fn open(&mut self, stop: &CancellationToken) -> Result<Option<Box<dyn Forward>>, RunError> {
        let mut failed = false;
        loop {
            let opened = tokio::select! {
                () = stop.cancelled() => return Ok(None),
                opened = self.link.open(&self.reading) => opened,
            };
            match opened {
                Ok(place) => {
                    if failed {
                        self.over();
                    }
                    return Ok(Some(place));
                }
                Err(error) => self.not_read(&error)?,
            }
            failed = true;
            tokio::select! {
                () = stop.cancelled() => return Ok(None),
                () = sleep_until(Instant::now() + self.wait(None)) => {}
            }
        }
    }

    async fn carry(&mut self, place: &mut dyn Forward, stop: &CancellationToken) -> Result<End, RunError> {
        loop {
            self.metrics.holds(self.pending.len());
            self.status.update(|status| status.waiting = self.pending.len());
            let count = self.pending.next();
            if count == 0 {
                let next = tokio::select! {
                    () = stop.cancelled() => return Ok(End::Stopped),
                    next = place.next(Pending::room(self.largest)) => next,
                };
                match self.take(next) {
                    Ok(()) => self.over(),
                    Err(error) => {
                        self.not_read(&error)?;
                        if let Some(end) = self.pause(place, None, stop).await {
                            return Ok(end);
                        }
                    }
                }
                continue;
            }
            let batch = self.pending.batch(count);
            let Some(done) = finish(place.forward(&batch), stop).await else { return Ok(End::Stopped) };
            let ended = match done {
                Ok(()) => {
                    self.carried(count, &batch);
                    None
                }
                Err(error) => self.failed(error, count, place, stop).await?,
            };
            if let Some(end) = ended {
                return Ok(end);
            }
        }
    }

    /// Takes in what was read.
    fn take(&mut self, next: Result<Next, ReadError>) -> Result<(), ReadError> {
        match next? {
            Next::Entries(entries) => {
                self.largest = entries.iter().map(|entry| entry.value.len()).max().unwrap_or(1).max(1);
                entries.into_iter().for_each(|entry| self.admit(entry));
            }
            Next::Revoked(lanes) => {
                note::revoked(&self.plan.id, lanes.len());
                self.pending.drop_lanes(&lanes);
            }
        }
        Ok(())
    }

    fn admit(&mut self, entry: Entry) {
        let outcome = match map(&self.plan, &entry) {
            Ok((topic, record)) => Outcome::Carry(topic, record),
            Err(error) => Outcome::Letter(self.malformed(&entry, &error)),
        };
        self.pending.push(Item { entry, outcome, tries: 0 });
    }

    fn malformed(&self, entry: &Entry, error: &str) -> hook_log::Record {
        // What the decoder says may quote the record, so it is kept with the record alone.
        let told = "it is no event, or names no topic; see its dead letter";
        let reason = Reason::Malformed;
        note::given_up(&self.plan.id, &entry.position, reason.as_str(), told);
        Letter { bridge: &self.plan.id, entry, reason, error, attempts: 0, at: self.clock.now() }.encode()
    }

    fn carried(&mut self, count: usize, batch: &Batch) {
        let (records, letters) = (batch.records.len(), batch.letters.len());
        self.pending.carried(count).for_each(drop);
        self.metrics.carried(records as u64, letters as u64);
        note::carried(&self.plan.id, records);
        self.over();
        self.status.update(|status| {
            status.carried += records as u64;
            status.dead_lettered += letters as u64;
            batch.settled.iter().for_each(|position| status.commit(position));
        });
    }

    /// What a failure means for the records of the batch.
    async fn failed(
        &mut self,
        error: ForwardError,
        count: usize,
        place: &mut dyn Forward,
        stop: &CancellationToken,
    ) -> Result<Option<End>, RunError> {
        let after = match &error {
            ForwardError::Append(AppendError::TooLarge { limit, .. })
                if self.give_up_larger(count, *limit) =>
            {
                return Ok(None);
            }
            ForwardError::Append(AppendError::TooLarge { .. } | AppendError::Refused(_)) if count > 1 => {
                self.pending.go_alone(count);
                return Ok(None);
            }
            ForwardError::Append(AppendError::TooLarge { .. } | AppendError::Refused(_)) => {
                if self.give_up_refused(&error) {
                    return Ok(None);
                }
                None
            }
            ForwardError::Append(AppendError::Closed) | ForwardError::Letters(AppendError::Closed) => {
                return Err(RunError(format!("the relay `{}` stopped: {error}", self.plan.id)));
            }
            ForwardError::Append(AppendError::Unavailable { after, .. }) => *after,
            ForwardError::Append(AppendError::Full(_) | AppendError::Poisoned(_))
            | ForwardError::Letters(_) => None,
            ForwardError::Revoked => None,
            ForwardError::Broken(reason) => {
                note::begun_again(&self.plan.id, reason);
                self.away(reason);
                let wait = self.wait(None);
                return Ok(Some(tokio::select! {
                    () = stop.cancelled() => End::Stopped,
                    () = sleep_until(Instant::now() + wait) => End::Broken,
                }));
            }
        };
        self.away(&error.to_string());
        Ok(self.pause(place, after, stop).await)
    }

    /// Makes dead letters of the first `count` records that are above the limit; whether there were any.
    fn give_up_larger(&mut self, count: usize, limit: usize) -> bool {
        let (id, at) = (Arc::clone(&self.plan.id), self.clock.now());
        let mut any = false;
        if !self.pending.is_for_one_topic(count) {
            // Each topic has a limit of its own.
            return false;
        }
        for item in self.pending.first(count) {
            let Outcome::Carry(_, record) = &item.outcome else { continue };
            let size = record.size();
            if size > limit {
                let error = AppendError::TooLarge { size, limit }.to_string();
                item.give_up(&id, &error, at);
                any = true;
            }
        }
        any
    }

    /// Counts a refusal of the first record; whether it was the last, and the record is given up.
    fn give_up_refused(&mut self, error: &ForwardError) -> bool {
        let (id, at, most) = (Arc::clone(&self.plan.id), self.clock.now(), self.plan.max_retries);
        let Some(item) = self.pending.front() else { return true };
        item.tries += 1;
        if item.tries <= most {
            return false;
        }
        item.give_up(&id, &error.to_string(), at);
        true
    }

    /// Waits before the next try. Meanwhile one record more may be read, only to hear of
    /// lanes that go to another member: they are let go, and tried here no more.
    async fn pause(
        &mut self,
        place: &mut dyn Forward,
        after: Option<Duration>,
        stop: &CancellationToken,
    ) -> Option<End> {
        let until = Instant::now() + self.wait(after);
        let mut reads = self.pending.has_room();
        loop {
            tokio::select! {
                () = stop.cancelled() => return Some(End::Stopped),
                () = sleep_until(until) => return None,
                next = place.next(1), if reads => {
                    reads = matches!(next, Ok(Next::Revoked(_)));
                    if let Err(error) = self.take(next) {
                        self.away(&error.to_string());
                    }
                }
            }
        }
    }

    fn wait(&mut self, after: Option<Duration>) -> Duration {
        self.failures = self.failures.saturating_add(1);
        self.metrics.retried();
        self.backoff.half(self.failures, after)
    }

    fn not_read(&mut self, error: &ReadError) -> Result<(), RunError> {
        if matches!(error, ReadError::Closed) {
            return Err(RunError(format!("the relay `{}` stopped: {error}", self.plan.id)));
        }
        self.away(&error.to_string());
        Ok(())
    }

    fn away(&self, reason: &str) {
        let now = self.clock.now();
        self.status.update(|status| {
            let since = match &status.state {
                State::Waiting { since, .. } => *since,
                State::Running | State::Stopped => {
                    note::away(&self.plan.id, reason);
                    now
                }
            };
            status.state = State::Waiting { since, reason: reason.to_owned() };
        });
        self.metrics.waits(true);
    }

    fn over(&mut self) {
        self.failures = 0;
        self.metrics.waits(false);
        self.status.update(|status| {
            if status.is_waiting() {
                note::back(&self.plan.id);
                status.state = State::Running;
            }
        });
    }
}

impl Item {
    fn give_up(&mut self, bridge: &str, error: &str, at: jiff::Timestamp) {
        let (entry, reason) = (&self.entry, Reason::Refused);
        note::given_up(bridge, &entry.position, reason.as_str(), error);
        let letter = Letter { bridge, entry, reason, error, attempts: self.tries.max(1), at };
        self.outcome = Outcome::Letter(letter.encode());
    }
}

/// Waits for work that must not be cut off, but after `stop` not for ever.
async fn finish<T>(work: impl Future<Output = T>, stop: &CancellationToken) -> Option<T> {
    let over = async {
        stop.cancelled().await;
        sleep_until(Instant::now() + DRAIN).await;
    };
    tokio::select! {
        biased;
        done = work => Some(done),
        () = over => None,
    }
}

fn start(from: StartFrom) -> Start {
    match from {
        StartFrom::Beginning => Start::Beginning,
        StartFrom::Now => Start::Now,
        StartFrom::Time(at) => Start::Time(u64::try_from(at.as_millisecond()).unwrap_or(0)),
    }
}
