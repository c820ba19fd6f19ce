//! Carrying records on: read, published and settled, in that order or all at once.
//!
//! A [`Link`] joins the log that is read with the one that is written to; a
//! [`Forward`] is one reader's place in it. The rules, whichever logs are joined:
//!
//! - Nothing is settled before it is published. Where both logs are one that can do
//!   both in a single step, publishing and settling happen together or not at all
//!   ([`Guarantee::ExactlyOnce`]). Everywhere else a crash between the two publishes
//!   again ([`Guarantee::AtLeastOnce`]).
//! - Dead letters go to the log that is read, where their positions mean something,
//!   and are durable before what they stand for is settled.
//! - Records of one batch are published in its order.
//!
//! Deliberately absent: waiting, repeating and deciding. One call is one try.

use std::sync::Arc;

use async_trait::async_trait;

use crate::port::{
    AppendError, Lane, Log, Next, Position, ReadError, Record, Start, Subscription, Topic, TopicSet,
};

/// What a carrier may promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guarantee {
    /// A reader of what is committed sees every record once.
    ExactlyOnce,
    /// A reader may see a record again after a crash or an answer that was lost.
    AtLeastOnce,
}

/// Which records are carried.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The group whose place it is.
    pub group: String,
    /// The topics.
    pub topics: TopicSet,
    /// Where a group begins that is new.
    pub start: Start,
}

/// Two logs, joined.
#[async_trait]
pub trait Link: Send + Sync + 'static {
    /// What it can promise.
    fn guarantee(&self) -> Guarantee;

    /// Takes a place in the group. What was read in an earlier place and not settled is
    /// read again.
    async fn open(&self, reading: &Reading) -> Result<Box<dyn Forward>, ReadError>;

    /// Records of the group's topics that it has not settled.
    async fn lag(&self, reading: &Reading) -> Result<u64, ReadError>;
}

/// A place in a link.
#[async_trait]
pub trait Forward: Send {
    /// Waits for records and returns at most `max`. Dropping the future loses nothing.
    async fn next(&mut self, max: usize) -> Result<Next, ReadError>;

    /// Publishes the batch and settles it.
    async fn forward(&mut self, batch: &Batch) -> Result<(), ForwardError>;
}

/// What is carried in one step.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// What is published, in this order.
    pub records: Vec<(Topic, Record)>,
    /// Dead letters for what is not.
    pub letters: Vec<Record>,
    /// Up to where each lane is settled then: one position for each.
    pub settled: Vec<Position>,
}

/// Why a batch was not carried. It may be published all the same where the guarantee
/// is [`Guarantee::AtLeastOnce`]; it is not settled.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// The log that is written to did not take it.
    #[error("{0}")]
    Append(AppendError),
    /// Dead letters could not be written.
    #[error("dead letters cannot be written: {0}")]
    Letters(AppendError),
    /// A lane of the batch belongs to another member by now: read on, and be told which.
    #[error("a lane went to another member of the group")]
    Revoked,
    /// Whether it was carried is not known, or this place is of no more use. Open another,
    /// which begins at what is settled.
    #[error("{0}")]
    Broken(String),
}

/// A link of any two logs.
pub struct AtLeastOnce {
    /// What is read, and gets the dead letters.
    pub source: Arc<dyn Log>,
    /// What is written to.
    pub target: Arc<dyn Log>,
    /// The topic of dead letters.
    pub dead_letters: Topic,
}

struct AtLeastOnceForward {
    source: Arc<dyn Log>,
    target: Arc<dyn Log>,
    dead_letters: Topic,
    subscription: Box<dyn Subscription>,
    /// Published, and not settled because the log could not.
    due: Vec<Position>,
}

impl AtLeastOnceForward {
    async fn settle(&mut self) -> Result<(), ReadError> {
        while let Some(position) = self.due.last() {
            self.subscription.commit(position).await?;
            self.due.pop();
        }
        Ok(())
    }
}

#[async_trait]
impl Link for AtLeastOnce {
    fn guarantee(&self) -> Guarantee {
        Guarantee::AtLeastOnce
    }

    async fn open(&self, reading: &Reading) -> Result<Box<dyn Forward>, ReadError> {
        let Reading { group, topics, start } = reading;
        let subscription = self.source.subscribe(group, topics.clone(), *start).await?;
        Ok(Box::new(AtLeastOnceForward {
            source: Arc::clone(&self.source),
            target: Arc::clone(&self.target),
            dead_letters: self.dead_letters.clone(),
            subscription,
            due: Vec::new(),
        }))
    }

    async fn lag(&self, reading: &Reading) -> Result<u64, ReadError> {
        lag(self.source.as_ref(), reading).await
    }
}

#[async_trait]
impl Forward for AtLeastOnceForward {
    async fn next(&mut self, max: usize) -> Result<Next, ReadError> {
        self.settle().await?;
        self.subscription.next(max).await
    }

    async fn forward(&mut self, batch: &Batch) -> Result<(), ForwardError> {
        if !batch.letters.is_empty() {
            let written = self.source.append(&self.dead_letters, batch.letters.clone()).await;
            written.map_err(ForwardError::Letters)?;
        }
        // Topic by topic: related records share one, so nothing that is related is swapped.
        let mut topics: Vec<&Topic> = Vec::new();
        for (topic, _) in &batch.records {
            if !topics.contains(&topic) {
                topics.push(topic);
            }
        }
        for topic in topics {
            let own = batch.records.iter().filter(|(to, _)| to == topic);
            let records = own.map(|(_, record)| record.clone()).collect();
            self.target.append(topic, records).await.map_err(ForwardError::Append)?;
        }
        self.due.extend(batch.settled.iter().cloned());
        if let Err(error) = self.settle().await {
            // It is published, so it must not be again: the next call settles it first.
            tracing::warn!(%error, "what was published cannot be settled yet");
        }
        Ok(())
    }
}

/// Records of a group's topics in `log` that it has not settled.
///
/// # Errors
/// When the log cannot say.
pub async fn lag(log: &dyn Log, reading: &Reading) -> Result<u64, ReadError> {
    let committed = log.committed(&reading.group).await?;
    let mut lag = 0;
    for info in log.topics().await?.iter().filter(|info| reading.topics.contains(&info.topic)) {
        let settled =
            |lane: &Lane| committed.iter().find(|at| at.topic == info.topic && at.lane == lane.lane);
        let from = |lane: &Lane| settled(lane).map_or(lane.first, |at| (at.offset + 1).max(lane.first));
        lag += info.lanes.iter().map(|lane| lane.next.saturating_sub(from(lane))).sum::<u64>();
    }
    Ok(lag)
}
