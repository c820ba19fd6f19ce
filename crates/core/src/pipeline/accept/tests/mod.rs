//! Accept, tried step by step over a log in memory.

mod answers;
mod aside;
mod batches;
mod hooks;
mod limits;
mod lines;
mod storing;

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::Mutex,
    time::Duration,
};

use bytes::Bytes;
use hook_event::Event;
use hook_log::{
    AppendError, Entry, MemoryLog, Position, ReadError, Record, Scan, Start, Subscription, Topic, TopicInfo,
    TopicSet,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use jiff::Timestamp;
use tokio::sync::Semaphore;
use toml::{Spanned, de::DeValue};

use super::*;
use crate::{
    glob::Glob,
    plan::{
        AcceptPlan, AdminPlan, App, Backend, IngressPlan, LogPlan, RelayPlan, Retention, ServeRoute, Unrouted,
    },
    ports::{ClaimError, Reply},
    secret::Environment,
    source,
};

/// A batch in every body, proven by a token.
const BULK: &str = r#"
    algorithm = "equality"
    signature_headers = ["X-Token"]
    secrets_env = ["SECRET"]
    event_type = ["{/type}"]
    delivery_id = ["{/id}"]
    subject = ["{/about}"]
    batch = "/events"
"#;

const SOURCES: [(&str, &str); 3] = [
    ("bulk", BULK),
    ("github", "preset = \"github\"\nsecrets_env = [\"SECRET\"]"),
    ("slack", "preset = \"slack\"\nsecrets_env = [\"SECRET\"]"),
];

const PUSH: &str = r#"{"repository":{"full_name":"acme/api"},  "commits":[]}"#;

/// The moment at which everything here happens.
fn now() -> Timestamp {
    Timestamp::from_second(1_753_000_000).unwrap()
}

/// An acceptor and what it stands on.
struct World {
    acceptor: Arc<Acceptor>,
    log: Arc<Door>,
    claims: Arc<MemoryClaims>,
    metrics: Arc<Metrics>,
}

impl World {
    fn new() -> Self {
        Self::with(|_| {})
    }

    /// A world whose plan was changed by `change`.
    fn with(change: impl FnOnce(&mut Plan)) -> Self {
        Self::over(MemoryLog::new(), change)
    }

    fn over(log: MemoryLog, change: impl FnOnce(&mut Plan)) -> Self {
        let mut plan = plan();
        change(&mut plan);
        let log = Arc::new(Door::open(log));
        let (claims, metrics) = (Arc::new(MemoryClaims::default()), Arc::new(Metrics::new()));
        let acceptor = acceptor(&plan, Arc::clone(&log), Arc::clone(&claims), Arc::clone(&metrics)).unwrap();
        Self { acceptor: Arc::new(acceptor), log, claims, metrics }
    }

    async fn send(&self, raw: RawEvent) -> Result<Answer, Refusal> {
        self.acceptor.accept(raw).await
    }

    /// Sends in a task of its own and lets it go as far as it can.
    async fn start(&self, raw: RawEvent) -> tokio::task::JoinHandle<Result<Answer, Refusal>> {
        let acceptor = Arc::clone(&self.acceptor);
        let task = tokio::spawn(async move { acceptor.accept(raw).await });
        settle().await;
        task
    }

    /// The events of a topic as they were stored.
    fn stored(&self, topic: &str) -> Vec<Event> {
        let entries = self.log.inner.entries(&Topic::new(topic).unwrap());
        entries.iter().map(|entry| Event::decode(&entry.value).unwrap()).collect()
    }

    fn reserved(&self) -> usize {
        let held = self.claims.0.lock().unwrap();
        held.values().filter(|held| matches!(held, Held::Reserved(_))).count()
    }

    fn counted(&self, line: &str) -> bool {
        self.metrics.render().lines().any(|rendered| rendered == line)
    }
}

fn acceptor(
    plan: &Plan,
    log: Arc<Door>,
    claims: Arc<MemoryClaims>,
    metrics: Arc<Metrics>,
) -> Result<Acceptor, AcceptorError> {
    let environment = Environment::new([("SECRET".to_owned(), "s3cret".to_owned())]);
    let build =
        |(name, plan): (&String, &_)| (name.clone(), Source::build(name, plan, &environment).unwrap());
    let sources = plan.sources.iter().map(build).collect();
    Acceptor::new(plan, sources, log, claims, metrics, Clock::of(now), Entropy::SYSTEM)
}

fn plan() -> Plan {
    let retention = Retention::default();
    Plan {
        app: App { id: "test".into(), name: "Test".into(), version: "1.0.0".into(), description: None },
        profile: "reviews".into(),
        profile_label: "Reviews".into(),
        environment: BTreeMap::new(),
        validation_mode: ValidationMode::Debug,
        unrouted: Unrouted::Discard,
        log: LogPlan {
            backend: Backend::Embedded,
            path: PathBuf::from("hook-data"),
            retention,
            dead_letter_retention: retention,
            segment_bytes: 1 << 20,
            min_free_bytes: 0,
            dead_letters: Topic::new("webhooks.dlq").unwrap(),
        },
        sources: SOURCES.iter().map(|(name, keys)| ((*name).to_owned(), source_plan(name, keys))).collect(),
        ingress: vec![ingress("http", Vec::new())],
        serve_routes: vec![
            route("reviews", "*", "pull_request.*", "webhooks.reviews"),
            route("all", "*", "*", "webhooks.{source}"),
        ],
        accept: AcceptPlan {
            dedup_ttl: Duration::from_secs(3600),
            peer_rate_per_minute: None,
            append_timeout: Duration::from_secs(5),
        },
        relay: RelayPlan::default(),
        destinations: Vec::new(),
        admin: AdminPlan::default(),
        transports: BTreeMap::new(),
    }
}

fn source_plan(name: &str, keys: &str) -> crate::plan::SourcePlan {
    let table = toml::de::DeTable::parse(keys).unwrap().into_inner();
    source::parse(name, Spanned::new(0..keys.len(), DeValue::Table(table))).unwrap()
}

fn ingress(id: &str, plugins: Vec<Arc<dyn hook_sdk::Hook>>) -> IngressPlan {
    IngressPlan { id: id.into(), driver: "test", config: Arc::new(NoIngress), plugins }
}

fn route(id: &str, source: &str, event_type: &str, topic: &str) -> ServeRoute {
    ServeRoute {
        id: id.into(),
        source_match: Glob::new(source),
        event_type_pattern: Glob::new(event_type),
        target_topic: topic.into(),
    }
}

/// A request as GitHub would send it, under this delivery id.
fn github(delivery: &str, event: &str, body: &str) -> RawEvent {
    let source = Source::build(
        "github",
        &source_plan("github", SOURCES[1].1),
        &Environment::new([("SECRET".to_owned(), "s3cret".to_owned())]),
    );
    let mut raw = post("github", body);
    raw.headers.extend(source.unwrap().sign(body.as_bytes(), now(), Entropy::SYSTEM, Some(event)));
    with(raw, "X-GitHub-Delivery", delivery)
}

fn push(delivery: &str) -> RawEvent {
    github(delivery, "push", PUSH)
}

/// The same request, signed with nothing that the source knows.
fn forged(raw: RawEvent) -> RawEvent {
    with(raw, "X-Hub-Signature-256", &format!("sha256={}", "0".repeat(64)))
}

fn bulk(events: &str) -> RawEvent {
    with(post("bulk", &format!("{{\"events\":[{events}]}}")), "X-Token", "s3cret")
}

fn post(source: &str, body: &str) -> RawEvent {
    let headers = [("content-type", "application/json")];
    RawEvent {
        source: source.into(),
        adapter: "http".into(),
        method: Method::POST,
        path: format!("/webhook/{source}"),
        query: None,
        headers: headers
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap()))
            .into_iter()
            .collect::<HeaderMap>(),
        body: Bytes::copy_from_slice(body.as_bytes()),
        transport: None,
        peer: None,
        received_at: now(),
    }
}

