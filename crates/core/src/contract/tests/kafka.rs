//! `[log.kafka]`: what is refused, and that the seed's own file is read.

use std::time::Duration;

use super::*;
use crate::plan::{Backend, KafkaPlan, OffsetReset, SecurityProtocol, StartFrom};

/// The seed's published file, under its new heading.
const SEED_FILE: &str = r#"
[log]
backend = "kafka"

[log.kafka]
brokers = ["100.64.0.10:9093"]
security_protocol = "ssl"
allow_plaintext = false
topic_prefix_core = "webhooks"
dlq_topic = "webhooks.dlq"
auto_create_topics = true
topic_partitions = 3
topic_replication_factor = 1

[log.kafka.producer_defaults]
publish_queue_capacity = 4096
publish_max_retries = 5
publish_backoff_base_ms = 200
publish_backoff_max_ms = 5000

[log.kafka.consumer_defaults]
commit_mode = "async"
auto_offset_reset = "latest"

[log.kafka.tls]
cert_path = "/etc/relay/certs/relay.crt"
key_path = "/etc/relay/certs/relay.key"
ca_path = "/etc/relay/certs/ca.crt"
"#;

fn loaded(log: &str) -> Result<Loaded, Report> {
    load("c", &format!("{SEED}{log}"), &Options::default(), &DRIVERS)
}

fn plan(log: &str) -> (Plan, KafkaPlan) {
    let plan = loaded(log).unwrap_or_else(|report| panic!("{}", report.render(false))).plan;
    let Backend::Kafka(kafka) = plan.log.backend.clone() else { panic!("it is embedded") };
    (plan, *kafka)
}

#[test]
fn the_seeds_file_is_read_and_every_key_of_it_acts() {
    let (plan, kafka) = plan(SEED_FILE);
    let connection = &kafka.connection;
    assert_eq!(connection.brokers.as_deref(), Some(&["100.64.0.10:9093".to_owned()][..]));
    assert_eq!(connection.security_protocol, Some(SecurityProtocol::Ssl));
    assert_eq!(connection.tls.ca_path.as_deref(), Some(std::path::Path::new("/etc/relay/certs/ca.crt")));
    assert_eq!(kafka.topic_partitions, Some(3));
    assert_eq!(kafka.producer.backoff_max, Duration::from_secs(5));
    assert_eq!(kafka.auto_offset_reset, OffsetReset::Latest);
    assert_eq!(plan.destinations[0].policy.start_from, StartFrom::Now);
    assert_eq!(plan.log.dead_letters.as_str(), "webhooks.dlq");
}

#[test]
fn nothing_needs_to_be_written() {
    let (plan, kafka) = plan("[log]\nbackend = \"kafka\"\n");
    assert_eq!(kafka.connection, crate::plan::KafkaConnection::default());
    assert_eq!(kafka.topic_prefix, "webhooks");
    assert_eq!(plan.destinations[0].policy.start_from, StartFrom::Beginning);
}

/// What `hook check` says of `[log.kafka]` with these keys, without the places.
fn said(keys: &str) -> Vec<String> {
    let text = format!("{SEED}[log]\nbackend = \"kafka\"\n[log.kafka]\n{keys}\n");
    let found = findings(&text, &Options::default());
    found.iter().filter_map(|finding| Some(finding.split_once(' ')?.1.to_owned())).collect()
}

