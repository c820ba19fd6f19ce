//! The plan: one profile of a contract, every reference resolved.
//!
//! Making a plan does no I/O. What is built from it is never validated again.

mod kafka;
mod relay;

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use hook_log::Topic;
use hook_sdk::Hook;
use serde::Serialize;

pub use self::kafka::{
    Backend, KafkaConnection, KafkaPlan, OffsetReset, ProducerPlan, SaslMechanism, SaslPlan,
    SecurityProtocol, TlsFiles,
};
pub use self::relay::{BridgePlan, End, OutputTopic, RelayMode, RelayPlan};
use crate::{
    driver::{EgressConfig, IngressConfig},
    expr::Condition,
    glob::Glob,
    secret::SecretRef,
    source::SourceSpec,
};

/// Everything that runs.
#[derive(Clone)]
pub struct Plan {
    /// The contract's app.
    pub app: App,
    /// The profile's name.
    pub profile: String,
    /// The profile's label.
    pub profile_label: String,
    /// What the profile sets where the process's own environment does not.
    pub environment: BTreeMap<String, String>,
    /// How strictly it was checked.
    pub validation_mode: ValidationMode,
    /// What happens to a stored event that no smash route wants.
    pub unrouted: Unrouted,
    /// The log.
    pub log: LogPlan,
    /// The sources that may send, by name.
    pub sources: BTreeMap<String, SourcePlan>,
    /// What listens.
    pub ingress: Vec<IngressPlan>,
    /// Where events go in the log; first match wins.
    pub serve_routes: Vec<ServeRoute>,
    /// How events are taken in.
    pub accept: AcceptPlan,
    /// What carries records from topics to a topic.
    pub relay: RelayPlan,
    /// Where events are delivered.
    pub destinations: Vec<DestinationPlan>,
    /// Where operators look.
    pub admin: AdminPlan,
    /// The ways to MCP servers, as written and checked.
    pub transports: BTreeMap<String, serde_json::Value>,
}

/// Who the contract is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct App {
    /// Kebab-case; part of every consumer group's name.
    pub id: String,
    /// For people.
    pub name: String,
    /// Semantic version.
    pub version: String,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// How strictly the contract was checked. Debug relaxes nothing about security.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ValidationMode {
    /// Every finding is an error.
    #[default]
    Strict,
    /// What is not about security is a warning.
    Debug,
}

/// What happens to a stored event that no smash route wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unrouted {
    /// It stays in the log, settled and counted.
    Discard,
    /// It becomes a dead letter, `reason = "unroutable"`.
    DeadLetter,
}

/// The log's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPlan {
    /// Where it is.
    pub backend: Backend,
    /// The data directory: the embedded log itself, and what every process keeps beside it.
    pub path: PathBuf,
    /// What is kept.
    pub retention: Retention,
    /// What is kept of dead letters.
    pub dead_letter_retention: Retention,
    /// A segment file's size in bytes.
    pub segment_bytes: u64,
    /// Free space below which nothing is appended, in bytes.
    pub min_free_bytes: u64,
    /// The topic of dead letters.
    pub dead_letters: Topic,
}

/// How long records are kept; whichever limit is met first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Age since the append; none keeps for ever.
    pub max_age: Option<Duration>,
    /// Bytes per topic; none keeps everything.
    pub max_bytes: Option<u64>,
}

/// A source with its secrets and limits.
#[derive(Clone, Debug, PartialEq)]
pub struct SourcePlan {
    /// How it verifies and normalizes.
    pub spec: Arc<SourceSpec>,
    /// The live secrets, newest first.
    pub secrets: Vec<SecretRef>,
    /// Verified requests a minute; none is unlimited.
    pub rate_per_minute: Option<u32>,
    /// Events about the same subject within this time are dropped; zero is off.
    pub cooldown: Duration,
}

