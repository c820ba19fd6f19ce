//! Accept over a real ledger: a repetition is known whatever happened in between.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use hook_core::{
    driver::{BuildContext, BuildError, IngressConfig},
    glob::Glob,
    metrics::Metrics,
    pipeline::accept::Acceptor,
    plan::{
        AcceptPlan, AdminPlan, App, Backend, IngressPlan, LogPlan, Plan, Retention, ServeRoute, Unrouted,
        ValidationMode,
    },
    ports::{Accept, Answer, Ingress, RawEvent, Refusal},
    secret::Environment,
    source::{self, Source},
};
use hook_event::{Clock, Entropy, Event};
use hook_ledger::Ledger;
use hook_log::AppendError;
use http::{HeaderMap, Method};
use proptest::prelude::*;

use crate::fixture::{Fixture, follow_until, now, topic};

const BODY: &str = r#"{"repository":{"full_name":"acme/api"}}"#;

#[derive(Debug)]
struct NoIngress;

#[async_trait]
impl IngressConfig for NoIngress {
    async fn build(&self, _context: &BuildContext) -> Result<Box<dyn Ingress>, BuildError> {
        Err(BuildError::Resource("never built here".into()))
    }
}

fn plan() -> Plan {
    let sources = source::seed_default("github").map(|plan| ("github".to_owned(), plan));
    let retention = Retention::default();
    Plan {
        app: App { id: "test".into(), name: "Test".into(), version: "1.0.0".into(), description: None },
        profile: "test".into(),
        profile_label: "Test".into(),
        environment: BTreeMap::new(),
        validation_mode: ValidationMode::Strict,
        unrouted: Unrouted::Discard,
        log: LogPlan {
            backend: Backend::Embedded,
            path: PathBuf::from("hook-data"),
            retention,
            dead_letter_retention: retention,
            segment_bytes: 1 << 20,
            min_free_bytes: 0,
            dead_letters: topic("webhooks.dlq"),
        },
        sources: sources.into_iter().collect(),
        ingress: vec![IngressPlan {
            id: "http".into(),
            driver: "test",
            config: Arc::new(NoIngress),
            plugins: Vec::new(),
        }],
        serve_routes: vec![ServeRoute {
            id: "all".into(),
            source_match: Glob::new("*"),
            event_type_pattern: Glob::new("*"),
            target_topic: "webhooks.core".into(),
        }],
        accept: AcceptPlan {
            dedup_ttl: Duration::from_secs(3600),
            peer_rate_per_minute: None,
            append_timeout: Duration::from_secs(5),
        },
        relay: hook_core::plan::RelayPlan::default(),
        destinations: Vec::new(),
        admin: AdminPlan::default(),
        transports: BTreeMap::new(),
    }
}

fn github() -> Source {
    let environment = Environment::new([("HMAC_SECRET_GITHUB".to_owned(), "s3cret".to_owned())]);
    Source::build("github", &plan().sources["github"], &environment).unwrap()
}

fn acceptor(fixture: &Fixture, ledger: &Arc<Ledger>) -> Acceptor {
    let sources = BTreeMap::from([("github".to_owned(), github())]);
    let (log, claims) = (Arc::new(fixture.log.clone()), Arc::clone(ledger));
    let metrics = Arc::new(Metrics::new());
    Acceptor::new(&plan(), sources, log, claims, metrics, Clock::of(now), Entropy::SYSTEM).unwrap()
}

async fn send(acceptor: &Acceptor, delivery: &str) -> Result<Answer, Refusal> {
    let mut headers = HeaderMap::new();
    headers.extend(github().sign(BODY.as_bytes(), now(), Entropy::SYSTEM, Some("push")));
    headers.insert("content-type", "application/json".parse().unwrap());
    headers.insert("x-github-delivery", delivery.parse().unwrap());
    acceptor
        .accept(RawEvent {
            source: "github".into(),
            adapter: "http".into(),
            method: Method::POST,
            path: "/webhook/github".into(),
            query: None,
            headers,
            body: Bytes::from_static(BODY.as_bytes()),
            transport: None,
            peer: None,
            received_at: now(),
        })
        .await
}

fn stored(fixture: &Fixture) -> Vec<Event> {
    let entries = fixture.log.entries(&topic("webhooks.core"));
    entries.iter().map(|entry| Event::decode(&entry.value).unwrap()).collect()
}

