//! Whoever sees that the rows are gone must not see where they ended.

use std::{thread, time::Duration};

use super::*;

/// A writer whose rows end at offset 7 of the one topic there is.
fn writer(path: PathBuf) -> Writer {
    let connection = store::open(&path).unwrap();
    let rows = store::open_for_queries(&path).unwrap();
    let queries = store::open_for_queries(&path).unwrap();
    let shared = Shared {
        claimed: Mutex::new(Claimed::new(rows, Duration::from_secs(60))),
        queries: Arc::new(Mutex::new(queries)),
        cursors: Mutex::new(Cursors::from([((Topic::new("webhooks.core").unwrap(), 0), 7)])),
        begun_anew: Notify::new(),
    };
    let dead_letters = Topic::new("webhooks.dlq").unwrap();
    let (shared, ttl_ms, clock) = (Arc::new(shared), 60_000, Clock::SYSTEM);
    Writer { path, connection, shared, dead_letters, ttl_ms, clock, filling: None }
}

/// Waits until others can see that the rows begin anew.
fn wait_for_new_generation<T>(shared: &Shared, writing: &thread::JoinHandle<T>) {
    while lock(&shared.claimed).generation() == 0 {
        assert!(!writing.is_finished(), "it ended and nothing began anew");
        thread::yield_now();
    }
}

#[test]
fn a_file_that_is_replaced_begins_without_cursors() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = writer(directory.path().join("ledger.sqlite"));
    let shared = Arc::clone(&writer.shared);
    let queries = Arc::clone(&shared.queries);
    // What comes after the new generation waits for this query.
    let query = lock(&queries);
    let writing = thread::spawn(move || writer.replace());
    wait_for_new_generation(&shared, &writing);
    assert_eq!(*lock(&shared.cursors), Cursors::new());
    drop(query);
    writing.join().unwrap().unwrap();
}

#[test]
fn a_file_that_is_cleared_begins_without_cursors() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = writer(directory.path().join("ledger.sqlite"));
    let shared = Arc::clone(&writer.shared);
    // The rows cannot be removed before this transaction is over.
    let other = Connection::open(&writer.path).unwrap();
    other.execute_batch("begin immediate").unwrap();
    let writing = thread::spawn(move || writer.clear());
    wait_for_new_generation(&shared, &writing);
    let seen = shared.cursors.try_lock().map(|cursors| cursors.clone()).unwrap_or_default();
    assert_eq!(seen, Cursors::new());
    other.execute_batch("rollback").unwrap();
    writing.join().unwrap().unwrap();
    assert_eq!(*lock(&shared.cursors), Cursors::new());
}
