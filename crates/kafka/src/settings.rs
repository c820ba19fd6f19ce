//! One client configuration for everything that speaks Kafka.
//!
//! It is made of what the contract says and of the environment, and the contract wins
//! where both speak: what was checked is what runs. Secrets come from the environment
//! alone. Nothing is sent in the clear without a second opt-in from the same place as
//! the first.

use std::{fmt, path::PathBuf, str::FromStr, time::Duration};

use hook_core::{
    plan::{
        Backend, KafkaConnection, KafkaPlan, LogPlan, ProducerPlan, Retention, SaslMechanism,
        SecurityProtocol, TlsFiles,
    },
    secret::{Environment, SecretError, SecretRef},
};
use hook_log::Topic;
use rdkafka::ClientConfig;
use secrecy::{ExposeSecret, SecretString};

/// The largest record taken, key and value together: as much as the embedded log takes.
const MAX_RECORD_BYTES: usize = 32 << 20;
/// A member that is not heard of for so long is dead, and its lanes go to others.
const SESSION: Duration = Duration::from_secs(10);
/// One whose thread stands still for so long is dead too.
const POLLED_WITHIN: Duration = Duration::from_secs(60);

/// How to reach a cluster.
#[derive(Clone)]
pub struct Connection {
    brokers: Vec<String>,
    protocol: SecurityProtocol,
    tls: TlsFiles,
    sasl: Option<Sasl>,
}

#[derive(Clone)]
struct Sasl {
    mechanism: SaslMechanism,
    username: SecretString,
    password: SecretString,
}

/// A log in a cluster: how to reach it, and how it is used.
#[derive(Clone, Debug)]
pub struct Settings {
    connection: Connection,
    plan: KafkaPlan,
    /// The topic of dead letters.
    pub dead_letters: Topic,
    /// Whether topics that are missing are created.
    pub auto_create_topics: bool,
    /// Partitions of a topic that is created.
    pub topic_partitions: u32,
    /// Replicas of a topic that is created.
    pub topic_replication_factor: u32,
    /// What is kept of topics that are created.
    pub retention: Retention,
    /// What is kept of dead letters.
    pub dead_letter_retention: Retention,
    /// The size of a segment of topics that are created.
    pub segment_bytes: u64,
    /// The largest record taken, key and value together.
    pub max_record_bytes: usize,
    /// A member that is not heard of for so long is dead.
    pub session_timeout: Duration,
    /// A member whose thread stands still for so long is dead too.
    pub poll_interval: Duration,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SettingsError {
    /// Nothing says where the cluster is.
    #[error("no broker is named\n  hint: write `brokers = [\"host:9093\"]`, or set `KAFKA_BROKERS`")]
    NoBrokers,
    /// A variable holds what it cannot.
    #[error("the environment variable `{name}` is `{value}`, expected {expected}")]
    Variable {
        /// Its name.
        name: &'static str,
        /// What it holds.
        value: String,
        /// What it may hold.
        expected: &'static str,
    },
    /// Everybody on the way could read along, and only one of two opt-ins is there.
    #[error(
        "`{protocol}` sends events in the clear and is only opted in to once\n  hint: use `ssl` or `sasl_ssl`, or write {second} as well"
    )]
    Plaintext {
        /// The protocol.
        protocol: &'static str,
        /// The opt-in that is missing.
        second: &'static str,
    },
    /// Two keys do not fit together.
    #[error("{0}")]
    Conflict(String),
    /// A secret is missing.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A certificate cannot be read.
    #[error("cannot read {path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
}

impl Connection {
    /// What the contract and the environment say together.
    ///
    /// # Errors
    /// When something is missing, cannot be read or does not fit together.
    pub fn resolve(plan: &KafkaConnection, environment: &Environment) -> Result<Self, SettingsError> {
        let brokers = brokers(plan, environment).ok_or(SettingsError::NoBrokers)?;
        let protocol = protocol(plan, environment)?;
        let tls = tls(&plan.tls, protocol, environment)?;
        let sasl = protocol.has_sasl().then(|| sasl(plan, environment)).transpose()?;
        if sasl.is_none() && plan.sasl.mechanism.is_some() {
            let title = format!("`sasl` has no use with `{}`: use `sasl_ssl`", protocol.as_str());
            return Err(SettingsError::Conflict(title));
        }
        Ok(Self { brokers, protocol, tls, sasl })
    }

