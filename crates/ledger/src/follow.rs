//! Reading the log into the ledger: first up to its end, then as it grows.
//!
//! Where to go on is what the file says, in the same transaction as the rows. The
//! subscription wakes the follower; what it commits only spares a later start from
//! waking for old records, and may be lost or be ahead without harm.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use hook_log::{Entry, Log, Position, Start, Subscription, Topic, TopicInfo, TopicSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    Ledger, LedgerError,
    index::{catch_up_order, is_indexed},
    write::{Cursors, Job},
};

/// Records to a transaction at most. A page of the file that many of them touch is
/// written once.
const BATCH: usize = 2048;
/// No more records are gathered once they have this many bytes.
const BATCH_BYTES: usize = 4 << 20;
/// How long records may gather, so that a busy log is indexed by few transactions.
const GATHER: Duration = Duration::from_millis(100);
/// How often expired and retired rows are looked for.
const PRUNE_EVERY: Duration = Duration::from_secs(10);
/// How often catching up begins anew before it is called a failure: a disk that
/// breaks every new file too is a matter for a person.
const ATTEMPTS: usize = 3;
/// The wait after the log could not be read.
const RETRY: Duration = Duration::from_secs(2);

/// How far catching up has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Records read.
    pub done: u64,
    /// Records to read.
    pub total: u64,
}

/// How far pruning has come.
struct Pruning {
    /// When to look again.
    next: Instant,
    /// What the log held when the round that is under way began.
    left: Option<Vec<TopicInfo>>,
}

impl Pruning {
    /// How long to wait for a record, while there may be rows to remove.
    fn patience(&self) -> Duration {
        match self.left {
            Some(_) => GATHER,
            None => PRUNE_EVERY,
        }
    }
}

impl Ledger {
    /// Reads everything that the log has and the ledger has not. Until it was done
    /// once no claim can be reserved, so call it before events are accepted.
    ///
    /// # Errors
    /// When the log cannot be read or the file cannot be written.
    pub async fn catch_up(
        &self,
        log: &dyn Log,
        mut progress: impl FnMut(Progress) + Send,
    ) -> Result<(), LedgerError> {
        for _ in 0..ATTEMPTS {
            match self.read_to_the_end(log, &mut progress).await {
                Err(LedgerError::Rebuilding) => {}
                other => return other,
            }
        }
        Err(LedgerError::Rebuilding)
    }

    /// Reads the log as it grows, and removes rows whose time is over, until `stop`.
    pub async fn follow(&self, log: Arc<dyn Log>, stop: CancellationToken) {
        loop {
            match stop.run_until_cancelled(self.follow_until_failure(log.as_ref())).await {
                None => return,
                Some(error) => tracing::warn!(%error, "the ledger stopped following the log and tries again"),
            }
            #[expect(clippy::disallowed_methods, reason = "a failing log is not asked again at once")]
            let pause = tokio::time::sleep(RETRY);
            if stop.run_until_cancelled(pause).await.is_none() {
                return;
            }
        }
    }

    /// Ends only by failing.
    async fn follow_until_failure(&self, log: &dyn Log) -> LedgerError {
        loop {
            match self.follow_once(log).await {
                Err(LedgerError::Rebuilding) => {}
                Err(error) => return error,
                Ok(never) => match never {},
            }
        }
    }

    async fn follow_once(&self, log: &dyn Log) -> Result<std::convert::Infallible, LedgerError> {
        // Subscribed before catching up, so that nothing falls between the two; what
        // both see is indexed once, because the cursors say so.
        let topics = TopicSet::matching(is_indexed);
        let mut subscription = log.subscribe(self.group(), topics, Start::Now).await?;
        let generation = self.claimed().generation();
        self.catch_up(log, |_| {}).await?;
        let mut pruning = Pruning { next: Instant::now() + PRUNE_EVERY, left: None };
        let mut gathered = Instant::now();
        loop {
            let entries = tokio::select! {
                entries = gather(subscription.as_mut(), pruning.patience(), gathered + GATHER) => entries?,
                () = self.begun_anew() => return Err(LedgerError::Rebuilding),
            };
            gathered = Instant::now();
            let ends = last_positions(&entries);
            self.index(generation, entries).await?;
            for position in &ends {
                subscription.commit(position).await?;
            }
            self.prune_when_due(log, &mut pruning).await?;
        }
    }

    /// One small step, if it is time: pruning takes turns with indexing, so neither
    /// falls behind while the other is busy.
    async fn prune_when_due(&self, log: &dyn Log, pruning: &mut Pruning) -> Result<(), LedgerError> {
        if pruning.left.is_none() && Instant::now() >= pruning.next {
            pruning.left = Some(log.topics().await?);
            pruning.next = Instant::now() + PRUNE_EVERY;
        }
        let Some(topics) = &pruning.left else { return Ok(()) };
        if self.prune_step(topics).await? == 0 {
            pruning.left = None;
        }
        Ok(())
    }

