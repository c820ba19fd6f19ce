//! The drivers against a real Apache Kafka, built as a contract builds them.

mod ingress;
mod output;
mod trouble;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use hook_core::{
    driver::BuildContext,
    inherited::Inherited,
    plan::KafkaConnection,
    ports::{Accept, Answer, Egress, RawEvent, Readiness, Refusal, Refused, RunError},
    secret::Environment,
};
use hook_event::{Clock, Entropy, Event, EventId, Meta};
use hook_kafka::{EGRESS, INGRESS};
use jiff::Timestamp;
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
    message::{Header, Headers, OwnedHeaders},
    producer::{FutureProducer, FutureRecord},
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::support::{PATIENCE, unique, until};

/// The environment of a seed that opts in to plaintext.
fn open(brokers: &str) -> Vec<(String, String)> {
    let variables = [
        ("KAFKA_BROKERS", brokers),
        ("KAFKA_SECURITY_PROTOCOL", "plaintext"),
        ("KAFKA_ALLOW_PLAINTEXT", "true"),
    ];
    variables.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
}

fn context(environment: Vec<(String, String)>) -> BuildContext {
    BuildContext {
        id: Arc::from("under-test"),
        environment: Environment::new(environment),
        clock: Clock::of(|| Timestamp::from_second(1_753_000_000).unwrap()),
        entropy: Entropy::SYSTEM,
        inherited: Inherited::default(),
        kafka: KafkaConnection::default(),
    }
}

fn keys(text: &str) -> Spanned<DeValue<'_>> {
    let table = DeTable::parse(text).unwrap();
    Spanned::new(table.span(), DeValue::Table(table.into_inner()))
}

/// `kafka_output`, as the program builds it.
async fn output(text: &str, environment: Vec<(String, String)>) -> Arc<dyn Egress> {
    let config = (EGRESS[0].parse)(keys(text)).unwrap();
    assert_eq!(config.check(), []);
    config.build(&context(environment)).await.unwrap()
}

/// An event that must stay in order with others of `key`.
fn event(key: &str, payload: &str) -> Event {
    let received_at = Timestamp::from_second(1_753_000_000).unwrap();
    Event {
        id: EventId::new(received_at, Entropy::SYSTEM),
        source: "github".into(),
        event_type: "push".into(),
        received_at,
        meta: Meta {
            trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736".into()),
            subject: Some("acme/api".into()),
            ordering_key: Some(key.into()),
            ..Meta::default()
        },
        payload: Bytes::copy_from_slice(payload.as_bytes()),
    }
}

/// A topic with a name of its own.
async fn topic(brokers: &str, partitions: i32, settings: &[(&str, &str)]) -> String {
    let name = unique();
    create(brokers, &name, partitions, settings).await;
    name
}

async fn create(brokers: &str, name: &str, partitions: i32, settings: &[(&str, &str)]) {
    let admin: AdminClient<DefaultClientContext> = client(brokers).create().unwrap();
    let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    let topic = settings.iter().fold(topic, |topic, (key, value)| topic.set(key, value));
    admin.create_topics([&topic], &AdminOptions::new()).await.unwrap().remove(0).unwrap();
}

fn client(brokers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers);
    config
}

/// A record as any client of Kafka sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    partition: i32,
    key: Option<String>,
    value: Bytes,
    headers: Vec<(String, String)>,
}

impl Seen {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }
}

/// What a topic holds, once it holds so many.
async fn records(brokers: &str, topic: &str, count: usize) -> Vec<Seen> {
    let (config, topic) = (client(brokers), topic.to_owned());
    let read = tokio::task::spawn_blocking(move || read(config, &topic, count));
    tokio::time::timeout(PATIENCE * 2, read).await.unwrap().unwrap()
}

