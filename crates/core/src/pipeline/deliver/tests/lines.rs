//! What delivering writes into the log of the process.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio_util::sync::CancellationToken;
use tracing::Level;

use super::{
    super::{DeliverContext, Delivery},
    world::{LONG, World, plan, topic},
};
use crate::{
    journal,
    pipeline::journal::Journal,
    plan::DeliveryPolicy,
    ports::{DeliverError, Failure},
    testing::{ScriptedEgress, Step, event},
};

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

/// What is left of an event whose destination repeats it: the lines and the status,
/// then what is kept with the event.
async fn left_by(judge: fn(Failure) -> DeliverError, required: bool) -> [String; 2] {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(Level::TRACE).with_writer(move || writer.clone()).finish();
    // One thread runs all of the test.
    let _guard = tracing::subscriber::set_default(subscriber);
    let world = World::with([event(0, "push", b"{}")]).await;
    let failure = Failure { excerpt: Some("hunter2".into()), ..Failure::because("it said no") };
    let step = move || Step::Fail(judge(failure.clone()));
    let egress = Arc::new(ScriptedEgress::new(move |_, _| (Duration::ZERO, step())));
    let mut plan = plan(DeliveryPolicy { max_retries: 1, ..DeliveryPolicy::default() });
    plan.routes[0].required = required;

    let (journal, records) = Journal::new(Arc::new(world.log.clone()), Arc::clone(&world.metrics));
    let delivery = Delivery::new(plan, egress, DeliverContext { journal, ..world.context() });
    let status = delivery.status();
    let _ = tokio::time::timeout(LONG, delivery.run(CancellationToken::new())).await;
    records.run(CancellationToken::new()).await;

    let mut kept: Vec<_> = world.letters().into_iter().map(|letter| letter.error).collect();
    for entry in world.log.entries(&topic(journal::TOPIC)) {
        let attempt: journal::Attempt = serde_json::from_slice(&entry.value).unwrap();
        kept.push(format!("{:?}: {}", attempt.outcome, attempt.detail.unwrap_or_default()));
    }
    let told = format!("{:?}", status.snapshot());
    [String::from_utf8(lines.0.lock().unwrap().clone()).unwrap() + &told, kept.join("\n")]
}

#[tokio::test(start_paused = true)]
async fn what_a_destination_answers_is_kept_with_the_event_and_never_logged() {
    for (judge, required, records) in [
        (DeliverError::Failed as fn(Failure) -> DeliverError, true, 3),
        (DeliverError::Failed, false, 2),
        (DeliverError::Refused, true, 2),
        (DeliverError::Refused, false, 1),
    ] {
        let [told, kept] = left_by(judge, required).await;
        assert!(told.contains("it said no") && !told.contains("hunter2"), "{told}");
        assert_eq!(kept.matches("it said no: hunter2").count(), records, "{kept}");
    }
    // Both wait until somebody acts, so only the records of the attempts are kept.
    for judge in [DeliverError::Halted as fn(Failure) -> DeliverError, DeliverError::Unavailable] {
        let [told, kept] = left_by(judge, true).await;
        assert!(told.contains("it said no") && !told.contains("hunter2"), "{told}");
        assert!(kept.contains("it said no: hunter2"), "{kept}");
    }
}
