//! A link within one cluster: what is read, published and settled is one transaction.
//!
//! The rules that keep a reader of what is committed from seeing a record twice:
//!
//! - A batch is settled in the transaction that publishes it, under the member's
//!   identity in its group. A member that the group gave up is refused by the brokers.
//! - The identity is asked for before it is looked whether the batch's lanes are held
//!   still: a lane that goes afterwards makes the identity too old.
//! - When it is not known whether a transaction was committed, this place is given up,
//!   and the next one begins where the group is settled. The brokers do not say where
//!   that is while a transaction is open.
//!
//! Readers of the output must read what is committed (`isolation.level=read_committed`,
//! as everything here does); others also see what was aborted.

use std::sync::Arc;

use async_trait::async_trait;
use hook_log::{
    AppendError, LaneId, Next, ReadError, Record, Topic,
    forward::{self, Batch, Forward, ForwardError, Guarantee, Link, Reading},
};
use rdkafka::{TopicPartitionList, error::KafkaError};

use crate::{
    cluster::blocking,
    failure::{self, unavailable},
    log::KafkaLog,
    member::{Member, Settling},
    place::Step,
    scan,
    transaction::{Failed, Producer},
};

/// A link from a cluster to itself.
pub struct ExactlyOnce {
    log: Arc<KafkaLog>,
    dead_letters: Topic,
    name: String,
}

struct Session {
    log: Arc<KafkaLog>,
    dead_letters: Topic,
    member: Arc<Member>,
    producer: Arc<Producer>,
}

impl ExactlyOnce {
    /// A link over `log`. No other process may use the same `transactional_id` at the same
    /// time: of two, the older is refused.
    pub fn new(log: Arc<KafkaLog>, dead_letters: Topic, transactional_id: String) -> Self {
        Self { log, dead_letters, name: transactional_id }
    }
}

#[async_trait]
impl Link for ExactlyOnce {
    fn guarantee(&self) -> Guarantee {
        Guarantee::ExactlyOnce
    }

    async fn open(&self, reading: &Reading) -> Result<Box<dyn Forward>, ReadError> {
        let (cluster, name) = (Arc::clone(self.log.cluster()), self.name.clone());
        let producer = blocking(move || {
            let health = Arc::clone(&cluster.health);
            Producer::new(&cluster, &name, &health)
                .map_err(|error| ReadError::Unavailable(health.reason(&error.to_string())))
        });
        // First, so that what an earlier place left open is ended before the group is asked.
        let producer = Arc::new(producer.await?);
        let Reading { group, topics, start } = reading;
        let member = self.log.join(group, topics.clone(), *start, Settling::Transactions).await?;
        Ok(Box::new(Session {
            log: Arc::clone(&self.log),
            dead_letters: self.dead_letters.clone(),
            member,
            producer,
        }))
    }

    async fn lag(&self, reading: &Reading) -> Result<u64, ReadError> {
        forward::lag(self.log.as_ref(), reading).await
    }
}

#[async_trait]
impl Forward for Session {
    async fn next(&mut self, max: usize) -> Result<Next, ReadError> {
        loop {
            let (step, closing) = {
                let mut place = self.member.place();
                (place.step(max), place.closing)
            };
            self.member.answered();
            match step {
                Some(Step::Entries(entries)) => return Ok(Next::Entries(entries)),
                Some(Step::Failed(failure)) => return Err(failure),
                Some(Step::Revoked(lanes)) => {
                    let lane = |(topic, lane)| LaneId { topic, lane };
                    return Ok(Next::Revoked(lanes.into_iter().map(lane).collect()));
                }
                None if closing => return Err(ReadError::Closed),
                None => self.member.readable().await,
            }
        }
    }

    async fn forward(&mut self, batch: &Batch) -> Result<(), ForwardError> {
        let letters = batch.letters.iter().map(|letter| (self.dead_letters.clone(), letter.clone()));
        let records: Vec<_> = batch.records.iter().cloned().chain(letters).collect();
        self.prepare(&records).await?;
        let offsets = offsets(batch).map_err(|error| ForwardError::Broken(failure::text(&error)))?;
        let (member, producer) = (Arc::clone(&self.member), Arc::clone(&self.producer));
        let settled = batch.settled.clone();
        let records = Arc::new(records);
        let sent = Arc::clone(&records);
        let done = tokio::task::spawn_blocking(move || {
            let Some(identity) = member.identity() else {
                return Err(Tried::Failed(Failed::Aborted("the group is not joined yet".to_owned())));
            };
            if !member.place().holds(&settled) {
                return Err(Tried::Revoked);
            }
            producer.transact(&sent, &offsets, &identity).map_err(Tried::Failed)
        });
        match done.await {
            Ok(Ok(())) => {
                self.log.cluster().health.reached();
                Ok(())
            }
            Ok(Err(Tried::Revoked)) => Err(ForwardError::Revoked),
            Ok(Err(Tried::Failed(failed))) => Err(self.failed(failed, &records, batch.records.len()).await),
            Err(error) => Err(ForwardError::Broken(error.to_string())),
        }
    }
}

enum Tried {
    Revoked,
    Failed(Failed),
}

impl Session {
    /// What can be known before a transaction is begun: the topics are there, and nothing is
    /// larger than they are known to take.
    async fn prepare(&self, records: &[(Topic, Record)]) -> Result<(), ForwardError> {
        let mut topics: Vec<&Topic> = records.iter().map(|(topic, _)| topic).collect();
        topics.sort();
        topics.dedup();
        for topic in topics {
            self.log.cluster().ensure(topic).await.map_err(ForwardError::Append)?;
            let own = records.iter().filter(|(to, _)| to == topic).map(|(_, record)| record);
            self.log.check_sizes(topic, own).map_err(|error| self.of(topic, error))?;
        }
        Ok(())
    }

    fn of(&self, topic: &Topic, error: AppendError) -> ForwardError {
        if *topic == self.dead_letters { ForwardError::Letters(error) } else { ForwardError::Append(error) }
    }

    /// What a failure means for the batch, whose first `carried` records are no dead letters.
    async fn failed(&self, failed: Failed, records: &[(Topic, Record)], carried: usize) -> ForwardError {
        let (index, error) = match failed {
            Failed::Record(index, error) => (index, error),
            Failed::Aborted(reason) => {
                let reason = self.log.cluster().health.reason(&reason);
                return ForwardError::Append(unavailable(reason));
            }
            Failed::Unknown(reason) => return ForwardError::Broken(reason),
        };
        let Some((topic, record)) = records.get(index) else {
            return ForwardError::Broken(failure::text(&error));
        };
        let error = if failure::is_too_large(&error) {
            self.log.too_large(topic, record.size()).await
        } else if failure::is_refused(&error) {
            AppendError::Refused(failure::text(&error))
        } else {
            if failure::is_missing_topic(&error) {
                self.log.cluster().forget_topic(topic);
            }
            unavailable(self.log.cluster().health.reason(&failure::text(&error)))
        };
        if index < carried { ForwardError::Append(error) } else { ForwardError::Letters(error) }
    }
}

/// Leaves the group, in the background.
impl Drop for Session {
    fn drop(&mut self) {
        self.member.close();
    }
}

/// Where reading goes on when the batch is settled.
fn offsets(batch: &Batch) -> Result<TopicPartitionList, KafkaError> {
    let mut offsets = TopicPartitionList::with_capacity(batch.settled.len());
    for position in &batch.settled {
        scan::add(&mut offsets, &(position.topic.clone(), position.lane), position.offset + 1)?;
    }
    Ok(offsets)
}
