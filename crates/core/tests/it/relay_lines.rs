//! What a relay writes into the log of the process. By itself, for what is listened to
//! is decided once for all the threads of a process.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use hook_core::{
    glob::Glob,
    metrics::Metrics,
    pipeline::relay::{Relay, RelayContext},
    plan::{BridgePlan, OutputTopic, RelayMode},
};
use hook_event::{Clock, DeadLetter, Entropy};
use hook_log::{Log, MemoryLog, Record, Topic, forward::AtLeastOnce};
use tokio_util::sync::CancellationToken;

/// Lines as they would be printed.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_record_holds_is_in_its_dead_letter_and_in_no_line() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_ansi(false);
    // One thread runs all of the test.
    let _guard = tracing::subscriber::set_default(subscriber.with_writer(move || writer.clone()).finish());
    let topic = |name: &str| Topic::new(name).unwrap();
    let log = Arc::new(MemoryLog::new());
    let record = |value: &'static [u8]| Record {
        key: Bytes::from_static(b"hunter2"),
        value: Bytes::from_static(value),
    };
    log.append(&topic("in"), vec![record(b"\"hunter2\""), record(b"{\"id\": \"hunter2\"}")]).await.unwrap();

    let output = OutputTopic::parse("out", RelayMode::Envelope).unwrap();
    let plan = BridgePlan::new("bridge", vec![Glob::new("in")], output);
    let link = AtLeastOnce { source: log.clone(), target: log.clone(), dead_letters: topic("dlq") };
    let context =
        RelayContext { metrics: Arc::new(Metrics::new()), clock: Clock::SYSTEM, entropy: Entropy::SYSTEM };
    let relay = Relay::new(plan, Arc::new(link), topic("dlq"), &context);
    let status = relay.status();
    let _ = tokio::time::timeout(Duration::from_secs(60), relay.run(CancellationToken::new())).await;

    let lines = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    for part in ["a record cannot be carried", "position=in/0/1", "malformed"] {
        assert!(lines.contains(part), "no `{part}` in {lines}");
    }
    let told = format!("{lines}{:?}", status.snapshot());
    assert!(!told.contains("hunter2"), "{told}");
    let letters = log.entries(&topic("dlq"));
    let kept: Vec<_> = letters.iter().map(|entry| DeadLetter::decode(&entry.value).unwrap().error).collect();
    assert!(kept.len() == 2 && kept[0].contains("hunter2"), "{kept:?}");
}