    /// Removes every row whose claim expired or whose record the log no longer has,
    /// and says how many. `topics` is what the log holds now.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn prune(&self, topics: &[TopicInfo]) -> Result<usize, LedgerError> {
        let mut removed = 0;
        loop {
            match self.prune_step(topics).await? {
                0 => return Ok(removed),
                rows => removed += rows,
            }
        }
    }

    async fn prune_step(&self, topics: &[TopicInfo]) -> Result<usize, LedgerError> {
        self.send(|done| Job::Prune(topics.to_vec(), done)).await
    }

    async fn read_to_the_end(
        &self,
        log: &dyn Log,
        progress: &mut (impl FnMut(Progress) + Send),
    ) -> Result<(), LedgerError> {
        // Before the log is asked for its ends: another reader may move the cursors on.
        let cursors = self.cursors();
        let mut topics = log.topics().await?;
        topics.retain(|info| is_indexed(&info.topic));
        topics.sort_by_key(|info| catch_up_order(&info.topic));
        if is_of_another_log(&cursors, &topics) {
            tracing::warn!("the ledger knows records that the log never had; building it again from the log");
            self.send(Job::Clear).await?;
        }
        let generation = self.claimed().generation();
        let cursors = self.cursors();
        let total = topics.iter().map(|info| missing(&cursors, info)).sum();
        let mut sofar = Progress { done: 0, total };
        for info in topics.iter().filter(|info| missing(&cursors, info) > 0) {
            let mut scan = log.scan_lanes(&info.topic, &behind(&cursors, info)).await?;
            loop {
                let entries = scan.next(BATCH).await?;
                if entries.is_empty() {
                    break;
                }
                sofar.done += entries.len() as u64;
                self.index(generation, entries).await?;
                progress(sofar);
            }
        }
        self.claimed().catch_up_done(generation);
        Ok(())
    }

    async fn index(&self, generation: u64, entries: Vec<Entry>) -> Result<(), LedgerError> {
        if entries.is_empty() {
            return Ok(());
        }
        self.send(|done| Job::Index(generation, entries, done)).await
    }
}

/// The next records: a transaction's worth, or what comes until then. So a record that
/// comes alone is indexed at once, and many that come soon after it share a transaction.
/// One call to the log hands out what one read of its file brought, so few records
/// from it do not mean that few are there.
async fn gather(
    subscription: &mut dyn Subscription,
    patience: Duration,
    until: Instant,
) -> Result<Vec<Entry>, LedgerError> {
    let Ok(first) = tokio::time::timeout(patience, subscription.next(BATCH)).await else {
        return Ok(Vec::new());
    };
    let mut entries = first?.entries();
    while entries.len() < BATCH && bytes(&entries) < BATCH_BYTES {
        let Ok(more) = tokio::time::timeout_at(until, subscription.next(BATCH - entries.len())).await else {
            break;
        };
        entries.extend(more?.entries());
    }
    Ok(entries)
}

fn bytes(entries: &[Entry]) -> usize {
    entries.iter().map(|entry| entry.value.len()).sum()
}

/// The last position of each lane among the entries.
fn last_positions(entries: &[Entry]) -> Vec<Position> {
    let lanes = entries.iter().map(|entry| {
        let Position { topic, lane, offset } = &entry.position;
        ((topic, *lane), *offset)
    });
    let last: BTreeMap<_, _> = lanes.collect();
    let position =
        |((topic, lane), offset): ((&Topic, u32), u64)| Position { topic: topic.clone(), lane, offset };
    last.into_iter().map(position).collect()
}

/// A lane that ends before its cursor, or is not there at all, means that the log was
/// replaced. Its claims would call events duplicates that this log never stored.
fn is_of_another_log(cursors: &Cursors, topics: &[TopicInfo]) -> bool {
    cursors.iter().any(|((topic, lane), next)| {
        let info = topics.iter().find(|info| info.topic == *topic);
        let lane = info.and_then(|info| info.lanes.iter().find(|here| here.lane == *lane));
        lane.is_none_or(|lane| lane.next < *next)
    })
}

fn missing(cursors: &Cursors, info: &TopicInfo) -> u64 {
    let of_lane =
        |lane: &hook_log::Lane| lane.next.saturating_sub(cursor(cursors, info, lane).max(lane.first));
    info.lanes.iter().map(of_lane).sum()
}

/// The lanes that have records which are not indexed, and where those begin.
fn behind(cursors: &Cursors, info: &TopicInfo) -> Vec<(u32, u64)> {
    let next = |lane: &hook_log::Lane| cursor(cursors, info, lane).max(lane.first);
    let lanes = info.lanes.iter().filter(|lane| next(lane) < lane.next);
    lanes.map(|lane| (lane.lane, next(lane))).collect()
}

fn cursor(cursors: &Cursors, info: &TopicInfo, lane: &hook_log::Lane) -> u64 {
    cursors.get(&(info.topic.clone(), lane.lane)).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests;
