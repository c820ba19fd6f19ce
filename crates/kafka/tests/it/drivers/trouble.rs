//! Brokers that refuse, that lack what is asked for, and that die.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use hook_broker::{Kafka, Mechanism, Options, Sasl, Security};
use hook_core::ports::{DeliverError, Failure};
use hook_event::Event;

use super::{Other, Pipeline, create, event, ingress, open, output, records};
use crate::support::{unique, until};

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

async fn start(options: Options) -> Arc<Kafka> {
    Arc::new(blocking(move || Kafka::start(options).unwrap()).await)
}

async fn restart(kafka: &Arc<Kafka>) {
    let own = Arc::clone(kafka);
    blocking(move || own.restart(1).and_then(|()| own.wait_ready()).unwrap()).await;
}

#[track_caller]
fn halted(answer: Result<impl Sized, DeliverError>, says: &[&str]) {
    match answer {
        Err(DeliverError::Halted(Failure { reason, .. })) if says.iter().any(|say| reason.contains(say)) => {}
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was taken"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_not_there_halts_its_destination_until_somebody_makes_it() {
    let brokers = hook_broker::shared();
    let topic = unique();
    let text = format!("topic = '{topic}'\nkey_mode = 'none'\ntimeout_seconds = 6");
    let egress = output(&text, open(&brokers)).await;
    halted(egress.probe().await, &[&topic]);
    halted(egress.deliver(&event("k", "{}")).await, &[&topic]);
    create(&brokers, &topic, 1, &[]).await;
    until("the topic to be found", async || egress.probe().await.is_ok()).await;
    egress.deliver(&event("k", "{}")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_halts_one_and_keeps_the_other_waiting() {
    let user = Sasl {
        mechanism: Mechanism::ScramSha256,
        user: "hook".into(),
        password: "right1".into(),
        over: None,
    };
    let kafka = start(Options::single_node().security(Security::Sasl(user))).await;
    let topic = unique();
    create(&kafka.internal(), &topic, 1, &[]).await;
    let environment = |password: &str| {
        let more = [
            ("KAFKA_SECURITY_PROTOCOL", "sasl_plaintext"),
            ("KAFKA_SASL_MECHANISM", "SCRAM-SHA-256"),
            ("KAFKA_SASL_USERNAME", "hook"),
            ("KAFKA_SASL_PASSWORD", password),
        ];
        let more = more.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let kept = open(&kafka.bootstrap()).into_iter().filter(|(name, _)| name != "KAFKA_SECURITY_PROTOCOL");
        kept.chain(more).collect::<Vec<_>>()
    };
    let text = format!("topic = '{topic}'\nkey_mode = 'none'\ntimeout_seconds = 5");
    let stranger = output(&text, environment("wrong1")).await;
    let says = ["uthentication", "SASL"];
    halted(stranger.deliver(&event("k", "{}")).await, &says);
    halted(stranger.probe().await, &says);

    let known = output(&text, environment("right1")).await;
    known.deliver(&event("k", "{\"n\":1}")).await.unwrap();
    known.probe().await.unwrap();

    let group = format!("topics = ['{topic}']\ngroup_id = '{topic}'");
    let (nothing, all) = (Pipeline::willing(), Pipeline::willing());
    let refused = ingress(&group, environment("wrong1"), &nothing).await;
    let reading = ingress(&group, environment("right1"), &all).await;
    all.wait_for(1).await;
    assert_eq!(&*all.taken()[0].transport.as_ref().unwrap().by, "kafka:sasl_plaintext");
    assert_eq!((nothing.taken().len(), refused.task.is_finished()), (0, false), "it keeps trying");
    refused.stop().await;
    reading.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn brokers_that_are_not_there_are_waited_for() {
    let nobody = "127.0.0.1:1";
    let egress = output("topic = 'orders'\nkey_mode = 'none'\ntimeout_seconds = 2", open(nobody)).await;
    for answer in [egress.deliver(&event("k", "{}")).await.err(), egress.probe().await.err()] {
        assert!(matches!(answer, Some(DeliverError::Unavailable(_))), "{answer:?}");
    }
    let pipeline = Pipeline::willing();
    let running =
        ingress("topics = ['orders']\ngroup_id = 'g'\nstart_from = 'now'", open(nobody), &pipeline).await;
    tokio::task::yield_now().await;
    running.stop().await;
}

/// Everything that was delivered is there, and what was not is delivered later.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_killed_loses_nothing_that_was_delivered_or_brought_in() {
    const EVENTS: usize = 600;
    let kafka = start(Options::single_node()).await;
    let (brokers, topic) = (kafka.bootstrap(), unique());
    create(&brokers, &topic, 3, &[]).await;
    let pipeline = Pipeline::willing();
    let group = format!("topics = ['{topic}']\ngroup_id = '{topic}'");
    let running = ingress(&group, open(&brokers), &pipeline).await;
    let text = format!("topic = '{topic}'\nkey_mode = 'ordering_key'\ntimeout_seconds = 3");
    let egress = output(&text, open(&brokers)).await;

    let killer = Arc::clone(&kafka);
    let killing = tokio::spawn(async move {
        for _ in 0..2 {
            let mut tick = tokio::time::interval(Duration::from_millis(700));
            tick.tick().await;
            tick.tick().await;
            killer.kill(1).unwrap();
            restart(&killer).await;
        }
    });
    let events: Vec<Event> = (0..EVENTS).map(|n| event(&format!("k{}", n % 5), &n.to_string())).collect();
    let mut repeated = 0;
    for chunk in events.chunks(8) {
        let each = chunk.iter().map(|event| async {
            let mut attempts = 0;
            loop {
                attempts += 1;
                match egress.deliver(event).await {
                    Ok(_) => return attempts,
                    Err(DeliverError::Unavailable(_)) => {}
                    Err(other) => panic!("{other}"),
                }
            }
        });
        let attempts: usize = futures_util::future::join_all(each).await.into_iter().sum();
        repeated += attempts - chunk.len();
    }
    tokio::time::timeout(crate::support::PATIENCE, killing).await.expect("the broker is back").unwrap();

    let wanted: BTreeSet<String> = events.iter().map(|event| event.id.to_string()).collect();
    let came = || -> BTreeSet<String> {
        let taken = pipeline.taken();
        taken.iter().map(|raw| raw.headers["webhook-id"].to_str().unwrap().to_owned()).collect()
    };
    until("every event to come in", async || wanted.is_subset(&came())).await;
    running.stop().await;
    assert_eq!(came(), wanted);
    let there = records(&brokers, &topic, EVENTS).await;
    assert!(
        there.len() <= EVENTS + repeated,
        "{} records of {EVENTS} events, {repeated} repeated",
        there.len()
    );
    assert!(pipeline.aside().is_empty());
    // Alive after it all.
    Other::to(&brokers, &topic).send(None, Some(b"1"), &[]).await;
}
