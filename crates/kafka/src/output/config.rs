//! The keys of `kafka_output`.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use hook_core::{
    driver::{BuildContext, BuildError, EgressConfig, Problem, as_settings},
    expr::{Template, View},
    plan::{SecurityProtocol, TlsFiles},
    ports::{DeliverError, Egress, Failure},
    secret::SecretRef,
};
use hook_event::Event;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use super::{
    deliver::KafkaOutput,
    producer::Publisher,
    wire::{self, Body, KeyMode, Wire},
};
use crate::adapter::{self, Own, Sasl};

/// More waits for no broker: the engine would rather know.
const MOST_SECONDS: u64 = 300;

#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    /// The topic, or a template that names it for each event, such as `orders.{{ source }}`.
    #[schemars(with = "String")]
    topic: Target,
    /// What the record's key is: `event_id`, `source`, `ordering_key` (so that related
    /// events share a partition), or `none`.
    key_mode: KeyMode,
    /// What the record holds: `envelope` (the default), `payload` (the sender's bytes),
    /// `cloudevents` (1.0, structured) or `cloudevents_binary`.
    #[serde(default)]
    body: Body,
    /// Headers of every record, as written; none may be a secret.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// One attempt, from the first byte to the last replica; 20 unless written.
    #[serde(default = "twenty")]
    timeout_seconds: u64,
    /// `host:port` of some of the cluster's brokers; those of `[log.kafka]` or `KAFKA_BROKERS` unless written.
    #[serde(default)]
    brokers: Option<Vec<String>>,
    /// `ssl`, `sasl_ssl`, or with `allow_plaintext` also `plaintext` and `sasl_plaintext`; as the log's unless written.
    #[serde(default)]
    security_protocol: Option<SecurityProtocol>,
    /// The second opt-in without which nothing is sent in the clear.
    #[serde(default)]
    allow_plaintext: Option<bool>,
    /// Files for TLS; the log's unless written.
    #[serde(default)]
    tls: Option<TlsFiles>,
    /// Who we are, by name and password; as at the log's cluster unless written.
    #[serde(default)]
    sasl: Option<Sasl>,
}

/// Which topic an event goes to.
#[derive(Clone)]
pub(super) enum Target {
    /// Always this one.
    Fixed(String),
    /// What the event makes of it.
    Template(Box<Template>),
}

impl Target {
    /// The topic of an event.
    pub(super) fn of(&self, event: &Event) -> Result<String, DeliverError> {
        let template = match self {
            Self::Fixed(topic) => return Ok(topic.clone()),
            Self::Template(template) => template,
        };
        let topic = template.render(&View::of(event)).map_err(|error| {
            let failure = Failure::because(format!("the topic's template fails on this event: {error}"));
            match error.timed_out {
                true => DeliverError::Failed(failure),
                false => DeliverError::Refused(failure),
            }
        })?;
        match adapter::is_topic(&topic) {
            true => Ok(topic),
            // What the template made may be a part of the payload, so it is not repeated.
            false => Err(DeliverError::Refused(Failure::because("the template made no name of a topic"))),
        }
    }

    /// The one topic, if there is only one.
    pub(super) fn fixed(&self) -> Option<&str> {
        match self {
            Self::Fixed(topic) => Some(topic),
            Self::Template(_) => None,
        }
    }
}

#[async_trait]
impl EgressConfig for Config {
    fn settings(&self) -> serde_json::Value {
        as_settings(self)
    }

    fn secrets(&self) -> Vec<SecretRef> {
        self.own().secrets()
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = self.own().check();
        if let Some(topic) = self.topic.fixed()
            && !adapter::is_topic(topic)
        {
            let message = format!("`{topic}` is no name of a topic: use 1 to 249 of a-z A-Z 0-9 . _ -");
            problems.push(Problem { key: "topic", message });
        }
        if let Some(name) = self.headers.keys().find(|name| wire::is_reserved(name)) {
            let message = format!("`{name}` is set by hook and cannot be chosen");
            problems.push(Problem { key: "headers", message });
        }
        if !(1..=MOST_SECONDS).contains(&self.timeout_seconds) {
            let message = format!("`timeout_seconds` is between 1 and {MOST_SECONDS}");
            problems.push(Problem { key: "timeout_seconds", message });
        }
        problems
    }

