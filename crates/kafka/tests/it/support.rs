//! A log on the shared broker, under a prefix of its own.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use hook_core::{
    plan::{
        Backend, KafkaConnection, KafkaPlan, LogPlan, OffsetReset, ProducerPlan, Retention, SecurityProtocol,
    },
    secret::Environment,
};
use hook_kafka::Settings;
use hook_log::Topic;

/// A name that no other test, and no earlier run, has used.
pub(crate) fn unique() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    #[expect(clippy::disallowed_methods, reason = "a name that no earlier run has used")]
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_micros();
    format!("t{now}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// What a contract would say.
pub(crate) fn plan(prefix: &str) -> LogPlan {
    let retention = Retention::default();
    LogPlan {
        backend: Backend::Kafka(Box::new(KafkaPlan {
            connection: KafkaConnection {
                brokers: Some(hook_broker::shared().split(',').map(str::to_owned).collect()),
                security_protocol: Some(SecurityProtocol::Plaintext),
                allow_plaintext: Some(true),
                ..KafkaConnection::default()
            },
            topic_prefix: prefix.to_owned(),
            dead_letters: None,
            auto_create_topics: None,
            topic_partitions: None,
            topic_replication_factor: None,
            producer: ProducerPlan::default(),
            auto_offset_reset: OffsetReset::default(),
        })),
        path: "unused".into(),
        retention,
        dead_letter_retention: retention,
        segment_bytes: 64 << 20,
        min_free_bytes: 0,
        dead_letters: Topic::new(&format!("{prefix}.dlq")).unwrap(),
    }
}

/// Settings for a log under this prefix.
pub(crate) fn settings(prefix: &str) -> Settings {
    let mut settings = Settings::resolve(&plan(prefix), &Environment::default()).unwrap();
    settings.session_timeout = Duration::from_secs(6);
    settings
}
