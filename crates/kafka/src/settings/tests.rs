//! What the contract and the environment say together.

use hook_core::{
    contract::{self, Options},
    driver::Drivers,
    plan::LogPlan,
};

use super::*;

const NO_DRIVERS: Drivers = Drivers { ingress: &[], egress: &[], plugins: &[] };

/// The log of a contract with these keys in `[log.kafka]`.
fn plan(keys: &str) -> LogPlan {
    let text = format!(
        "[app]\nid = \"a\"\nname = \"A\"\nversion = \"1.0.0\"\n\
         [policies]\nallow_no_output = true\nno_output_sink = \"discard\"\n\
         [profiles.default]\nlabel = \"A\"\n[log]\nbackend = \"kafka\"\n[log.kafka]\n{keys}\n"
    );
    let options = Options { force: true, ..Options::default() };
    let loaded = contract::load("c", &text, &options, &NO_DRIVERS);
    loaded.unwrap_or_else(|report| panic!("{}", report.render(false))).plan.log
}

fn environment(variables: &[(&str, &str)]) -> Environment {
    Environment::new(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

fn resolve(keys: &str, variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    Settings::resolve(&plan(keys), &environment(variables))
}

/// What a client is given.
fn client(keys: &str, variables: &[(&str, &str)], name: &str) -> Option<String> {
    resolve(keys, variables).unwrap().client_config().get(name).map(str::to_owned)
}

const BROKERS: (&str, &str) = ("KAFKA_BROKERS", "one:9093, two:9093");

#[test]
fn the_environment_fills_what_the_contract_leaves_out() {
    let settings = resolve(
        "",
        &[
            BROKERS,
            ("KAFKA_DLQ_TOPIC", "webhooks.dead"),
            ("KAFKA_AUTO_CREATE_TOPICS", "false"),
            ("KAFKA_TOPIC_PARTITIONS", "12"),
            ("KAFKA_TOPIC_REPLICATION_FACTOR", "2"),
        ],
    )
    .unwrap();
    assert_eq!(settings.endpoint(), "one:9093,two:9093");
    assert_eq!(settings.dead_letters.as_str(), "webhooks.dead");
    assert_eq!((settings.topic_partitions, settings.topic_replication_factor), (12, 2));
    assert!(!settings.auto_create_topics);
    assert_eq!(client("", &[BROKERS], "security.protocol").as_deref(), Some("ssl"), "the default");
}

#[test]
fn the_contract_wins() {
    let keys = "brokers = [\"own:1\"]\ndlq_topic = \"webhooks.own\"\ntopic_partitions = 4\nauto_create_topics = true\nsecurity_protocol = \"ssl\"";
    let others = [
        BROKERS,
        ("KAFKA_DLQ_TOPIC", "x"),
        ("KAFKA_TOPIC_PARTITIONS", "12"),
        ("KAFKA_AUTO_CREATE_TOPICS", "false"),
        ("KAFKA_SECURITY_PROTOCOL", "plaintext"),
        ("KAFKA_ALLOW_PLAINTEXT", "true"),
    ];
    let settings = resolve(keys, &others).unwrap();
    assert_eq!(settings.endpoint(), "own:1");
    assert_eq!(settings.dead_letters.as_str(), "webhooks.own");
    assert_eq!(settings.topic_partitions, 4);
    assert!(settings.auto_create_topics);
    assert_eq!(settings.client_config().get("security.protocol"), Some("ssl"));
}

#[test]
fn nothing_goes_in_the_clear_without_a_second_opt_in_from_the_same_place() {
    let plain = ("KAFKA_SECURITY_PROTOCOL", "plaintext");
    let allow = ("KAFKA_ALLOW_PLAINTEXT", "true");
    let refused = |keys, variables: &[(&str, &str)]| {
        let error = resolve(keys, variables).unwrap_err();
        assert!(matches!(error, SettingsError::Plaintext { .. }), "{error}");
    };
    refused("", &[BROKERS, plain]);
    refused("", &[BROKERS, plain, ("KAFKA_ALLOW_PLAINTEXT", "false")]);
    refused("allow_plaintext = true", &[BROKERS, plain]);
    assert_eq!(client("", &[BROKERS, plain, allow], "security.protocol").as_deref(), Some("plaintext"));
    let both = "security_protocol = \"plaintext\"\nallow_plaintext = true";
    assert_eq!(client(both, &[BROKERS], "security.protocol").as_deref(), Some("plaintext"));
    assert_eq!(client("", &[BROKERS, allow], "security.protocol").as_deref(), Some("ssl"));
}

#[test]
fn secrets_come_from_the_environment_alone() {
    let keys =
        "security_protocol = \"sasl_ssl\"\nsasl = { mechanism = \"SCRAM-SHA-512\", password_env = \"PW\" }";
    let variables = [BROKERS, ("KAFKA_SASL_USERNAME", "hook"), ("PW", "s3cret")];
    assert_eq!(client(keys, &variables, "sasl.mechanism").as_deref(), Some("SCRAM-SHA-512"));
    assert_eq!(client(keys, &variables, "sasl.username").as_deref(), Some("hook"));
    assert_eq!(client(keys, &variables, "sasl.password").as_deref(), Some("s3cret"));
    let settings = resolve(keys, &variables).unwrap();
    assert!(!format!("{settings:?}").contains("s3cret"));
    let missing = resolve(keys, &variables[..2]).unwrap_err();
    assert_eq!(missing, SettingsError::Secret(SecretError::Unset("PW".to_owned())));
    let variables = [
        BROKERS,
        ("KAFKA_SECURITY_PROTOCOL", "SASL_SSL"),
        ("KAFKA_SASL_MECHANISM", "plain"),
        ("KAFKA_SASL_USERNAME", "u"),
        ("KAFKA_SASL_PASSWORD", "p"),
    ];
    assert_eq!(client("", &variables, "sasl.mechanism").as_deref(), Some("PLAIN"));
}

#[test]
fn what_cannot_work_says_what_can() {
    for (keys, variables, expected) in [
        ("", &[][..], "no broker is named"),
        (
            "",
            &[BROKERS, ("KAFKA_TOPIC_PARTITIONS", "0")],
            "`KAFKA_TOPIC_PARTITIONS` is `0`, expected a number above 0",
        ),
        (
            "",
            &[BROKERS, ("KAFKA_SECURITY_PROTOCOL", "tls")],
            "expected `plaintext`, `ssl`, `sasl_plaintext` or `sasl_ssl`",
        ),
        (
            "",
            &[BROKERS, ("KAFKA_DLQ_TOPIC", "hook.x")],
            "expected a topic's name that does not begin with `hook.`",
        ),
        ("security_protocol = \"sasl_ssl\"", &[BROKERS], "the key `mechanism` of `sasl` is missing"),
        ("sasl = { mechanism = \"PLAIN\" }", &[BROKERS], "`sasl` has no use with `ssl`"),
        ("", &[BROKERS, ("KAFKA_TLS_CERT", "c.pem")], "`cert_path` and `key_path` go together"),
        ("tls = { ca_path = \"nowhere.pem\" }", &[BROKERS], "cannot read nowhere.pem"),
    ] {
        let error = resolve(keys, variables).unwrap_err().to_string();
        assert!(error.contains(expected), "{keys}\n{error}");
    }
}

#[test]
fn only_its_own_topics_are_the_logs() {
    let settings =
        resolve("topic_prefix_core = \"webhooks\"", &[BROKERS, ("KAFKA_DLQ_TOPIC", "dead")]).unwrap();
    for (topic, own) in [
        ("webhooks.core", true),
        ("webhooks", false),
        ("webhooks2.core", false),
        ("hook.deliveries", true),
        ("dead", true),
        ("webhooks.dlq", true),
        ("orders", false),
    ] {
        assert_eq!(settings.holds(topic), own, "{topic}");
    }
}