fn with(mut raw: RawEvent, name: &str, value: &str) -> RawEvent {
    raw.headers.insert(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
    raw
}

/// The one id of an accepted request.
#[track_caller]
fn accepted(answer: Result<Answer, Refusal>) -> EventId {
    match answer {
        Ok(Answer::Accepted { ids, .. }) if ids.len() == 1 => ids[0],
        other => panic!("not accepted as one event: {other:?}"),
    }
}

fn duplicate(id: EventId) -> Result<Answer, Refusal> {
    Ok(Answer::Duplicate { id, reply: None })
}

/// Lets every task that can go on go on.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

/// Claims in memory: the port's rules and nothing else.
#[derive(Default)]
struct MemoryClaims(Mutex<HashMap<String, Held>>);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Held {
    Reserved(EventId),
    Kept(EventId),
}

impl Claims for MemoryClaims {
    fn reserve(&self, key: &str, id: EventId, _now: Timestamp) -> Result<Reservation, ClaimError> {
        let mut held = self.0.lock().unwrap();
        match held.get(key) {
            Some(Held::Kept(id)) => return Ok(Reservation::Duplicate(*id)),
            Some(Held::Reserved(_)) => return Ok(Reservation::InFlight),
            None => {}
        }
        held.insert(key.to_owned(), Held::Reserved(id));
        Ok(Reservation::New)
    }

    fn keep(&self, key: &str, id: EventId, _at: Timestamp) {
        assert_eq!(
            self.0.lock().unwrap().insert(key.to_owned(), Held::Kept(id)),
            Some(Held::Reserved(id)),
            "kept once, after reserving"
        );
    }

    fn release(&self, key: &str, id: EventId) {
        let held = self.0.lock().unwrap().remove(key);
        assert_eq!(held, Some(Held::Reserved(id)), "only what is reserved is released");
    }
}

/// A log in memory behind a door: appends wait until they may pass.
struct Door {
    inner: MemoryLog,
    passes: Semaphore,
    /// The topic and number of records of each append that passed.
    appends: Mutex<Vec<(String, usize)>>,
}

impl Door {
    fn open(inner: MemoryLog) -> Self {
        Self { inner, passes: Semaphore::new(1_000_000), appends: Mutex::default() }
    }

    fn shut(&self) {
        self.passes.forget_permits(usize::MAX);
    }

    fn let_pass(&self, appends: usize) {
        self.passes.add_permits(appends);
    }
}

#[async_trait]
impl Log for Door {
    async fn append(&self, topic: &Topic, records: Vec<Record>) -> Result<Vec<Position>, AppendError> {
        self.passes.acquire().await.unwrap().forget();
        self.appends.lock().unwrap().push((topic.to_string(), records.len()));
        self.inner.append(topic, records).await
    }

    async fn subscribe(
        &self,
        group: &str,
        topics: TopicSet,
        start: Start,
    ) -> Result<Box<dyn Subscription>, ReadError> {
        self.inner.subscribe(group, topics, start).await
    }

    async fn scan(&self, topic: &Topic, start: Start) -> Result<Box<dyn Scan>, ReadError> {
        self.inner.scan(topic, start).await
    }

    async fn read(&self, position: &Position) -> Result<Option<Entry>, ReadError> {
        self.inner.read(position).await
    }

    async fn topics(&self) -> Result<Vec<TopicInfo>, ReadError> {
        self.inner.topics().await
    }

    async fn committed(&self, group: &str) -> Result<Vec<Position>, ReadError> {
        self.inner.committed(group).await
    }

    async fn forget(&self, group: &str) -> Result<(), ReadError> {
        self.inner.forget(group).await
    }
}

/// An adapter that is named and never built.
#[derive(Debug)]
struct NoIngress;

#[async_trait]
impl crate::driver::IngressConfig for NoIngress {
    async fn build(
        &self,
        _context: &crate::driver::BuildContext,
    ) -> Result<Box<dyn crate::ports::Ingress>, crate::driver::BuildError> {
        Err(crate::driver::BuildError::Resource("never built here".into()))
    }
}
