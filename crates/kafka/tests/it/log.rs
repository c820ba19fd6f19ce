//! The suite that every log passes.

use std::sync::Arc;

use async_trait::async_trait;
use hook_kafka::KafkaLog;
use hook_log::{
    Log,
    conformance::{self, Subject},
};

use crate::support;

struct Kafka(String);

/// Small enough to try.
const LIMIT: usize = 100_000;

#[async_trait]
impl Subject for Kafka {
    async fn open(&mut self) -> Arc<dyn Log> {
        let mut settings = support::settings(&self.0);
        settings.max_record_bytes = LIMIT;
        Arc::new(KafkaLog::open(settings).await.unwrap())
    }

    fn prefix(&self) -> String {
        format!("{}.", self.0)
    }

    fn limit(&self) -> Option<usize> {
        Some(LIMIT)
    }

    fn gapless(&self) -> bool {
        false
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn passes_the_suite() {
    conformance::check_all(|| Kafka(support::unique())).await;
}
