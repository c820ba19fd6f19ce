//! `[log.kafka]`: the seed's `[kafka_core]`, read strictly.
//!
//! Every key acts. Where a value of the seed's cannot mean anything here (`commit_mode`
//! has one way that loses nothing), only that value is taken. Secrets are named: a
//! password that was written is refused with the name of the key to use.

use std::{num::NonZeroU32, ops::Range, time::Duration};

use hook_log::Topic;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de::Error};
use toml::Spanned;

use super::{
    report::Report,
    written::{Log, Text},
};
use crate::plan::{
    Backend, KafkaConnection, KafkaPlan, OffsetReset, ProducerPlan, SaslMechanism, SaslPlan,
    SecurityProtocol, StartFrom, TlsFiles,
};

/// The prefix of the seed's topics.
const PREFIX: &str = "webhooks";

/// A log in a Kafka cluster.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Kafka {
    /// `host:port` of some of the cluster's brokers; `KAFKA_BROKERS` unless written.
    #[schemars(with = "Option<Vec<String>>")]
    brokers: Option<Spanned<Vec<String>>>,
    /// `ssl` (the default), `sasl_ssl`, or with `allow_plaintext` also `plaintext` and `sasl_plaintext`.
    #[schemars(with = "Option<SecurityProtocol>")]
    security_protocol: Option<Spanned<SecurityProtocol>>,
    /// The second opt-in without which nothing is sent in the clear.
    allow_plaintext: Option<bool>,
    /// Topics of events begin with this and a dot; others of the cluster are left alone. `webhooks` unless written.
    #[schemars(with = "Option<String>")]
    topic_prefix_core: Option<Text>,
    /// The topic of dead letters, as `dlq_topic` in `[log]`.
    #[schemars(with = "Option<String>")]
    pub(super) dlq_topic: Option<Text>,
    /// Whether topics that are missing are created; yes unless written.
    auto_create_topics: Option<bool>,
    /// Partitions of a topic that is created; 3 unless written.
    topic_partitions: Option<NonZeroU32>,
    /// Replicas of a topic that is created; 1 unless written.
    topic_replication_factor: Option<NonZeroU32>,
    /// Files for TLS.
    #[schemars(with = "Option<TlsFiles>")]
    tls: Option<Spanned<TlsFiles>>,
    /// Who we are, by name and password.
    #[schemars(with = "Option<Sasl>")]
    sasl: Option<Spanned<Sasl>>,
    /// How records are published.
    #[serde(default)]
    producer_defaults: ProducerDefaults,
    /// How records are read.
    #[serde(default)]
    consumer_defaults: ConsumerDefaults,
}

/// A Kafka cluster that a bridge reads from or writes to. All its topics may be named.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Cluster {
    /// `host:port` of some of the cluster's brokers; `KAFKA_BROKERS` unless written.
    #[schemars(with = "Option<Vec<String>>")]
    brokers: Option<Spanned<Vec<String>>>,
    /// `ssl` (the default), `sasl_ssl`, or with `allow_plaintext` also `plaintext` and `sasl_plaintext`.
    #[schemars(with = "Option<SecurityProtocol>")]
    security_protocol: Option<Spanned<SecurityProtocol>>,
    /// The second opt-in without which nothing is sent in the clear.
    allow_plaintext: Option<bool>,
    /// The topic of dead letters for what is read here; the log's `dlq_topic` unless written.
    #[schemars(with = "Option<String>")]
    dlq_topic: Option<Text>,
    /// Whether topics that are missing are created; yes unless written.
    auto_create_topics: Option<bool>,
    /// Partitions of a topic that is created; 3 unless written.
    topic_partitions: Option<NonZeroU32>,
    /// Replicas of a topic that is created; 1 unless written.
    topic_replication_factor: Option<NonZeroU32>,
    /// Files for TLS.
    #[schemars(with = "Option<TlsFiles>")]
    tls: Option<Spanned<TlsFiles>>,
    /// Who we are, by name and password.
    #[schemars(with = "Option<Sasl>")]
    sasl: Option<Spanned<Sasl>>,
    /// How records are published.
    #[serde(default)]
    producer_defaults: ProducerDefaults,
}

/// Who we are, by name and password.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Sasl {
    /// How the password is shown: `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`.
    mechanism: Option<SaslMechanism>,
    /// The variable that holds the name; `KAFKA_SASL_USERNAME` unless written.
    username_env: Option<String>,
    /// The variable that holds the password; `KAFKA_SASL_PASSWORD` unless written.
    password_env: Option<String>,
    #[serde(default, rename = "username")]
    #[schemars(skip)]
    _username: Written,
    #[serde(default, rename = "password")]
    #[schemars(skip)]
    _password: Written,
}

/// A secret that was written: no value of it is taken.
#[derive(Clone, Default)]
struct Written;

