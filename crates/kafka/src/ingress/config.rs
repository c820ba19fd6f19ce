//! The keys of `kafka_ingress`.

use async_trait::async_trait;
use hook_core::{
    driver::{BuildContext, BuildError, IngressConfig, Problem, as_settings},
    plan::{SecurityProtocol, StartFrom, TlsFiles},
    ports::{Ingress, Transport},
    secret::SecretRef,
    source::Pick,
};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use super::{reader, run::KafkaIngress};
use crate::adapter::{self, Own, Sasl};

/// The source of records that the contract names none for.
const SOURCE: &str = "kafka";

#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    /// The topics to read. One that is not there yet is read from when it is.
    topics: Vec<String>,
    /// The consumer group; processes with the same one share the partitions.
    group_id: String,
    /// The source that the events come from: a name, or where a record's headers say it,
    /// such as `{hook-source}` or `{ce_source}`; `kafka` unless written.
    #[serde(default = "kafka")]
    source: Pick,
    /// Where a new group begins: `beginning` (the default), `now`, or an RFC 3339 time.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    start_from: Begin,
    /// `host:port` of some of the cluster's brokers; those of `[log.kafka]` or `KAFKA_BROKERS` unless written.
    #[serde(default)]
    brokers: Option<Vec<String>>,
    /// `ssl`, `sasl_ssl`, or with `allow_plaintext` also `plaintext` and `sasl_plaintext`; as the log's unless written.
    #[serde(default)]
    security_protocol: Option<SecurityProtocol>,
    /// The second opt-in without which nothing is read in the clear.
    #[serde(default)]
    allow_plaintext: Option<bool>,
    /// Files for TLS; the log's unless written.
    #[serde(default)]
    tls: Option<TlsFiles>,
    /// Who we are, by name and password; as at the log's cluster unless written.
    #[serde(default)]
    sasl: Option<Sasl>,
}

/// Where a group begins that has no place yet.
#[derive(Clone, Copy, Debug)]
struct Begin(StartFrom);

#[async_trait]
impl IngressConfig for Config {
    fn settings(&self) -> serde_json::Value {
        as_settings(self)
    }

    fn secrets(&self) -> Vec<SecretRef> {
        self.own().secrets()
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = self.own().check();
        let mut when = |wrong: bool, key: &'static str, message: String| {
            if wrong {
                problems.push(Problem { key, message });
            }
        };
        when(self.topics.is_empty(), "topics", "`topics` is empty: write `[\"orders\"]`".to_owned());
        if let Some(topic) = self.topics.iter().find(|topic| !adapter::is_topic(topic)) {
            let message = format!("`{topic}` is no name of a topic: use 1 to 249 of a-z A-Z 0-9 . _ -");
            when(true, "topics", message);
        }
        when(self.group_id.trim().is_empty(), "group_id", "`group_id` is empty".to_owned());
        when(
            self.group_id.starts_with("hook."),
            "group_id",
            "groups that begin with `hook.` belong to hook itself".to_owned(),
        );
        let readable = self.source.needs_only_headers();
        when(!readable, "source", "a source is a name, or in headers such as `{ce_source}`".to_owned());
        if let Some(name) = self.source.literal() {
            when(
                !is_source(name),
                "source",
                format!("`{name}` is no source name: use a-z, 0-9, `-` and `_`"),
            );
        }
        problems
    }

    fn source(&self) -> Option<&Pick> {
        Some(&self.source)
    }

    async fn build(&self, context: &BuildContext) -> Result<Box<dyn Ingress>, BuildError> {
        let connection = self.own().connect(context)?;
        let protocol = connection.protocol();
        let transport = Transport {
            by: format!("kafka:{}", protocol.as_str()).into(),
            protected: !protocol.is_plaintext(),
        };
        let plan = reader::Plan {
            client: connection.client_config(),
            topics: self.topics.clone(),
            group: self.group_id.clone(),
            start: self.start_from.0,
        };
        let endpoint =
            format!("{} as {} on {}", self.topics.join(", "), self.group_id, connection.endpoint());
        Ok(Box::new(KafkaIngress {
            adapter: context.id.clone(),
            source: self.source.clone(),
            transport,
            clock: context.clock,
            plan,
            endpoint,
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

fn is_source(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    !text.is_empty() && text.bytes().all(plain)
}

#[expect(clippy::expect_used, reason = "a constant without places")]
fn kafka() -> Pick {
    Pick::parse(SOURCE).expect("a text")
}

impl Default for Begin {
    fn default() -> Self {
        Self(StartFrom::Beginning)
    }
}

impl<'de> Deserialize<'de> for Begin {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "beginning" => Ok(Self(StartFrom::Beginning)),
            "now" => Ok(Self(StartFrom::Now)),
            other => other.parse().map(|time| Self(StartFrom::Time(time))).map_err(|_| {
                D::Error::custom(format!(
                    "`{other}` is not where a group can begin: write `beginning`, `now`, or an RFC 3339 time such as `2026-11-21T10:00:00Z`"
                ))
            }),
        }
    }
}

/// As the contract writes it.
impl Serialize for Begin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            StartFrom::Beginning => serializer.serialize_str("beginning"),
            StartFrom::Now => serializer.serialize_str("now"),
            StartFrom::Time(time) => serializer.collect_str(&time),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(keys: &str) -> Result<Config, String> {
        toml::from_str(keys).map_err(|error| error.to_string())
    }

    #[test]
    fn what_the_contract_can_get_wrong() {
        let check = |keys: &str, expected: &[&str]| {
            let problems = config(keys).unwrap().check();
            let found: Vec<_> = problems.iter().map(|problem| problem.key).collect();
            assert_eq!(found, expected, "{keys}: {problems:?}");
        };
        check("topics = ['a']\ngroup_id = 'g'", &[]);
        check("topics = []\ngroup_id = ''", &["topics", "group_id"]);
        check("topics = ['^a.*']\ngroup_id = 'g'", &["topics"]);
        check("topics = ['a']\ngroup_id = 'hook.x'", &["group_id"]);
        check("topics = ['a']\ngroup_id = 'g'\nsource = 'Orders'", &["source"]);
        check("topics = ['a']\ngroup_id = 'g'\nsource = '{/source}'", &["source"]);
        check("topics = ['a']\ngroup_id = 'g'\nsource = '{ce_source}'", &[]);
        check("topics = ['a']\ngroup_id = 'g'\nbrokers = ['x']", &["brokers"]);
    }

    #[test]
    fn what_is_no_config_says_what_is() {
        let check = |keys: &str, says: &str| {
            let error = config(keys).unwrap_err();
            assert!(error.contains(says), "{keys}: {error}");
        };
        check("topics = ['a']", "group_id");
        check("group_id = 'g'", "topics");
        check("topics = ['a']\ngroup_id = 'g'\nstart_from = 'earliest'", "write `beginning`, `now`");
        check("topics = ['a']\ngroup_id = 'g'\nsource = '{x'", "not closed");
    }
}
