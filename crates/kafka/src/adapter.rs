//! What both drivers share: the keys of a connection of one's own, how these fall back on
//! the log's, and how a row reads its keys.
//!
//! Each key falls back by itself, with one exception: the log's name and password are
//! for the log's cluster alone, and are never shown to brokers that an adapter names.

use std::sync::Arc;

use hook_core::{
    driver::{BuildContext, BuildError, EgressConfig, IngressConfig, Problem},
    plan::{KafkaConnection, SaslMechanism, SaslPlan, SecurityProtocol, TlsFiles},
    secret::SecretRef,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use toml::{
    Spanned,
    de::{DeValue, Error, ValueDeserializer},
};

use crate::settings::Connection;

/// Who we are, by name and password, both named and never written.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sasl {
    /// How the password is shown: `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`.
    pub(crate) mechanism: Option<SaslMechanism>,
    /// The variable that holds the name; `KAFKA_SASL_USERNAME` unless written.
    pub(crate) username_env: Option<String>,
    /// The variable that holds the password; `KAFKA_SASL_PASSWORD` unless written.
    pub(crate) password_env: Option<String>,
}

/// The connection's keys as an adapter wrote them.
pub(crate) struct Own<'a> {
    pub(crate) brokers: Option<&'a Vec<String>>,
    pub(crate) security_protocol: Option<SecurityProtocol>,
    pub(crate) allow_plaintext: Option<bool>,
    pub(crate) tls: Option<&'a TlsFiles>,
    pub(crate) sasl: Option<&'a Sasl>,
}

