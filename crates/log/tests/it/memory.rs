//! The in-memory log: the suite, and the failures that only it can feign.

use std::sync::Arc;

use async_trait::async_trait;
use hook_log::{
    AppendError, Log, MemoryLog, Record, Topic,
    conformance::{self, Subject},
};

struct Memory(MemoryLog);

#[async_trait]
impl Subject for Memory {
    async fn open(&mut self) -> Arc<dyn Log> {
        Arc::new(self.0.clone())
    }

    fn limit(&self) -> Option<usize> {
        Some(100_000)
    }
}

#[tokio::test]
async fn passes_the_suite() {
    conformance::check_all(|| Memory(MemoryLog::with_limit(Arc::new(|| 1_000), 100_000))).await;
}

#[tokio::test]
async fn fails_appends_until_healed() {
    let log = MemoryLog::new();
    let topic = Topic::new("events").unwrap();
    let record = || vec![Record { key: "k".into(), value: "v".into() }];
    let full = AppendError::Full("no space".to_owned());
    log.fail_appends(full.clone());
    assert_eq!(log.append(&topic, record()).await, Err(full));
    assert!(log.entries(&topic).is_empty(), "a failed append stored something");
    log.heal();
    let positions = log.append(&topic, record()).await.unwrap();
    assert_eq!(positions[0].offset, 0);
    assert_eq!(log.entries(&topic).len(), 1);
}