#[test]
fn what_cannot_work_is_refused_with_the_fix() {
    for (keys, expected) in [
        (
            "security_protocol = \"plaintext\"",
            "insecure: `plaintext` sends events in the clear (use `ssl` or `sasl_ssl`; where nobody can listen, write `allow_plaintext = true` beside it)",
        ),
        (
            "security_protocol = \"sasl_plaintext\"\nallow_plaintext = false",
            "insecure: `sasl_plaintext` sends events in the clear (use `ssl` or `sasl_ssl`; where nobody can listen, write `allow_plaintext = true` beside it)",
        ),
        (
            "security_protocol = \"tls\"",
            "wrong_value: `tls` is not a value here (expected one of `plaintext`, `ssl`, `sasl_plaintext`, `sasl_ssl`)",
        ),
        (
            "security_protocol = \"sasl_ssl\"\nsasl = { mechanism = \"PLAIN\", username = \"hook\", password = \"hunter2\" }",
            "wrong_value: secrets are named, never written: put the values into environment variables and write their names as `username_env` and `password_env`",
        ),
        (
            "security_protocol = \"ssl\"\nsasl = { mechanism = \"PLAIN\" }",
            "bad_value: `sasl` has no use with `ssl` (write `security_protocol = \"sasl_ssl\"`)",
        ),
        (
            "security_protocol = \"plaintext\"\nallow_plaintext = true\ntls = { ca_path = \"ca.pem\" }",
            "bad_value: `tls` has no use with `plaintext`",
        ),
        (
            "security_protocol = \"ssl\"\ntls = { cert_path = \"c.pem\" }",
            "bad_value: `cert_path` and `key_path` go together",
        ),
        ("brokers = []", "bad_value: `brokers` is empty: write `[\"host:9093\"]`"),
        ("brokers = [\"kafka\"]", "bad_value: `kafka` is no broker: write `host:port`"),
        (
            "consumer_defaults = { commit_mode = \"sync\" }",
            "wrong_value: `sync` is no way to commit here: offsets follow what was settled, so write `async` or leave it out",
        ),
        (
            "consumer_defaults = { auto_offset_reset = \"none\" }",
            "wrong_value: `none` is not a value here (expected one of `earliest`, `latest`)",
        ),
        (
            "producer_defaults = { publish_backoff_base_ms = 9000 }",
            "bad_value: `publish_backoff_max_ms` is smaller than `publish_backoff_base_ms`",
        ),
        (
            "topic_prefix_core = \"hook\"",
            "bad_name: `hook` is no prefix of a topic's name (write it like `webhooks`)",
        ),
        ("dlq_topic = \"hook.dlq\"", "reserved_topic: topics that begin with `hook.` belong to hook itself"),
        ("broker = \"a:1\"", "unknown_key: unknown key `broker` (did you mean `brokers`?)"),
    ] {
        let said = said(keys);
        assert!(said.iter().any(|finding| finding == expected), "{keys}\n{said:#?}");
    }
    let outside = said("topic_prefix_core = \"team\"");
    assert_eq!(
        outside.iter().filter(|finding| finding.starts_with("foreign_topic")).count(),
        2,
        "{outside:#?}"
    );
}

#[test]
fn keys_of_the_other_backend_are_refused() {
    for (log, expected) in [
        ("[log.kafka]\n", "`[log.kafka]` has no use with the backend `embedded`"),
        (
            "[log]\nbackend = \"kafka\"\nmin_free_bytes = \"1GiB\"\n",
            "`min_free_bytes` has no use with the backend `kafka`",
        ),
        (
            "[log]\nbackend = \"kafka\"\ndlq_topic = \"a\"\n[log.kafka]\ndlq_topic = \"b\"\n",
            "`dlq_topic` in `[log]` says otherwise",
        ),
        ("[kafka_core]\nbrokers = []\n", "`[kafka_core]` is written `[log.kafka]` in a contract"),
    ] {
        let report = loaded(log).err().map(|report| report.render(false)).unwrap_or_default();
        assert!(report.contains(expected), "{log}\n{report}");
    }
}

#[test]
fn a_contract_never_relaxes_its_security() {
    let text = format!("{SEED}[log]\nbackend = \"kafka\"\n[log.kafka]\nsecurity_protocol = \"plaintext\"\n");
    for options in [
        Options { force: true, ..Options::default() },
        Options { validation_mode: Some(ValidationMode::Debug), ..Options::default() },
    ] {
        assert!(load("c", &text, &options, &DRIVERS).is_err());
    }
}