    /// What every client starts with: where, and how protected.
    pub fn client_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.brokers.join(","));
        config.set("security.protocol", self.protocol.as_str());
        config.set("client.id", "hook");
        config.set("socket.keepalive.enable", "true");
        config.set("socket.timeout.ms", "15000");
        // A broker that was replaced under its name is found again soon.
        config.set("reconnect.backoff.max.ms", "2000");
        config.set("log.connection.close", "false");
        let files = [
            ("ssl.certificate.location", &self.tls.cert_path),
            ("ssl.key.location", &self.tls.key_path),
            ("ssl.ca.location", &self.tls.ca_path),
        ];
        for (name, file) in files {
            if let Some(file) = file {
                config.set(name, file.display().to_string());
            }
        }
        if let Some(sasl) = &self.sasl {
            config.set("sasl.mechanism", sasl.mechanism.as_str());
            config.set("sasl.username", sasl.username.expose_secret());
            config.set("sasl.password", sasl.password.expose_secret());
        }
        config
    }

    /// Where it is, for a person.
    pub fn endpoint(&self) -> String {
        self.brokers.join(",")
    }

    /// How it is protected.
    pub fn protocol(&self) -> SecurityProtocol {
        self.protocol
    }
}

impl Settings {
    /// What the contract and the environment say together of the log.
    ///
    /// # Errors
    /// When something is missing, cannot be read or does not fit together; also when
    /// the plan's log is not in Kafka.
    pub fn resolve(plan: &LogPlan, environment: &Environment) -> Result<Self, SettingsError> {
        let Backend::Kafka(kafka) = &plan.backend else {
            return Err(SettingsError::Conflict("the contract's log is not in Kafka".to_owned()));
        };
        let number = |name, value: Option<u32>, default| -> Result<u32, SettingsError> {
            let from_environment = variable(environment, name, "a number above 0", positive)?;
            Ok(value.or(from_environment).unwrap_or(default))
        };
        let create = match kafka.auto_create_topics {
            Some(create) => create,
            None => flag(environment, "KAFKA_AUTO_CREATE_TOPICS")?.unwrap_or(true),
        };
        Ok(Self {
            connection: Connection::resolve(&kafka.connection, environment)?,
            dead_letters: dead_letters(plan, kafka, environment)?,
            auto_create_topics: create,
            topic_partitions: number("KAFKA_TOPIC_PARTITIONS", kafka.topic_partitions, 3)?,
            topic_replication_factor: number(
                "KAFKA_TOPIC_REPLICATION_FACTOR",
                kafka.topic_replication_factor,
                1,
            )?,
            plan: (**kafka).clone(),
            retention: plan.retention,
            dead_letter_retention: plan.dead_letter_retention,
            segment_bytes: plan.segment_bytes,
            max_record_bytes: MAX_RECORD_BYTES,
            session_timeout: SESSION,
            poll_interval: POLLED_WITHIN,
        })
    }

    /// What every client starts with: where, and how protected. Whoever makes one adds
    /// only what its kind needs.
    pub fn client_config(&self) -> ClientConfig {
        self.connection.client_config()
    }

    /// Where the cluster is, for a person.
    pub fn endpoint(&self) -> String {
        self.connection.endpoint()
    }

    /// Whether a topic of the cluster belongs to this log.
    pub fn holds(&self, topic: &str) -> bool {
        self.plan.holds(topic, &self.dead_letters)
    }

    /// How records are published.
    pub fn producer(&self) -> ProducerPlan {
        self.plan.producer
    }
}

fn brokers(plan: &KafkaConnection, environment: &Environment) -> Option<Vec<String>> {
    let from_environment = || {
        let text = environment.get("KAFKA_BROKERS")?;
        let brokers = text.split(',').map(str::trim).filter(|broker| !broker.is_empty());
        Some(brokers.map(str::to_owned).collect())
    };
    plan.brokers.clone().or_else(from_environment).filter(|brokers| !brokers.is_empty())
}

/// How the connection is protected; in the clear only by two keys of one place.
fn protocol(plan: &KafkaConnection, environment: &Environment) -> Result<SecurityProtocol, SettingsError> {
    let (protocol, allowed, second) = match plan.security_protocol {
        Some(protocol) => (protocol, plan.allow_plaintext == Some(true), "`allow_plaintext = true`"),
        None => {
            let expected = "`plaintext`, `ssl`, `sasl_plaintext` or `sasl_ssl`";
            let protocol = variable(environment, "KAFKA_SECURITY_PROTOCOL", expected, security_protocol)?;
            let allowed = flag(environment, "KAFKA_ALLOW_PLAINTEXT")? == Some(true);
            (protocol.unwrap_or_default(), allowed, "`KAFKA_ALLOW_PLAINTEXT=true`")
        }
    };
    if protocol.is_plaintext() && !allowed {
        return Err(SettingsError::Plaintext { protocol: protocol.as_str(), second });
    }
    Ok(protocol)
}

