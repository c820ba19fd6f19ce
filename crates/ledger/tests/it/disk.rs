//! The ledger over the log that is used in earnest, with its segments and retention.

use std::sync::Arc;

use bytes::Bytes;
use hook_ledger::Ledger;
use hook_log::{EmbeddedLog, Log, RealDisk, Record, Retention};
use tempfile::TempDir;

use crate::fixture::{event, follow_until, options, topic};

/// A log of small segments that keeps 200 kB of a topic.
fn open_log(directory: &TempDir) -> Arc<EmbeddedLog> {
    let mut options = hook_log::Options::new(directory.path(), Arc::new(|| 1_753_000_000_000));
    options.segment_bytes = 64 << 10;
    options.min_free_bytes = 0;
    options.retention = Retention { max_age: None, max_bytes: Some(200 << 10) };
    Arc::new(EmbeddedLog::open(options, Arc::new(RealDisk)).unwrap())
}

async fn store(log: &EmbeddedLog, deliveries: std::ops::Range<u32>) {
    let record = |n: u32| Record { key: Bytes::new(), value: event(&format!("d{n}"), "push", 1).encode() };
    log.append(&topic("webhooks.core"), deliveries.map(record).collect()).await.unwrap();
}

#[tokio::test]
async fn it_follows_restarts_and_forgets_what_retention_took() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.db");
    for round in 0..3_u32 {
        let log = open_log(&directory);
        let ledger = Arc::new(Ledger::open(&path, options()).unwrap());
        ledger.catch_up(log.as_ref(), |_| {}).await.unwrap();
        let shared: Arc<dyn Log> = log.clone();
        store(&log, round * 500..round * 500 + 250).await;
        let followed = u64::from(round * 500 + 250);
        follow_until(&ledger, &shared, async |ledger: &Ledger| ledger.totals().unwrap().claims == followed)
            .await;
        store(&log, round * 500 + 250..round * 500 + 500).await;
        drop(ledger);
        log.close();
    }
    let log = open_log(&directory);
    let ledger = Ledger::open(&path, options()).unwrap();
    ledger.catch_up(log.as_ref(), |_| {}).await.unwrap();
    assert_eq!(ledger.totals().unwrap().claims, 1500);

    log.retain().await;
    let topics = log.topics().await.unwrap();
    let core = topics.iter().find(|info| info.topic == topic("webhooks.core")).unwrap();
    assert!(core.lanes[0].first > 0, "retention took something");
    ledger.prune(&topics).await.unwrap();
    let totals = ledger.totals().unwrap();
    assert_eq!((totals.events, totals.claims), (1500 - core.lanes[0].first, 1500));
}