/// How events are taken in, whatever the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptPlan {
    /// How long a delivery id is remembered.
    pub dedup_ttl: Duration,
    /// Requests a minute from one peer, before verification; none is unlimited.
    pub peer_rate_per_minute: Option<u32>,
    /// How long an append may take before the sender is told 503.
    pub append_timeout: Duration,
}

/// An ingress adapter.
#[derive(Clone)]
pub struct IngressPlan {
    /// Its id.
    pub id: Arc<str>,
    /// Its driver's name.
    pub driver: &'static str,
    /// Its driver's keys.
    pub config: Arc<dyn IngressConfig>,
    /// Its hooks, in order.
    pub plugins: Vec<Arc<dyn Hook>>,
}

/// Which events go to which topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServeRoute {
    /// Its id.
    pub id: String,
    /// The sources it takes.
    pub source_match: Glob,
    /// The event types it takes.
    pub event_type_pattern: Glob,
    /// Where it puts them. `{source}` stands for the source's name.
    pub target_topic: String,
}

/// An egress adapter with its part of the routes.
#[derive(Clone)]
pub struct DestinationPlan {
    /// Its id.
    pub id: Arc<str>,
    /// Its driver's name.
    pub driver: &'static str,
    /// Its driver's keys.
    pub config: Arc<dyn EgressConfig>,
    /// Its hooks, in order.
    pub plugins: Vec<Arc<dyn Hook>>,
    /// How it is delivered to.
    pub policy: DeliveryPolicy,
    /// The routes that name it; any that fits is enough.
    pub routes: Vec<SmashRoute>,
}

/// One route's claim on a destination.
#[derive(Clone, Debug)]
pub struct SmashRoute {
    /// Its id.
    pub id: String,
    /// The topics it reads.
    pub topics: Glob,
    /// The event types it takes, any of; empty takes all.
    pub event_filters: Vec<Glob>,
    /// What must hold of the event besides.
    pub when: Option<Condition>,
    /// Whether an event given up here becomes a dead letter.
    pub required: bool,
}

/// How a destination is delivered to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryPolicy {
    /// Events under way at once.
    pub max_in_flight: usize,
    /// What must not overtake what.
    pub ordering: Ordering,
    /// Attempts after the first.
    pub max_retries: u32,
    /// The first wait; doubled each time, full jitter.
    pub backoff_base: Duration,
    /// The longest wait.
    pub backoff_max: Duration,
    /// An event older than this since its first attempt is given up.
    pub deadline: Option<Duration>,
    /// Where a destination that is new begins.
    pub start_from: StartFrom,
}

/// What must not overtake what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ordering {
    /// Events with the same ordering key; other keys pass.
    Key,
    /// Nothing; every event by itself.
    None,
    /// Every event waits for the one before.
    Strict,
}

/// Where a destination that is new begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartFrom {
    /// The oldest event retained.
    Beginning,
    /// Events from now on.
    Now,
    /// Events received since.
    Time(jiff::Timestamp),
}

/// Where operators look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdminPlan {
    /// Where `/metrics`, `/health` and `/ready` are served besides the Unix socket.
    pub bind: Option<SocketAddr>,
}

impl Default for DeliveryPolicy {
    fn default() -> Self {
        Self {
            max_in_flight: 32,
            ordering: Ordering::Key,
            max_retries: 5,
            backoff_base: Duration::from_secs(1),
            backoff_max: Duration::from_secs(300),
            deadline: None,
            start_from: StartFrom::Beginning,
        }
    }
}

impl Plan {
    /// The consumer group of a destination: `hook.<app>.<adapter>`.
    pub fn group(&self, destination: &str) -> String {
        format!("hook.{}.{destination}", self.app.id)
    }
}

/// The topic of replays aimed at one destination.
///
/// # Errors
/// When the adapter's id is no part of a topic name.
pub fn redeliver_topic(adapter: &str) -> Result<Topic, hook_log::TopicError> {
    Topic::new(&format!("hook.redeliver.{adapter}"))
}
