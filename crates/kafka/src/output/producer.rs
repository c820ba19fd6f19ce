//! The client that publishes: idempotent, `acks=all`, bounded in time and memory.
//!
//! One that broke for good is replaced by another. A record that travelled with others
//! and was too large together with them is sent once more by itself, so that only a
//! record that is too large alone is ever refused.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rdkafka::{
    ClientConfig, ClientContext,
    config::RDKafkaLogLevel,
    error::{KafkaError, KafkaResult},
    producer::{FutureProducer, FutureRecord, Producer as _},
    types::RDKafkaErrorCode as Code,
};

use super::wire::Outgoing;
use crate::{failure, settings::Connection};

/// Bytes of records that librdkafka may hold; whoever comes then is told that it is full.
const MOST_KIB: &str = "65536";
/// Larger than any event: what is too large is for the brokers to say.
const LARGEST: &str = "50000000";
/// A record that librdkafka says nothing of after its time-out is lost to it.
const GRACE: Duration = Duration::from_secs(5);
/// How long a topic that is not listed may take to appear.
const APPEARS_WITHIN: Duration = Duration::from_secs(5);
/// A probe's patience, unless an attempt has less.
const PROBED_WITHIN: Duration = Duration::from_secs(10);

type Producer = FutureProducer<Ear>;

/// Publishes records, one attempt each.
pub(super) struct Publisher {
    config: ClientConfig,
    timeout: Duration,
    heard: Arc<Heard>,
    together: Mutex<Arc<Producer>>,
    /// Sends each record in a batch of its own; made when one is needed.
    alone: Mutex<Option<Arc<Producer>>>,
}

/// Where a record lies.
pub(super) struct Place {
    pub(super) partition: i32,
    pub(super) offset: i64,
}

/// What the client said last of its connections.
#[derive(Default)]
pub(super) struct Heard(Mutex<Option<Trouble>>);

/// Something about a connection.
#[derive(Clone, Debug)]
pub(super) struct Trouble {
    /// Whether name, password or rights were refused.
    pub(super) refused: bool,
    /// In librdkafka's words, which hold no secret.
    pub(super) said: String,
}

struct Ear(Arc<Heard>);

impl Publisher {
    pub(super) fn new(connection: &Connection, timeout: Duration) -> KafkaResult<Self> {
        let mut config = connection.client_config();
        config.set("enable.idempotence", "true");
        config.set("acks", "all");
        config.set("compression.type", "lz4");
        config.set("linger.ms", "1");
        // The partitioner of Kafka's own clients, so that all writers agree on a key's partition.
        config.set("partitioner", "murmur2_random");
        config.set("message.timeout.ms", millis(timeout));
        config.set("topic.metadata.propagation.max.ms", millis(APPEARS_WITHIN.min(timeout / 2)));
        config.set("queue.buffering.max.kbytes", MOST_KIB);
        config.set("message.max.bytes", LARGEST);
        config.set("batch.size", "900000");
        let heard = Arc::<Heard>::default();
        let together = Mutex::new(Arc::new(create(&config, &heard)?));
        Ok(Self { config, timeout, heard, together, alone: Mutex::default() })
    }

    /// Returns when every in-sync replica has the record.
    pub(super) async fn send(&self, topic: &str, record: &Outgoing) -> KafkaResult<Place> {
        let producer = Arc::clone(&self.together.lock().unwrap_or_else(PoisonError::into_inner));
        let sent = self.send_by(&producer, topic, record).await;
        match sent {
            Ok(place) => {
                self.heard.forget();
                Ok(place)
            }
            Err(error) if failure::is_too_large(&error) => {
                let alone = self.alone()?;
                self.send_by(&alone, topic, record).await
            }
            Err(error) => {
                self.replace_if_broken(&producer);
                Err(error)
            }
        }
    }

    /// Whether the cluster answers and, if one is named, the topic is there.
    pub(super) async fn probe(&self, topic: Option<&str>) -> KafkaResult<()> {
        let producer = Arc::clone(&self.together.lock().unwrap_or_else(PoisonError::into_inner));
        let (topic, patience) = (topic.map(str::to_owned), PROBED_WITHIN.min(self.timeout));
        let asked = tokio::task::spawn_blocking(move || ask(&producer, topic.as_deref(), patience));
        asked.await.unwrap_or(Err(KafkaError::Canceled))
    }

    /// What is known of the connections' troubles.
    pub(super) fn trouble(&self) -> Option<Trouble> {
        self.heard.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn send_by(&self, producer: &Producer, topic: &str, record: &Outgoing) -> KafkaResult<Place> {
        let sent = FutureRecord::to(topic).payload(&record.value[..]).headers(record.owned_headers());
        let sent = match &record.key {
            Some(key) => sent.key(&key[..]),
            None => sent,
        };
        let reported = producer.send_result(sent).map_err(|(error, _)| error)?;
        match tokio::time::timeout(self.timeout + GRACE, reported).await {
            Ok(Ok(Ok(delivery))) => Ok(Place { partition: delivery.partition, offset: delivery.offset }),
            Ok(Ok(Err((error, _)))) => Err(error),
            Ok(Err(_canceled)) => Err(KafkaError::Canceled),
            Err(_elapsed) => Err(KafkaError::MessageProduction(Code::MessageTimedOut)),
        }
    }

    fn alone(&self) -> KafkaResult<Arc<Producer>> {
        let mut alone = self.alone.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(producer) = alone.as_ref().filter(|producer| producer.client().fatal_error().is_none()) {
            return Ok(Arc::clone(producer));
        }
        let mut config = self.config.clone();
        config.set("batch.num.messages", "1");
        config.set("linger.ms", "0");
        let producer = Arc::new(create(&config, &self.heard)?);
        *alone = Some(Arc::clone(&producer));
        Ok(producer)
    }

    fn replace_if_broken(&self, broken: &Arc<Producer>) {
        let Some((code, reason)) = broken.client().fatal_error() else { return };
        let mut current = self.together.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&current, broken) {
            return;
        }
        match create(&self.config, &self.heard) {
            Ok(new) => {
                tracing::error!(%code, reason, "a Kafka producer broke and was replaced");
                *current = Arc::new(new);
            }
            Err(error) => {
                tracing::error!(%code, reason, %error, "a Kafka producer broke and cannot be replaced")
            }
        }
    }
}

impl Heard {
    fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl ClientContext for Ear {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "librdkafka", ?level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", %error, reason);
        let code = error.rdkafka_error_code();
        // "All brokers down" says less than what was said of the last one.
        if matches!(code, None | Some(Code::AllBrokersDown)) {
            return;
        }
        let trouble = Trouble { refused: code.is_some_and(is_refused), said: reason.to_owned() };
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(trouble);
    }
}

/// Whether who we are, or what we may do, is the matter.
pub(super) fn is_refused(code: Code) -> bool {
    matches!(
        code,
        Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::UnsupportedSASLMechanism
            | Code::IllegalSASLState
            | Code::TopicAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed
    )
}

fn create(config: &ClientConfig, heard: &Arc<Heard>) -> KafkaResult<Producer> {
    config.create_with_context(Ear(Arc::clone(heard)))
}

fn ask(producer: &Producer, topic: Option<&str>, patience: Duration) -> KafkaResult<()> {
    let metadata = producer.client().fetch_metadata(topic, patience)?;
    let error =
        metadata.topics().iter().find(|found| Some(found.name()) == topic).and_then(|found| found.error());
    match error {
        Some(error) => Err(KafkaError::MetadataFetch(error.into())),
        None => Ok(()),
    }
}

fn millis(time: Duration) -> String {
    time.as_millis().to_string()
}