impl Own<'_> {
    /// What is wrong with them, found without any I/O.
    pub(crate) fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut when = |wrong: bool, key: &'static str, message: String| {
            if wrong {
                problems.push(Problem { key, message });
            }
        };
        if let Some(brokers) = self.brokers {
            when(brokers.is_empty(), "brokers", "`brokers` is empty: write `[\"host:9093\"]`".to_owned());
            if let Some(broker) = brokers.iter().find(|broker| !is_broker(broker)) {
                when(true, "brokers", format!("`{broker}` is no broker: write `host:port`"));
            }
        }
        let half = self.tls.is_some_and(|tls| tls.cert_path.is_some() != tls.key_path.is_some());
        when(half, "tls", "`cert_path` and `key_path` go together".to_owned());
        let unused = self.allow_plaintext.is_some() && self.security_protocol.is_none();
        when(
            unused,
            "allow_plaintext",
            "`allow_plaintext` has no use without `security_protocol`".to_owned(),
        );
        if let Some(protocol) = self.security_protocol {
            let name = protocol.as_str();
            let once = protocol.is_plaintext() && self.allow_plaintext != Some(true);
            let clear = format!(
                "`{name}` sends events in the clear: use `ssl` or `sasl_ssl`, or where nobody can listen write `allow_plaintext = true` beside it"
            );
            when(once, "security_protocol", clear);
            let idle = protocol.is_plaintext() && self.tls.is_some();
            when(idle, "tls", format!("`tls` has no use with `{name}`"));
            let idle = !protocol.has_sasl() && self.sasl.is_some();
            when(idle, "sasl", format!("`sasl` has no use with `{name}`: write `sasl_ssl`"));
        }
        problems
    }

    /// The variables that are named.
    pub(crate) fn secrets(&self) -> Vec<SecretRef> {
        let named = self.sasl.into_iter().flat_map(|sasl| [&sasl.username_env, &sasl.password_env]);
        named.flatten().cloned().map(SecretRef::Env).collect()
    }

    /// Where it leads, for a person.
    pub(crate) fn place(&self) -> String {
        self.brokers.map(|brokers| format!(" on {}", brokers.join(","))).unwrap_or_default()
    }

    /// How the cluster is reached, with what the log's settings and the environment add.
    pub(crate) fn connect(&self, context: &BuildContext) -> Result<Connection, BuildError> {
        let log = &context.kafka;
        let elsewhere = self.brokers.is_some() && self.brokers != brokers_of_log(context).as_ref();
        let own_protocol = self.security_protocol.is_some();
        let connection = KafkaConnection {
            brokers: self.brokers.cloned().or_else(|| log.brokers.clone()),
            security_protocol: self.security_protocol.or(log.security_protocol),
            allow_plaintext: if own_protocol { self.allow_plaintext } else { log.allow_plaintext },
            tls: self.tls.cloned().unwrap_or_else(|| log.tls.clone()),
            sasl: match self.sasl {
                Some(own) => own.plan(),
                None => log.sasl.clone(),
            },
        };
        let failed = |error: crate::SettingsError| BuildError::Resource(format!("Kafka: {error}"));
        // Files of the log's that the adapter's own protocol has no use for are not its own mistake.
        let connection = without_idle(connection, self);
        let resolved = Connection::resolve(&connection, &context.environment).map_err(failed)?;
        if elsewhere && self.sasl.is_none() && resolved.protocol().has_sasl() {
            let message = "Kafka: the adapter names `brokers` of its own, and would show them the name and password of the log's\n  hint: write `sasl = { mechanism = \"SCRAM-SHA-512\", username_env = \"…\", password_env = \"…\" }` beside them";
            return Err(BuildError::Resource(message.to_owned()));
        }
        Ok(resolved)
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

/// Takes away what came from the log and has no use with the protocol that is the adapter's own.
fn without_idle(mut connection: KafkaConnection, own: &Own<'_>) -> KafkaConnection {
    let Some(protocol) = own.security_protocol else { return connection };
    if protocol.is_plaintext() && own.tls.is_none() {
        connection.tls = TlsFiles::default();
    }
    if !protocol.has_sasl() && own.sasl.is_none() {
        connection.sasl = SaslPlan::default();
    }
    connection
}

fn brokers_of_log(context: &BuildContext) -> Option<Vec<String>> {
    let from_environment = || {
        let text = context.environment.get("KAFKA_BROKERS")?;
        Some(
            text.split(',')
                .map(|broker| broker.trim().to_owned())
                .filter(|broker| !broker.is_empty())
                .collect(),
        )
    };
    context.kafka.brokers.clone().or_else(from_environment)
}

fn is_broker(text: &str) -> bool {
    let port = text.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    port.is_some_and(|(_, port)| port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// Whether a text is the name of a topic in Kafka.
pub(crate) fn is_topic(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=249).contains(&text.len()) && text.bytes().all(plain) && text != "." && text != ".."
}

/// Reads an ingress driver's keys.
pub(crate) fn ingress<C>(value: Spanned<DeValue<'_>>) -> Result<Arc<dyn IngressConfig>, Error>
where
    C: DeserializeOwned + IngressConfig + 'static,
{
    Ok(Arc::new(C::deserialize(ValueDeserializer::from(value))?))
}

/// Reads an egress driver's keys.
pub(crate) fn egress<C>(value: Spanned<DeValue<'_>>) -> Result<Arc<dyn EgressConfig>, Error>
where
    C: DeserializeOwned + EgressConfig + 'static,
{
    Ok(Arc::new(C::deserialize(ValueDeserializer::from(value))?))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hook_core::{inherited::Inherited, secret::Environment};
    use hook_event::{Clock, Entropy};

    use super::*;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Keys {
        brokers: Option<Vec<String>>,
        security_protocol: Option<SecurityProtocol>,
        allow_plaintext: Option<bool>,
        tls: Option<TlsFiles>,
        sasl: Option<Sasl>,
    }

    impl Keys {
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

    fn keys(text: &str) -> Keys {
        toml::from_str(text).unwrap()
    }

    fn context(kafka: KafkaConnection, variables: &[(&str, &str)]) -> BuildContext {
        BuildContext {
            id: Arc::from("out"),
            environment: Environment::new(variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))),
            clock: Clock::SYSTEM,
            entropy: Entropy::SYSTEM,
            inherited: Inherited::default(),
            kafka,
        }
    }

    #[test]
    fn what_the_contract_can_get_wrong() {
        let check = |text: &str, expected: &[&str]| {
            let problems = keys(text).own().check();
            let found: Vec<_> = problems.iter().map(|problem| problem.key).collect();
            assert_eq!(found, expected, "{text}: {problems:?}");
        };
        check("", &[]);
        check("brokers = ['a:9092', '[::1]:9092']", &[]);
        check("brokers = []", &["brokers"]);
        check("brokers = ['a']", &["brokers"]);
        check("brokers = ['a:0']", &["brokers"]);
        check("security_protocol = 'plaintext'", &["security_protocol"]);
        check("security_protocol = 'plaintext'\nallow_plaintext = true", &[]);
        check("security_protocol = 'plaintext'\nallow_plaintext = true\ntls = { ca_path = 'a' }", &["tls"]);
        check("security_protocol = 'ssl'\nsasl = { mechanism = 'PLAIN' }", &["sasl"]);
        check("allow_plaintext = true", &["allow_plaintext"]);
        check("tls = { cert_path = 'a' }", &["tls"]);
    }

    #[test]
    fn each_key_falls_back_on_the_logs_and_then_on_the_environment() {
        let check =
            |text: &str, kafka: KafkaConnection, variables: &[(&str, &str)], expected: &[(&str, &str)]| {
                let config = keys(text).own().connect(&context(kafka, variables)).unwrap().client_config();
                for (name, value) in expected {
                    assert_eq!(config.get(name), Some(*value), "{text}: {name}");
                }
            };
        let log = || KafkaConnection {
            brokers: Some(vec!["log:9092".to_owned()]),
            security_protocol: Some(SecurityProtocol::Plaintext),
            allow_plaintext: Some(true),
            ..KafkaConnection::default()
        };
        let open = [
            ("KAFKA_BROKERS", "env:9092"),
            ("KAFKA_SECURITY_PROTOCOL", "plaintext"),
            ("KAFKA_ALLOW_PLAINTEXT", "true"),
        ];
        let none = KafkaConnection::default;
        check("", none(), &open, &[("bootstrap.servers", "env:9092"), ("security.protocol", "plaintext")]);
        check("", log(), &open, &[("bootstrap.servers", "log:9092")]);
        check("brokers = ['own:9092']", log(), &open, &[("bootstrap.servers", "own:9092")]);
        check("brokers = ['own:9092']", none(), &open, &[("security.protocol", "plaintext")]);
        check("security_protocol = 'ssl'", log(), &open, &[("security.protocol", "ssl")]);
    }

    #[test]
    fn brokers_of_ones_own_are_not_shown_the_logs_password() {
        let variables = [
            ("KAFKA_BROKERS", "log:9093"),
            ("KAFKA_SECURITY_PROTOCOL", "sasl_ssl"),
            ("KAFKA_SASL_MECHANISM", "PLAIN"),
            ("KAFKA_SASL_USERNAME", "log"),
            ("KAFKA_SASL_PASSWORD", "s3cret"),
            ("OTHER_NAME", "other"),
            ("OTHER_PASSWORD", "s3cret2"),
        ];
        let connect = |text: &str| keys(text).own().connect(&context(KafkaConnection::default(), &variables));
        assert!(connect("").is_ok());
        assert!(connect("brokers = ['log:9093']").is_ok());
        let error = connect("brokers = ['other:9093']").unwrap_err().to_string();
        assert!(error.contains("`brokers` of its own") && !error.contains("s3cret"), "{error}");
        let own = "brokers = ['other:9093']\nsasl = { mechanism = 'SCRAM-SHA-256', username_env = 'OTHER_NAME', password_env = 'OTHER_PASSWORD' }";
        assert_eq!(connect(own).unwrap().client_config().get("sasl.username"), Some("other"));
    }
}