/// How records are published.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ProducerDefaults {
    /// Records that may be on their way at once; whoever comes then waits. 4096 unless written.
    publish_queue_capacity: Option<NonZeroU32>,
    /// How often a record is sent again before its append fails; 5 unless written.
    publish_max_retries: Option<u32>,
    /// The first wait before a record is sent again, in milliseconds; 200 unless written.
    publish_backoff_base_ms: Option<NonZeroU32>,
    /// The longest such wait, in milliseconds; 5000 unless written.
    #[schemars(with = "Option<NonZeroU32>")]
    publish_backoff_max_ms: Option<Spanned<NonZeroU32>>,
}

/// How records are read.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ConsumerDefaults {
    /// `async`: commits follow what was settled, in order, without delivery waiting for them.
    #[schemars(with = "Option<CommitMode>")]
    #[serde(rename = "commit_mode")]
    _commit_mode: Option<CommitMode>,
    /// Where a destination begins that has no `start_from`: `earliest` (the default) or `latest`.
    auto_offset_reset: Option<OffsetReset>,
}

/// The one way of committing that loses nothing and holds nothing up.
#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
enum CommitMode {
    /// In the background, after an event is settled.
    Async,
}

impl<'de> Deserialize<'de> for CommitMode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "async" => Ok(Self::Async),
            other => Err(D::Error::custom(format!(
                "`{other}` is no way to commit here: offsets follow what was settled, so write `async` or leave it out"
            ))),
        }
    }
}

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(D::Error::custom(
            "secrets are named, never written: put the values into environment variables and write their names as `username_env` and `password_env`",
        ))
    }
}

/// Where the log is.
pub(super) fn backend(log: &Log, report: &mut Report) -> Backend {
    let written = log.kafka.as_ref();
    match log.backend.as_ref().map_or("embedded", |backend| backend.get_ref()) {
        "embedded" => {
            if let Some(kafka) = written {
                let title = "`[log.kafka]` has no use with the backend `embedded`";
                report
                    .error("bad_value", kafka.span(), title)
                    .help("write `backend = \"kafka\"` into `[log]`");
            }
            Backend::Embedded
        }
        "kafka" => {
            if let Some(size) = &log.min_free_bytes {
                let title =
                    "`min_free_bytes` has no use with the backend `kafka`: the brokers watch their disks";
                report.error("bad_value", size.span(), title);
            }
            let default = Kafka::default();
            let span = log.backend.as_ref().map_or(0..0, Spanned::span);
            let (kafka, span) = written.map_or((&default, span), |kafka| (kafka.get_ref(), kafka.span()));
            Backend::Kafka(Box::new(kafka.plan(log, &span, report)))
        }
        other => {
            let span = log.backend.as_ref().map_or(0..0, Spanned::span);
            let title = format!("`{other}` is not a backend");
            report.error("bad_value", span, title).help("expected `embedded` or `kafka`");
            Backend::Embedded
        }
    }
}

/// Where a destination begins that does not say it.
pub(super) fn first_start(log: &Log) -> StartFrom {
    let written = log.kafka.as_ref().and_then(|kafka| kafka.get_ref().consumer_defaults.auto_offset_reset);
    match written {
        Some(OffsetReset::Latest) => StartFrom::Now,
        Some(OffsetReset::Earliest) | None => StartFrom::Beginning,
    }
}

impl Kafka {
    fn plan(&self, log: &Log, span: &Range<usize>, report: &mut Report) -> KafkaPlan {
        self.check_security(report);
        self.check_names(log, report);
        KafkaPlan {
            connection: KafkaConnection {
                brokers: self.brokers(report),
                security_protocol: self.security_protocol.as_ref().map(|protocol| *protocol.get_ref()),
                allow_plaintext: self.allow_plaintext,
                tls: self.tls.as_ref().map(|tls| tls.get_ref().clone()).unwrap_or_default(),
                sasl: self.sasl.as_ref().map(|sasl| sasl.get_ref().plan()).unwrap_or_default(),
            },
            topic_prefix: self
                .topic_prefix_core
                .as_ref()
                .map_or_else(|| PREFIX.to_owned(), |prefix| prefix.get_ref().clone()),
            dead_letters: self
                .dlq_topic
                .as_ref()
                .or(log.dlq_topic.as_ref())
                .and_then(|topic| Topic::new(topic.get_ref()).ok()),
            auto_create_topics: self.auto_create_topics,
            topic_partitions: self.topic_partitions.map(NonZeroU32::get),
            topic_replication_factor: self.topic_replication_factor.map(NonZeroU32::get),
            producer: self.producer_defaults.plan(span, report),
            auto_offset_reset: self.consumer_defaults.auto_offset_reset.unwrap_or_default(),
        }
    }

