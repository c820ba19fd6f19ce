//! Appending: an answer only when every record's delivery was reported.
//!
//! Bounded in time (a record that is not acknowledged in [`DELIVERED_WITHIN`] fails) and
//! in memory (`publish_queue_capacity` records; whoever comes then waits, and is refused
//! when that takes as long). A record that failed may be stored all the same: the broker
//! may have written it before its answer was lost. Idempotence makes sure that it is
//! never stored twice by librdkafka's own repeating.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use hook_log::{AppendError, Position, Record, Topic};
use rdkafka::{
    ClientConfig, ClientContext, Message,
    config::RDKafkaLogLevel,
    error::KafkaError,
    message::DeliveryResult,
    producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer},
    types::RDKafkaErrorCode,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::{
    failure::{self, unavailable},
    health::{Context, Health},
    settings::Settings,
};

/// A record that is not acknowledged within this time has failed.
const DELIVERED_WITHIN: Duration = Duration::from_secs(10);
/// Beyond that only a client that is broken has nothing to say.
const ANSWERED_WITHIN: Duration = Duration::from_secs(20);
/// Bytes of records that librdkafka may hold.
const MOST_KIB: &str = "131072";

type Producer = ThreadedProducer<Reports>;

/// Publishes records.
pub(crate) struct Appender {
    config: ClientConfig,
    health: Arc<Health>,
    producer: Mutex<Arc<Producer>>,
    room: Arc<Semaphore>,
    capacity: u32,
}

/// Why an append failed.
pub(crate) enum Failure {
    /// A record, or the batch that it travelled in, was too large for the broker.
    TooLarge {
        /// The record's size.
        size: usize,
    },
    /// The topic is not there any more.
    NoTopic,
    /// Everything else.
    Other(AppendError),
}

/// What hears of deliveries.
struct Reports(Context);

/// One record's place in its append.
struct Slot {
    batch: Arc<Batch>,
    index: usize,
}

/// The records of one append.
struct Batch {
    state: Mutex<BatchState>,
    /// Given back when the last report is in, also where nobody waits for it any more.
    _room: OwnedSemaphorePermit,
}

struct BatchState {
    places: Vec<Option<(i32, i64)>>,
    missing: usize,
    failure: Option<(usize, KafkaError)>,
    done: Option<oneshot::Sender<()>>,
}

impl Appender {
    pub(crate) fn new(settings: &Settings, health: &Arc<Health>) -> Result<Self, KafkaError> {
        let config = config(settings);
        let producer = Mutex::new(Arc::new(create(&config, health)?));
        let capacity = settings.producer().queue_capacity;
        let room = Arc::new(Semaphore::new(capacity as usize));
        Ok(Self { config, health: Arc::clone(health), producer, room, capacity })
    }

    pub(crate) async fn append(&self, topic: &Topic, records: Vec<Record>) -> Result<Vec<Position>, Failure> {
        let room = self.room(records.len()).await.map_err(Failure::Other)?;
        let (done, reported) = oneshot::channel();
        let batch = Arc::new(Batch {
            state: Mutex::new(BatchState {
                places: vec![None; records.len()],
                missing: records.len(),
                failure: None,
                done: Some(done),
            }),
            _room: room,
        });
        let producer = self.producer();
        for (index, record) in records.iter().enumerate() {
            let slot = Box::new(Slot { batch: Arc::clone(&batch), index });
            if let Err(error) = send(&producer, topic, record, slot) {
                return Err(self.failed(&producer, &error, record.size()));
            }
        }
        if tokio::time::timeout(ANSWERED_WITHIN, reported).await.is_err() {
            self.replace(&producer, "it reported nothing");
            return Err(Failure::Other(unavailable("nothing was reported of the records")));
        }
        self.positions(&producer, topic, &records, &batch)
    }

    /// Room for as many records; an append that is larger than all of it waits for all.
    async fn room(&self, records: usize) -> Result<OwnedSemaphorePermit, AppendError> {
        let share = u32::try_from(records).unwrap_or(u32::MAX).min(self.capacity);
        let room = Arc::clone(&self.room).acquire_many_owned(share);
        match tokio::time::timeout(DELIVERED_WITHIN, room).await {
            Ok(room) => room.map_err(|_| AppendError::Closed),
            Err(_elapsed) => {
                let why = self.health.reason("the brokers take records slower than they come");
                Err(unavailable(format!("{} records are on their way already: {why}", self.capacity)))
            }
        }
    }