#[tokio::test]
async fn a_repetition_is_known_after_any_kind_of_restart() {
    for (name, indexed, deleted) in [
        ("stopped after it was indexed", true, false),
        ("killed before it was indexed", false, false),
        ("its file deleted", true, true),
        ("killed, then its file deleted", false, true),
    ] {
        let fixture = Fixture::new();
        let ledger = Arc::new(fixture.start().await);
        let first = send(&acceptor(&fixture, &ledger), "d1").await;
        assert!(matches!(first, Ok(Answer::Accepted { .. })), "{name}: {first:?}");
        if indexed {
            follow_until(&ledger, &fixture.shared_log(), async |ledger: &Ledger| {
                ledger.totals().unwrap().claims == 1
            })
            .await;
        }
        drop(ledger);
        if deleted {
            std::fs::remove_file(fixture.path()).unwrap();
        }

        let ledger = Arc::new(fixture.start().await);
        let acceptor = acceptor(&fixture, &ledger);
        let id = stored(&fixture)[0].id;
        assert_eq!(send(&acceptor, "d1").await, Ok(Answer::Duplicate { id, reply: None }), "{name}");
        assert!(matches!(send(&acceptor, "d2").await, Ok(Answer::Accepted { .. })), "{name}");
        assert_eq!(stored(&fixture).len(), 2, "{name}");
    }
}

#[tokio::test]
async fn a_503_does_not_burn_the_delivery_id() {
    let fixture = Fixture::new();
    let ledger = Arc::new(fixture.start().await);
    let acceptor = acceptor(&fixture, &ledger);
    fixture.log.fail_appends(AppendError::Full("no space".into()));
    assert!(matches!(send(&acceptor, "d1").await, Err(Refusal::Unavailable { .. })));
    fixture.log.heal();
    assert!(matches!(send(&acceptor, "d1").await, Ok(Answer::Accepted { .. })));
    assert!(matches!(send(&acceptor, "d1").await, Ok(Answer::Duplicate { .. })));
    assert_eq!(stored(&fixture).len(), 1);
}

#[tokio::test]
async fn nothing_is_taken_before_the_ledger_knows_the_log() {
    let fixture = Fixture::new();
    let ledger = Arc::new(Ledger::open(fixture.path(), crate::fixture::options()).unwrap());
    let acceptor = acceptor(&fixture, &ledger);
    assert!(matches!(send(&acceptor, "d1").await, Err(Refusal::Unavailable { .. })));
    assert!(!acceptor.readiness().ready);
    ledger.catch_up(&fixture.log, |_| {}).await.unwrap();
    assert!(matches!(send(&acceptor, "d1").await, Ok(Answer::Accepted { .. })));
    assert!(acceptor.readiness().ready);
}

/// What may happen between two requests.
#[derive(Clone, Copy, Debug)]
enum Step {
    Send(u8),
    SendWhileFull(u8),
    Index,
    Restart,
    RestartWithoutFile,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u8..5).prop_map(Step::Send),
        1 => (0_u8..5).prop_map(Step::SendWhileFull),
        1 => Just(Step::Index),
        1 => Just(Step::Restart),
        1 => Just(Step::RestartWithoutFile),
    ]
}

async fn every_delivery_is_stored_once(steps: Vec<Step>) {
    let fixture = Fixture::new();
    let mut ledger = Arc::new(fixture.start().await);
    let mut sent = BTreeSet::new();
    for step in steps {
        match step {
            Step::Send(delivery) => {
                let answer = send(&acceptor(&fixture, &ledger), &delivery.to_string()).await;
                let known = !sent.insert(delivery);
                assert_eq!(matches!(answer, Ok(Answer::Duplicate { .. })), known, "{answer:?}");
                assert_eq!(matches!(answer, Ok(Answer::Accepted { .. })), !known, "{answer:?}");
            }
            Step::SendWhileFull(delivery) => {
                fixture.log.fail_appends(AppendError::Full("no space".into()));
                let answer = send(&acceptor(&fixture, &ledger), &delivery.to_string()).await;
                assert_eq!(answer.is_ok(), sent.contains(&delivery), "{answer:?}");
                fixture.log.heal();
            }
            Step::Index => ledger.catch_up(&fixture.log, |_| {}).await.unwrap(),
            Step::Restart | Step::RestartWithoutFile => {
                drop(ledger);
                if matches!(step, Step::RestartWithoutFile) {
                    std::fs::remove_file(fixture.path()).unwrap();
                }
                ledger = Arc::new(fixture.start().await);
            }
        }
    }
    assert_eq!(stored(&fixture).len(), sent.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn whatever_happens_every_delivery_is_stored_once(steps in proptest::collection::vec(step(), 1..25)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(every_delivery_is_stored_once(steps));
    }
}
