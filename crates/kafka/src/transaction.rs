//! One transaction: records published and offsets committed together, or neither.
//!
//! Everything here blocks, and is bounded in time. Whatever goes wrong before the
//! commit is aborted, and may be tried again with the same producer. What goes wrong
//! inside the commit leaves open whether it was done: then the producer is thrown
//! away, and the next one under its name finds out by asking the coordinator to end
//! what was begun ([`Producer::new`]); where reading goes on is asked of the group.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hook_log::{Record, Topic};
use rdkafka::{
    ClientContext, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::ConsumerGroupMetadata,
    error::{KafkaError, KafkaResult, RDKafkaError},
    message::DeliveryResult,
    producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer},
    types::RDKafkaErrorCode,
};

use crate::{
    append,
    cluster::Cluster,
    failure,
    health::{Context, Health},
};

/// After so long the coordinator aborts what nobody ends. It bounds how long readers
/// wait for what a killed process left open.
const ENDED_WITHIN: Duration = Duration::from_secs(15);
/// How long one question to the coordinator may take.
const ASKED: Duration = Duration::from_secs(15);
/// The first wait before a question is asked again.
const AGAIN_AFTER: Duration = Duration::from_millis(5);
/// How often a commit is asked for that was not answered.
const COMMITS: u32 = 2;

/// A producer whose name no other has while it lives: the brokers refuse the older one.
pub(crate) struct Producer(ThreadedProducer<Reports>);

/// Why a transaction was not committed.
#[derive(Debug)]
pub(crate) enum Failed {
    /// This record was not taken; nothing of the transaction is kept.
    Record(usize, KafkaError),
    /// Something else; nothing of the transaction is kept.
    Aborted(String),
    /// It is not known what is kept, or the producer is of no more use.
    Unknown(String),
}

/// What hears of deliveries: of one transaction, the first record that was not taken.
struct Reports {
    context: Context,
    failure: Mutex<Option<(usize, KafkaError)>>,
}

impl Producer {
    /// Takes the name over: whoever had it is refused from now on, and what it left open
    /// is ended. Blocks.
    pub(crate) fn new(cluster: &Cluster, name: &str, health: &Arc<Health>) -> KafkaResult<Self> {
        let mut config = append::config(&cluster.settings);
        config.set("transactional.id", name);
        config.set("transaction.timeout.ms", ENDED_WITHIN.as_millis().to_string());
        // The coordinator is asked again this soon when it is not done with the transaction
        // before: that is the usual case, and every record waits for it.
        config.set("retry.backoff.ms", AGAIN_AFTER.as_millis().to_string());
        let reports = Reports { context: Context(Arc::clone(health)), failure: Mutex::default() };
        let producer: ThreadedProducer<Reports> = config.create_with_context(reports)?;
        producer.init_transactions(ASKED)?;
        Ok(Self(producer))
    }

    /// Publishes the records and commits the offsets. Blocks.
    pub(crate) fn transact(
        &self,
        records: &[(Topic, Record)],
        offsets: &TopicPartitionList,
        member: &ConsumerGroupMetadata,
    ) -> Result<(), Failed> {
        *self.failure() = None;
        self.0.begin_transaction().map_err(|error| Failed::Unknown(text(&error)))?;
        let sent = records
            .iter()
            .enumerate()
            .try_for_each(|(index, (topic, record))| self.send(index, topic, record));
        if let Err(failed) = sent {
            return Err(self.abort(failed));
        }
        if let Err(error) = self.0.send_offsets_to_transaction(offsets, member, ASKED) {
            return Err(self.abort(self.blame(&error)));
        }
        self.commit()
    }

    fn send(&self, index: usize, topic: &Topic, record: &Record) -> Result<(), Failed> {
        let sent = BaseRecord::with_opaque_to(topic.as_str(), index).payload(&record.value[..]);
        let sent = if record.key.is_empty() { sent } else { sent.key(&record.key[..]) };
        self.0.send(sent).map_err(|(error, _)| Failed::Record(index, error))
    }

    fn commit(&self) -> Result<(), Failed> {
        let mut asked = 0;
        loop {
            asked += 1;
            let error = match self.0.commit_transaction(ASKED) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if of_transaction(&error).is_some_and(RDKafkaError::txn_requires_abort) {
                return Err(self.abort(self.blame(&error)));
            }
            let again = of_transaction(&error).is_some_and(RDKafkaError::is_retriable);
            if !again || asked == COMMITS {
                return Err(Failed::Unknown(text(&error)));
            }
        }
    }

    /// Ends the transaction with nothing kept.
    fn abort(&self, failed: Failed) -> Failed {
        match self.0.abort_transaction(ASKED) {
            Ok(()) => failed,
            Err(error) => Failed::Unknown(text(&error)),
        }
    }

    /// The record that was not taken, where there is one; a fatal error has no other cause.
    fn blame(&self, error: &KafkaError) -> Failed {
        match self.failure().take() {
            Some((index, error)) => Failed::Record(index, error),
            None => Failed::Aborted(text(error)),
        }
    }

    fn failure(&self) -> MutexGuard<'_, Option<(usize, KafkaError)>> {
        self.0.context().failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn of_transaction(error: &KafkaError) -> Option<&RDKafkaError> {
    match error {
        KafkaError::Transaction(error) => Some(error),
        _ => None,
    }
}

fn text(error: &KafkaError) -> String {
    match error {
        KafkaError::Transaction(error) => error.to_string(),
        other => failure::text(other),
    }
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.context.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.context.error(error, reason);
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, index: usize) {
        let Err((error, _)) = result else { return };
        // Those that an abort takes back did nothing wrong.
        let purged = matches!(
            error.rdkafka_error_code(),
            Some(RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight)
        );
        if !purged {
            let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
            failure.get_or_insert_with(|| (index, error.clone()));
        }
    }
}
