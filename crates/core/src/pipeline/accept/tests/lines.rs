//! What accepting writes into the log of the process.

use std::io;

use tracing::Level;

use super::*;

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

/// Everything that is logged while `raw` is sent, at the most talkative level.
async fn lines(world: &World, raw: RawEvent) -> String {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_max_level(Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    // One thread runs all of the test, the task that appends included.
    let _guard = tracing::subscriber::set_default(subscriber);
    let _ = world.send(raw).await;
    let bytes = lines.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn a_line_has_the_fields_and_neither_payload_nor_secret() {
    let secret_body = r#"{"repository":{"full_name":"acme/api"},"note":"hunter2"}"#;
    let good = || github("d1", "push", secret_body);
    let stored =
        ["trace_id", "event_id", "source", "event_type", "ingress_adapter", "kafka_topic", "delivery_state"];
    let refused = ["source", "ingress_adapter", "delivery_state", "reason"];
    for (name, raw, fields) in [
        ("stored", good(), &stored[..]),
        ("forged", forged(good()), &refused),
        ("malformed", github("d2", "push", "{\"note\":\"hunter2\""), &refused),
    ] {
        let text = lines(&World::new(), raw.clone()).await;
        let line: serde_json::Value = serde_json::from_str(text.lines().next().expect(name)).unwrap();
        for field in fields {
            assert!(line.get(field).is_some_and(|value| value != ""), "{name}: no `{field}` in {text}");
        }
        let signature = raw.headers["x-hub-signature-256"].to_str().unwrap();
        for hidden in ["hunter2", "s3cret", signature] {
            assert!(!text.contains(hidden), "{name}: {text}");
        }
    }
    let world = World::new();
    world.log.inner.fail_appends(AppendError::Full("no space on /data".into()));
    let text = lines(&world, good()).await;
    assert!(text.contains("no space on /data"), "the operator learns the cause: {text}");
    let text = lines(&world, post("made-up-by-a-stranger", secret_body)).await;
    assert!(!text.contains("made-up") && !text.contains("hunter2"), "{text}");
}
