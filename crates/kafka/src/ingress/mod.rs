//! `kafka_ingress`: reads topics of a Kafka cluster and brings each record in as an event.
//!
//! | answer of the pipeline | what becomes of the record |
//! |---|---|
//! | stored, a duplicate, suppressed | its offset is committed |
//! | not now (503, 429) | tried again; its partition waits behind it and is paused when much waits |
//! | refused for good (400, 401, 403, 404, 413, 415, 422) | a dead letter with its position, then committed |
//!
//! INVARIANT: an offset is committed only when every record of its partition up to it was
//! stored or its dead letter was. What was not committed is read again, here or by another
//! member of the group, and recognised by its delivery id.
//!
//! `record`: what a record says · `lane`: one partition, record by record · `reader`: the
//! thread that polls, whatever the pipeline does · `begin`: where a group begins.

mod begin;
mod config;
mod lane;
mod reader;
mod record;
mod run;

use hook_core::driver::IngressDriver;
use schemars::JsonSchema;

use crate::adapter;

/// The driver's row.
pub(crate) const DRIVER: IngressDriver = IngressDriver {
    name: "kafka_ingress",
    summary: "Reads topics of a Kafka cluster, each record an event.",
    example: r#"
topics = ["orders"]
group_id = "hook-orders"
source = "kafka"
brokers = ["kafka.example.com:9093"]
"#,
    parse: adapter::ingress::<config::Config>,
    schema: config::Config::json_schema,
};