/// The files, each readable now: librdkafka would say less of one that is not.
fn tls(
    plan: &TlsFiles,
    protocol: SecurityProtocol,
    environment: &Environment,
) -> Result<TlsFiles, SettingsError> {
    if protocol.is_plaintext() {
        return match *plan == TlsFiles::default() {
            true => Ok(TlsFiles::default()),
            false => Err(SettingsError::Conflict(format!("`tls` has no use with `{}`", protocol.as_str()))),
        };
    }
    let file = |written: &Option<PathBuf>, name| {
        written.clone().or_else(|| environment.get(name).filter(|path| !path.is_empty()).map(PathBuf::from))
    };
    let tls = TlsFiles {
        cert_path: file(&plan.cert_path, "KAFKA_TLS_CERT"),
        key_path: file(&plan.key_path, "KAFKA_TLS_KEY"),
        ca_path: file(&plan.ca_path, "KAFKA_TLS_CA"),
    };
    if tls.cert_path.is_some() != tls.key_path.is_some() {
        return Err(SettingsError::Conflict("`cert_path` and `key_path` go together".to_owned()));
    }
    for path in [&tls.cert_path, &tls.key_path, &tls.ca_path].into_iter().flatten() {
        let failed =
            |error: std::io::Error| SettingsError::File { path: path.clone(), reason: error.to_string() };
        std::fs::read(path).map_err(failed)?;
    }
    Ok(tls)
}

fn sasl(plan: &KafkaConnection, environment: &Environment) -> Result<Sasl, SettingsError> {
    let expected = "`PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`";
    let mechanism = match plan.sasl.mechanism {
        Some(mechanism) => Some(mechanism),
        None => variable(environment, "KAFKA_SASL_MECHANISM", expected, sasl_mechanism)?,
    };
    let mechanism = mechanism.ok_or_else(|| {
        SettingsError::Conflict(format!("the key `mechanism` of `sasl` is missing: write {expected}"))
    })?;
    let secret = |named: &Option<String>, default: &str| {
        let name = named.as_deref().unwrap_or(default);
        environment.secret(&SecretRef::Env(name.to_owned()))
    };
    Ok(Sasl {
        mechanism,
        username: secret(&plan.sasl.username_env, "KAFKA_SASL_USERNAME")?,
        password: secret(&plan.sasl.password_env, "KAFKA_SASL_PASSWORD")?,
    })
}

fn dead_letters(
    plan: &LogPlan,
    kafka: &KafkaPlan,
    environment: &Environment,
) -> Result<Topic, SettingsError> {
    let name = "KAFKA_DLQ_TOPIC";
    let from_environment = match kafka.dead_letters {
        Some(_) => None,
        None => variable(environment, name, "a topic's name that does not begin with `hook.`", own_topic)?,
    };
    Ok(from_environment.unwrap_or_else(|| plan.dead_letters.clone()))
}

/// A variable's value, if it is set to one.
fn variable<T>(
    environment: &Environment,
    name: &'static str,
    expected: &'static str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, SettingsError> {
    let Some(value) = environment.get(name).map(str::trim).filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let wrong = || SettingsError::Variable { name, value: value.to_owned(), expected };
    read(value).map(Some).ok_or_else(wrong)
}

fn flag(environment: &Environment, name: &'static str) -> Result<Option<bool>, SettingsError> {
    variable(environment, name, "`true` or `false`", |text| match text {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    })
}

fn positive(text: &str) -> Option<u32> {
    u32::from_str(text).ok().filter(|number| *number > 0)
}

fn own_topic(text: &str) -> Option<Topic> {
    Topic::new(text).ok().filter(|topic| !topic.as_str().starts_with("hook."))
}

fn security_protocol(text: &str) -> Option<SecurityProtocol> {
    use SecurityProtocol::{Plaintext, SaslPlaintext, SaslSsl, Ssl};
    [Plaintext, Ssl, SaslPlaintext, SaslSsl].into_iter().find(|one| one.as_str().eq_ignore_ascii_case(text))
}

fn sasl_mechanism(text: &str) -> Option<SaslMechanism> {
    use SaslMechanism::{Plain, ScramSha256, ScramSha512};
    [Plain, ScramSha256, ScramSha512].into_iter().find(|one| one.as_str().eq_ignore_ascii_case(text))
}

/// Where it leads, and no secret.
impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("brokers", &self.brokers)
            .field("protocol", &self.protocol)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
