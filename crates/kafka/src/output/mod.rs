//! `kafka_output`: one record per event, on a topic of a Kafka cluster.
//!
//! | what came of it | judged |
//! |---|---|
//! | every in-sync replica has it (`acks=all`) | delivered |
//! | no broker reached or none answered in time, the queue is full | unavailable |
//! | the record alone is larger than the broker takes, or the broker refuses what is in it | refused |
//! | a topic that a template named is not there, or is no name | refused |
//! | the topic that the contract names is not there and is not made by itself | halted |
//! | name, password or rights are refused | halted |
//! | anything else | failed |
//!
//! An attempt includes what librdkafka repeats by itself within `timeout_seconds`; its
//! idempotent producer sees to it that this stores nothing twice. An attempt that timed
//! out may have been stored all the same, so a record can come again: with the same
//! `webhook-id`.

mod config;
mod deliver;
mod producer;
mod wire;

use hook_core::driver::EgressDriver;
use schemars::JsonSchema;

use crate::adapter;

/// The driver's row.
pub(crate) const DRIVER: EgressDriver = EgressDriver {
    name: "kafka_output",
    summary: "Produces one record per event to a Kafka topic.",
    example: r#"
topic = "orders"
key_mode = "ordering_key"
body = "envelope"
brokers = ["kafka.example.com:9093"]
timeout_seconds = 20
"#,
    parse: adapter::egress::<config::Config>,
    schema: config::Config::json_schema,
};