    fn positions(
        &self,
        producer: &Arc<Producer>,
        topic: &Topic,
        records: &[Record],
        batch: &Batch,
    ) -> Result<Vec<Position>, Failure> {
        let state = batch.lock();
        if let Some((index, error)) = &state.failure {
            return Err(self.failed(producer, error, records[*index].size()));
        }
        let position = |place: &Option<(i32, i64)>| {
            let (lane, offset) = (*place)?;
            let (lane, offset) = (u32::try_from(lane).ok()?, u64::try_from(offset).ok()?);
            Some(Position { topic: topic.clone(), lane, offset })
        };
        let positions: Option<Vec<_>> = state.places.iter().map(position).collect();
        // The broker had the record already and did not say where.
        positions
            .ok_or_else(|| Failure::Other(unavailable("the records are stored, but it is not known where")))
    }

    /// What a failure means for whoever waits; a client that is broken is replaced.
    fn failed(&self, producer: &Arc<Producer>, error: &KafkaError, size: usize) -> Failure {
        if let Some((code, reason)) = producer.client().fatal_error() {
            self.replace(producer, &format!("{code}: {reason}"));
        }
        if failure::is_too_large(error) {
            return Failure::TooLarge { size };
        }
        if failure::is_missing_topic(error) {
            return Failure::NoTopic;
        }
        if failure::is_refused(error) {
            return Failure::Other(AppendError::Refused(failure::text(error)));
        }
        Failure::Other(match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::QueueFull) => unavailable("too many bytes are on their way already"),
            Some(RDKafkaErrorCode::MessageTimedOut) => {
                unavailable(self.health.reason("no broker acknowledged the records in time"))
            }
            _ => unavailable(failure::text(error)),
        })
    }

    fn replace(&self, broken: &Arc<Producer>, reason: &str) {
        let mut producer = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&producer, broken) {
            return;
        }
        match create(&self.config, &self.health) {
            Ok(new) => {
                tracing::error!(reason, "the Kafka producer broke and was replaced");
                *producer = Arc::new(new);
            }
            Err(error) => tracing::error!(reason, %error, "the Kafka producer broke and cannot be replaced"),
        }
    }

    fn producer(&self) -> Arc<Producer> {
        Arc::clone(&self.producer.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Refuses whoever comes from now on.
    pub(crate) fn close(&self) {
        self.room.close();
    }
}

/// What every producer is set up with.
pub(crate) fn config(settings: &Settings) -> ClientConfig {
    let plan = settings.producer();
    let mut config = settings.client_config();
    config.set("enable.idempotence", "true");
    config.set("acks", "all");
    config.set("compression.type", "lz4");
    // Records gather by themselves while others are on their way. Waiting for more was
    // measured: 1 ms of it makes a lone append seven times slower.
    config.set("linger.ms", "0");
    // Lanes that a topic gets later are used.
    config.set("topic.metadata.refresh.interval.ms", "10000");
    // The partitioner of Kafka's own clients, so that all writers agree on a key's lane.
    config.set("partitioner", "murmur2_random");
    config.set("message.timeout.ms", DELIVERED_WITHIN.as_millis().to_string());
    config.set("message.send.max.retries", plan.max_retries.to_string());
    config.set("retry.backoff.ms", plan.backoff_base.as_millis().to_string());
    config.set("retry.backoff.max.ms", plan.backoff_max.as_millis().to_string());
    config.set("queue.buffering.max.kbytes", MOST_KIB);
    // Our own bound comes first; one append may be larger than it.
    config
        .set("queue.buffering.max.messages", plan.queue_capacity.saturating_mul(2).max(100_000).to_string());
    config.set("message.max.bytes", (settings.max_record_bytes + (1 << 20)).to_string());
    // Small batches stay below the limit of topics that others made.
    config.set("batch.size", "900000");
    config
}

fn create(config: &ClientConfig, health: &Arc<Health>) -> Result<Producer, KafkaError> {
    config.create_with_context(Reports(Context(Arc::clone(health))))
}

/// Gives a record to librdkafka, which copies it.
fn send(producer: &Producer, topic: &Topic, record: &Record, slot: Box<Slot>) -> Result<(), KafkaError> {
    let sent = BaseRecord::with_opaque_to(topic.as_str(), slot).payload(&record.value[..]);
    // Without a key a record is related to no other, so any lane will do.
    let sent = if record.key.is_empty() { sent } else { sent.key(&record.key[..]) };
    producer.send(sent).map_err(|(error, _slot)| error)
}

impl Batch {
    fn lock(&self) -> std::sync::MutexGuard<'_, BatchState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.error(error, reason);
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<Slot>;

    fn delivery(&self, result: &DeliveryResult<'_>, slot: Box<Slot>) {
        let mut state = slot.batch.lock();
        match result {
            Ok(message) => state.places[slot.index] = Some((message.partition(), message.offset())),
            Err((error, _message)) => {
                state.failure.get_or_insert_with(|| (slot.index, error.clone()));
            }
        }
        state.missing -= 1;
        if state.missing == 0
            && let Some(done) = state.done.take()
        {
            // Whoever appended may have stopped waiting.
            let _ = done.send(());
        }
    }
}
