//! What a contract says about Kafka: a connection, and the log that lies behind it.
//!
//! Only what was written. What the environment adds (`KAFKA_*`, and every secret) is
//! merged in by whoever connects; the contract wins where both speak.

use std::{path::PathBuf, time::Duration};

use hook_log::Topic;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where the log is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// In the data directory.
    #[default]
    Embedded,
    /// In a Kafka cluster.
    Kafka(Box<KafkaPlan>),
}

/// A log in a Kafka cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaPlan {
    /// How to reach it.
    pub connection: KafkaConnection,
    /// The log's topics of events begin with this and a dot. Where it is empty, every topic
    /// is the log's that is not Kafka's own.
    pub topic_prefix: String,
    /// The topic of dead letters, where one was written.
    pub dead_letters: Option<Topic>,
    /// Whether topics that are missing are created; yes unless written.
    pub auto_create_topics: Option<bool>,
    /// Partitions of a topic that is created; 3 unless written.
    pub topic_partitions: Option<u32>,
    /// Replicas of a topic that is created; 1 unless written.
    pub topic_replication_factor: Option<u32>,
    /// How records are published.
    pub producer: ProducerPlan,
    /// Where a destination begins that does not say it.
    pub auto_offset_reset: OffsetReset,
}

/// How records are published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerPlan {
    /// Records that may be on their way at once.
    pub queue_capacity: u32,
    /// How often one is sent again.
    pub max_retries: u32,
    /// The first wait before that.
    pub backoff_base: Duration,
    /// The longest wait.
    pub backoff_max: Duration,
}

/// Where a group begins that has no place yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OffsetReset {
    /// At the oldest event retained.
    #[default]
    Earliest,
    /// At events from now on.
    Latest,
}

/// How to reach a Kafka cluster, as it was written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct KafkaConnection {
    /// `host:port` of some of its brokers.
    pub brokers: Option<Vec<String>>,
    /// How the connection is protected; `ssl` unless written.
    pub security_protocol: Option<SecurityProtocol>,
    /// The second opt-in without which nothing is sent in the clear.
    pub allow_plaintext: Option<bool>,
    /// Files for TLS.
    pub tls: TlsFiles,
    /// Who we are, by name and password.
    pub sasl: SaslPlan,
}

/// How a connection to Kafka is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SecurityProtocol {
    /// Not at all; needs `allow_plaintext`.
    Plaintext,
    /// TLS.
    #[default]
    Ssl,
    /// A password in the clear; needs `allow_plaintext`.
    SaslPlaintext,
    /// A password over TLS.
    SaslSsl,
}

/// How a password is shown to Kafka.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SaslMechanism {
    /// As it is.
    #[serde(rename = "PLAIN")]
    Plain,
    /// By a challenge, SHA-256.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// By a challenge, SHA-512.
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
}

/// Files for TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// Our certificate, PEM.
    pub cert_path: Option<PathBuf>,
    /// Its key, PEM.
    pub key_path: Option<PathBuf>,
    /// Who signs the brokers' certificates, PEM; the system's list unless written.
    pub ca_path: Option<PathBuf>,
}

/// Who we are, by name and password, both named and never written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SaslPlan {
    /// How the password is shown.
    pub mechanism: Option<SaslMechanism>,
    /// The variable that holds the name; `KAFKA_SASL_USERNAME` unless written.
    pub username_env: Option<String>,
    /// The variable that holds the password; `KAFKA_SASL_PASSWORD` unless written.
    pub password_env: Option<String>,
}

impl Backend {
    /// How the log's cluster is reached, where it is in one.
    pub fn connection(&self) -> KafkaConnection {
        match self {
            Self::Embedded => KafkaConnection::default(),
            Self::Kafka(kafka) => kafka.connection.clone(),
        }
    }
}

impl KafkaPlan {
    /// Whether a topic of the cluster belongs to this log; `dead_letters` is its topic of those.
    pub fn holds(&self, topic: &str, dead_letters: &Topic) -> bool {
        if self.topic_prefix.is_empty() {
            return !topic.starts_with("__");
        }
        let of_events = topic.strip_prefix(&self.topic_prefix).is_some_and(|rest| rest.starts_with('.'));
        of_events || topic.starts_with("hook.") || topic == dead_letters.as_str()
    }
}

impl Default for ProducerPlan {
    fn default() -> Self {
        Self {
            queue_capacity: 4096,
            max_retries: 5,
            backoff_base: Duration::from_millis(200),
            backoff_max: Duration::from_secs(5),
        }
    }
}

impl SecurityProtocol {
    /// Its name in contracts and in Kafka.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plaintext => "plaintext",
            Self::Ssl => "ssl",
            Self::SaslPlaintext => "sasl_plaintext",
            Self::SaslSsl => "sasl_ssl",
        }
    }

    /// Whether anybody on the way can read along.
    pub const fn is_plaintext(self) -> bool {
        matches!(self, Self::Plaintext | Self::SaslPlaintext)
    }

    /// Whether a name and a password are shown.
    pub const fn has_sasl(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }
}

impl SaslMechanism {
    /// Its name in contracts and in Kafka.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}