    fn brokers(&self, report: &mut Report) -> Option<Vec<String>> {
        let brokers = self.brokers.as_ref()?;
        let is_broker = |broker: &String| {
            let port = broker.rsplit_once(':').filter(|(host, _)| !host.is_empty());
            port.is_some_and(|(_, port)| port.parse::<u16>().is_ok_and(|port| port > 0))
        };
        if brokers.get_ref().is_empty() {
            report.error("bad_value", brokers.span(), "`brokers` is empty: write `[\"host:9093\"]`");
        }
        if let Some(broker) = brokers.get_ref().iter().find(|broker| !is_broker(broker)) {
            let title = format!("`{broker}` is no broker: write `host:port`");
            report.error("bad_value", brokers.span(), title);
        }
        Some(brokers.get_ref().clone())
    }

    fn check_security(&self, report: &mut Report) {
        let Some(protocol) = &self.security_protocol else { return };
        let name = protocol.get_ref().as_str();
        if protocol.get_ref().is_plaintext() && self.allow_plaintext != Some(true) {
            let title = format!("`{name}` sends events in the clear");
            report.error("insecure", protocol.span(), title).help(
                "use `ssl` or `sasl_ssl`; where nobody can listen, write `allow_plaintext = true` beside it",
            );
        }
        if let Some(tls) = &self.tls
            && protocol.get_ref().is_plaintext()
        {
            report.error("bad_value", tls.span(), format!("`tls` has no use with `{name}`"));
        }
        if let Some(sasl) = &self.sasl
            && !protocol.get_ref().has_sasl()
        {
            let finding = report.error("bad_value", sasl.span(), format!("`sasl` has no use with `{name}`"));
            finding.help("write `security_protocol = \"sasl_ssl\"`");
        }
        if let Some(tls) = &self.tls
            && tls.get_ref().cert_path.is_some() != tls.get_ref().key_path.is_some()
        {
            report.error("bad_value", tls.span(), "`cert_path` and `key_path` go together");
        }
    }

    fn check_names(&self, log: &Log, report: &mut Report) {
        if let Some(prefix) = &self.topic_prefix_core
            && (Topic::new(prefix.get_ref()).is_err() || prefix.get_ref() == "hook")
        {
            let title = format!("`{}` is no prefix of a topic's name", prefix.get_ref());
            report.error("bad_name", prefix.span(), title).help("write it like `webhooks`");
        }
        if let (Some(here), Some(there)) = (&self.dlq_topic, &log.dlq_topic)
            && here.get_ref() != there.get_ref()
        {
            report.error("bad_value", here.span(), "`dlq_topic` in `[log]` says otherwise");
        }
    }
}

impl Cluster {
    pub(super) fn plan(&self, span: &Range<usize>, report: &mut Report) -> KafkaPlan {
        let dead_letters = self.dlq_topic.clone();
        if let Some(topic) = &dead_letters
            && let Err(error) = Topic::new(topic.get_ref())
        {
            report.error("bad_name", topic.span(), error.to_string());
        }
        let kafka = Kafka {
            brokers: self.brokers.clone(),
            security_protocol: self.security_protocol.clone(),
            allow_plaintext: self.allow_plaintext,
            topic_prefix_core: None,
            dlq_topic: dead_letters,
            auto_create_topics: self.auto_create_topics,
            topic_partitions: self.topic_partitions,
            topic_replication_factor: self.topic_replication_factor,
            tls: self.tls.clone(),
            sasl: self.sasl.clone(),
            producer_defaults: self.producer_defaults.clone(),
            consumer_defaults: ConsumerDefaults::default(),
        };
        KafkaPlan { topic_prefix: String::new(), ..kafka.plan(&Log::default(), span, report) }
    }
}

impl Sasl {
    fn plan(&self) -> SaslPlan {
        SaslPlan {
            mechanism: self.mechanism,
            username_env: self.username_env.clone(),
            password_env: self.password_env.clone(),
        }
    }
}

impl ProducerDefaults {
    fn plan(&self, span: &Range<usize>, report: &mut Report) -> ProducerPlan {
        let default = ProducerPlan::default();
        let millis = |ms: NonZeroU32| Duration::from_millis(ms.get().into());
        let base = self.publish_backoff_base_ms.map_or(default.backoff_base, millis);
        let max = self.publish_backoff_max_ms.as_ref();
        let longest = max.map_or(default.backoff_max, |max| millis(*max.get_ref()));
        if longest < base {
            let span = max.map_or_else(|| span.clone(), Spanned::span);
            let title = "`publish_backoff_max_ms` is smaller than `publish_backoff_base_ms`";
            report.error("bad_value", span, title);
        }
        if base.max(longest) > Duration::from_secs(300) {
            report.error("bad_value", span.clone(), "the waits of `producer_defaults` are at most 300000 ms");
        }
        ProducerPlan {
            queue_capacity: self.publish_queue_capacity.map_or(default.queue_capacity, NonZeroU32::get),
            max_retries: self.publish_max_retries.unwrap_or(default.max_retries),
            backoff_base: base,
            backoff_max: longest,
        }
    }
}