fn read(mut config: ClientConfig, topic: &str, count: usize) -> Vec<Seen> {
    let consumer: BaseConsumer = config.set("group.id", "reader").create().unwrap();
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).unwrap();
    let mut all = TopicPartitionList::new();
    for partition in metadata.topics()[0].partitions() {
        all.add_partition_offset(topic, partition.id(), Offset::Beginning).unwrap();
    }
    consumer.assign(&all).unwrap();
    let mut seen = Vec::new();
    let until = std::time::Instant::now() + PATIENCE;
    while seen.len() < count && std::time::Instant::now() < until {
        let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) else { continue };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let headers = message.headers().into_iter().flat_map(Headers::iter);
        seen.push(Seen {
            partition: message.partition(),
            key: message.key().map(text),
            value: Bytes::copy_from_slice(message.payload().unwrap_or_default()),
            headers: headers
                .map(|header| (header.key.to_owned(), header.value.map(text).unwrap_or_default()))
                .collect(),
        });
    }
    assert!(seen.len() >= count, "{} of {count} records came", seen.len());
    seen
}

/// Produces as somebody else's program would.
struct Other {
    producer: FutureProducer,
    topic: String,
}

impl Other {
    fn to(brokers: &str, topic: &str) -> Self {
        Self { producer: client(brokers).create().unwrap(), topic: topic.to_owned() }
    }

    async fn send(&self, key: Option<&str>, value: Option<&[u8]>, headers: &[(&str, &str)]) {
        let all = headers
            .iter()
            .fold(OwnedHeaders::new(), |all, (key, value)| all.insert(Header { key, value: Some(*value) }));
        let mut record = FutureRecord::<str, [u8]>::to(&self.topic).headers(all);
        record.key = key;
        record.payload = value;
        self.producer.send(record, PATIENCE).await.unwrap();
    }
}

type Script = dyn Fn(&RawEvent) -> Result<(), Refusal> + Send + Sync;

/// A pipeline that answers by script and remembers what it took.
struct Pipeline {
    script: Box<Script>,
    taken: Mutex<Vec<RawEvent>>,
    aside: Mutex<Vec<Refused>>,
}

impl Pipeline {
    fn new(script: impl Fn(&RawEvent) -> Result<(), Refusal> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { script: Box::new(script), taken: Mutex::default(), aside: Mutex::default() })
    }

    fn willing() -> Arc<Self> {
        Self::new(|_| Ok(()))
    }

    fn taken(&self) -> Vec<RawEvent> {
        self.taken.lock().unwrap().clone()
    }

    fn aside(&self) -> Vec<Refused> {
        self.aside.lock().unwrap().clone()
    }

    /// What it took, as text, in order.
    fn bodies(&self) -> Vec<String> {
        self.taken().iter().map(|raw| String::from_utf8_lossy(&raw.body).into_owned()).collect()
    }

    async fn wait_for(&self, count: usize) {
        until(&format!("{count} events"), async || self.taken.lock().unwrap().len() >= count).await;
    }
}

#[async_trait]
impl Accept for Pipeline {
    fn admit(&self, _: &str, _: Option<std::net::IpAddr>) -> Result<(), Refusal> {
        Ok(())
    }

    async fn accept(&self, raw: RawEvent) -> Result<Answer, Refusal> {
        (self.script)(&raw)?;
        self.taken.lock().unwrap().push(raw);
        Ok(Answer::Suppressed)
    }

    async fn set_aside(&self, refused: Refused) -> Result<(), Refusal> {
        self.aside.lock().unwrap().push(refused);
        Ok(())
    }

    fn readiness(&self) -> Readiness {
        Readiness { ready: true, profile: String::new(), validation_mode: String::new(), reason: None }
    }
}

/// A `kafka_ingress` that runs.
struct Running {
    stop: CancellationToken,
    task: JoinHandle<Result<(), RunError>>,
}

impl Running {
    async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.task).await.expect("it stops").unwrap().unwrap();
    }
}

async fn ingress(text: &str, environment: Vec<(String, String)>, pipeline: &Arc<Pipeline>) -> Running {
    let config = (INGRESS[0].parse)(keys(text)).unwrap();
    assert_eq!(config.check(), []);
    let built = config.build(&context(environment)).await.unwrap();
    let (stop, accept) = (CancellationToken::new(), Arc::clone(pipeline));
    let task = tokio::spawn(built.run(accept, stop.clone()));
    Running { stop, task }
}