    fn endpoint(&self) -> String {
        format!("Kafka topic {}{}", self.topic, self.own().place())
    }

    async fn build(&self, context: &BuildContext) -> Result<Arc<dyn Egress>, BuildError> {
        let connection = self.own().connect(context)?;
        let timeout = Duration::from_secs(self.timeout_seconds);
        let failed = |error: rdkafka::error::KafkaError| {
            BuildError::Resource(format!("the Kafka client cannot be set up: {error}"))
        };
        Ok(Arc::new(KafkaOutput {
            publisher: Publisher::new(&connection, timeout).map_err(failed)?,
            target: self.topic.clone(),
            wire: Wire { key: self.key_mode, body: self.body, headers: self.headers.clone() },
        }))
    }
}

impl Config {
    fn own(&self) -> Own<'_> {
        Own {
            brokers: self.brokers.as_ref(),
            security_protocol: self.security_protocol,
            allow_plaintext: self.allow_plaintext,
            tls: self.tls.as_ref(),
            sasl: self.sasl.as_ref(),
        }
    }
}

fn twenty() -> u64 {
    20
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.contains("{{") || text.contains("{%") {
            true => Ok(Self::Template(Box::new(Template::parse(&text).map_err(D::Error::custom)?))),
            false => Ok(Self::Fixed(text)),
        }
    }
}

/// As the contract writes it.
impl Serialize for Target {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(topic) => f.write_str(topic),
            Self::Template(template) => template.fmt(f),
        }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::event;

    fn config(keys: &str) -> Result<Config, String> {
        toml::from_str(keys).map_err(|error| error.to_string())
    }

    #[test]
    fn what_the_contract_can_get_wrong() {
        let check = |keys: &str, expected: &[&str]| {
            let text = format!("key_mode = 'none'\n{keys}");
            let problems = config(&text).unwrap().check();
            let found: Vec<_> = problems.iter().map(|problem| problem.key).collect();
            assert_eq!(found, expected, "{keys}: {problems:?}");
        };
        check("topic = 'a'", &[]);
        check("topic = ''", &["topic"]);
        check("topic = 'a b'", &["topic"]);
        check("topic = 'a.{{ source }}'", &[]);
        check("topic = 'a'\ntimeout_seconds = 0", &["timeout_seconds"]);
        check("topic = 'a'\ntimeout_seconds = 301", &["timeout_seconds"]);
        check("topic = 'a'\nheaders = { 'Webhook-Id' = '1' }", &["headers"]);
        check("topic = 'a'\nheaders = { ce_id = '1' }", &["headers"]);
        check("topic = 'a'\nheaders = { team = 'reviews' }", &[]);
        check("topic = 'a'\nbrokers = ['x']", &["brokers"]);
    }

    #[test]
    fn what_is_no_config_says_what_is() {
        let check = |keys: &str, says: &str| {
            let error = config(keys).unwrap_err();
            assert!(error.contains(says), "{keys}: {error}");
        };
        check("topic = 'a'", "key_mode");
        check("key_mode = 'none'", "topic");
        check("topic = 'a'\nkey_mode = 'id'", "`event_id`, `source`, `ordering_key`, `none`");
        check("topic = 'a'\nkey_mode = 'none'\nbody = 'json'", "`cloudevents_binary`");
        check("topic = '{{ paylod.x }}'\nkey_mode = 'none'", "payload");
        check("topic = 'a'\nkey_mode = 'none'\nsasl = { password = 'x' }", "unknown field `password`");
    }

    #[test]
    fn a_template_names_the_topic_of_each_event() {
        let of = |topic: &str| {
            config(&format!("topic = '{topic}'\nkey_mode = 'none'")).unwrap().topic.of(&event(b"{}"))
        };
        assert_eq!(of("orders").unwrap(), "orders");
        assert_eq!(of("out.{{ source }}").unwrap(), "out.github");
        for wrong in ["out {{ source }}", "{{ payload.x.y }}"] {
            assert!(matches!(of(wrong), Err(DeliverError::Refused(_))), "{wrong}");
        }
    }
}
