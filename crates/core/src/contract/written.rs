//! The contract as it is written: one strict struct per table. The field docs are
//! the user's reference and the schema's descriptions.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::{
    kafka::Kafka,
    quantity::{Age, Size},
};
use crate::plan;

/// A text with its place in the file.
pub(super) type Text = Spanned<String>;

/// Who the contract is.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct App {
    /// Kebab-case; part of every consumer group's name, so changing it starts every destination anew.
    #[schemars(with = "String", regex(pattern = r"^[a-z0-9]+(-[a-z0-9]+)*$"))]
    pub(super) id: Text,
    /// For people.
    pub(super) name: String,
    /// Semantic version.
    #[schemars(with = "String")]
    pub(super) version: Text,
    /// For people, in a sentence.
    pub(super) description: Option<String>,
}

/// What the checker allows.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Policies {
    /// Whether a profile may have no destination. Needs `no_output_sink`.
    #[serde(default)]
    #[schemars(with = "Option<bool>")]
    pub(super) allow_no_output: Option<Spanned<bool>>,
    /// Where events go that no smash route wants: `discard` (they stay in the log) or `dlq`.
    pub(super) no_output_sink: Option<Sink>,
    /// `strict` (the default), or `debug`, in which what is not about security is a warning.
    pub(super) validation_mode: Option<Mode>,
}

/// Where events go that no smash route wants.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Sink {
    /// They stay in the log, settled and counted.
    Discard,
    /// They become dead letters.
    Dlq,
}

/// How strictly the contract is checked.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Mode {
    /// Every finding is an error.
    Strict,
    /// What is not about security is a warning.
    Debug,
}

/// The log.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Log {
    /// `embedded`, the default, or `kafka`.
    #[schemars(with = "Option<String>")]
    pub(super) backend: Option<Text>,
    /// With the backend `kafka`: how to reach the cluster, and how it is used.
    #[schemars(with = "Option<Kafka>")]
    pub(super) kafka: Option<Spanned<Kafka>>,
    /// The data directory: the embedded log and what is kept beside it; `hook-data` unless written.
    pub(super) path: Option<String>,
    /// How long events are kept: 7 days unless written.
    pub(super) retention: Option<Retention>,
    /// How long dead letters are kept: 30 days unless written.
    pub(super) dead_letter_retention: Option<Retention>,
    /// The size of one segment file, `64MiB` unless written.
    #[schemars(with = "Option<Size>")]
    pub(super) segment_bytes: Option<Spanned<Size>>,
    /// Free disk space below which nothing is taken in, `256MiB` unless written.
    #[schemars(with = "Option<Size>")]
    pub(super) min_free_bytes: Option<Spanned<Size>>,
    /// The topic of dead letters, `webhooks.dlq` unless written.
    #[schemars(with = "Option<String>")]
    pub(super) dlq_topic: Option<Text>,
}

/// How long records are kept; whichever limit is met first.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Retention {
    /// Age, such as `7d`.
    pub(super) max_age: Option<Age>,
    /// Bytes per topic, such as `20GiB`.
    pub(super) max_bytes: Option<Size>,
}

/// How events are taken in; the adapters and routes stand beside.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Serve {
    /// How long a delivery id is remembered, in seconds; 604800 (7 days) unless written.
    pub(super) dedup_ttl_seconds: Option<u32>,
    /// Requests a minute from one peer, before verification; unlimited unless written.
    pub(super) peer_rate_per_minute: Option<std::num::NonZeroU32>,
    /// How long an append may take before the sender is told 503, in milliseconds; 5000 unless written.
    pub(super) append_timeout_ms: Option<std::num::NonZeroU32>,
}

/// Which events go to which topic; the first that fits wins.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ServeRoute {
    /// The route's name.
    #[schemars(with = "String")]
    pub(super) id: Text,
    /// A glob on the source.
    #[schemars(with = "String")]
    pub(super) source_match: Text,
    /// A glob on the event's type.
    #[schemars(with = "String")]
    pub(super) event_type_pattern: Text,
    /// Where the event is stored; `{source}` stands for the source.
    #[schemars(with = "String")]
    pub(super) target_topic: Text,
}

/// How events are delivered; the adapters and routes stand in it.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Smash {}

/// Which stored events go to which destinations.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SmashRoute {
    /// The route's name.
    #[schemars(with = "String")]
    pub(super) id: Text,
    /// A glob on the topic.
    #[schemars(with = "String")]
    pub(super) source_topic_pattern: Text,
    /// Globs on the event's type, any of; all events unless written.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub(super) event_filters: Vec<Text>,
    /// A MiniJinja expression that must hold: `not payload.pull_request.draft`.
    #[schemars(with = "Option<String>")]
    pub(super) when: Option<Text>,
    /// The destinations.
    pub(super) destinations: Vec<Destination>,
}

/// One destination of a route.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Destination {
    /// An egress adapter's id.
    #[schemars(with = "String")]
    pub(super) adapter_id: Text,
    /// Whether an event given up here becomes a dead letter; otherwise it is counted and dropped.
    #[serde(default = "yes")]
    pub(super) required: bool,
}

/// What every ingress adapter has besides its driver's keys.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct IngressCommon {
    /// The adapter's name.
    #[schemars(with = "String")]
    pub(super) id: Text,
    /// What kind of adapter it is.
    #[schemars(with = "String")]
    pub(super) driver: Text,
}

/// What every egress adapter has besides its driver's keys.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EgressCommon {
    /// The adapter's name; part of its consumer group's name.
    #[schemars(with = "String")]
    pub(super) id: Text,
    /// What kind of adapter it is.
    #[schemars(with = "String")]
    pub(super) driver: Text,
    /// Events under way at once; 32 unless written.
    #[schemars(with = "Option<u32>", range(min = 1, max = 4096))]
    pub(super) max_in_flight: Option<Spanned<u32>>,
    /// What must not overtake what: `key` (the default), `none` or `strict`.
    pub(super) ordering: Option<Ordering>,
    /// Attempts after the first; 5 unless written.
    pub(super) max_retries: Option<u32>,
    /// The first wait between attempts, in milliseconds; 1000 unless written.
    pub(super) backoff_base_ms: Option<std::num::NonZeroU32>,
    /// The longest wait between attempts, in milliseconds; 300000 unless written.
    #[schemars(with = "Option<u32>")]
    pub(super) backoff_max_ms: Option<Spanned<std::num::NonZeroU32>>,
    /// An event is given up this many seconds after its first attempt; never unless written.
    pub(super) deadline_seconds: Option<std::num::NonZeroU32>,
    /// Where a new destination begins: `beginning` (the default), `now`, or an RFC 3339 time.
    #[schemars(with = "Option<String>")]
    pub(super) start_from: Option<Text>,
}

/// What must not overtake what.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Ordering {
    /// Events with the same ordering key.
    Key,
    /// Nothing.
    None,
    /// Every event waits for the one before.
    Strict,
}

/// Which adapters and routes run together. What is not listed does not run.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Profile {
    /// For people.
    pub(super) label: String,
    /// Ids of ingress adapters.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub(super) serve_adapters: Vec<Text>,
    /// Ids of egress adapters.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub(super) smash_adapters: Vec<Text>,
    /// Ids of serve routes.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub(super) serve_routes: Vec<Text>,
    /// Ids of smash routes.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub(super) smash_routes: Vec<Text>,
    /// Ids of bridges.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub(super) relay_bridges: Vec<Text>,
    /// Settings for adapters that the process's own environment does not set.
    #[serde(default)]
    pub(super) env: BTreeMap<String, String>,
}

/// A way to an MCP server.
#[derive(Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Transport {
    /// `http_sse` or `stdio_jsonrpc`.
    #[schemars(with = "String")]
    pub(super) driver: Text,
    /// `http_sse`: where.
    pub(super) url: Option<String>,
    /// `http_sse`: `bearer` or `none`.
    pub(super) auth_mode: Option<String>,
    /// `http_sse`: the variable that holds the token.
    pub(super) token_env: Option<String>,
    /// `stdio_jsonrpc`: the program.
    pub(super) command: Option<String>,
    /// `stdio_jsonrpc`: its arguments.
    #[serde(default)]
    pub(super) args: Vec<String>,
    /// `stdio_jsonrpc`: its environment.
    #[serde(default)]
    pub(super) env: BTreeMap<String, String>,
}

/// A table that seed contracts have and that holds nothing.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Empty {}

/// Where operators look.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Admin {
    /// Where `/metrics`, `/health` and `/ready` are served over HTTP: `127.0.0.1:9464`.
    #[schemars(with = "Option<String>")]
    pub(super) bind: Option<SocketAddr>,
}

fn yes() -> bool {
    true
}

impl From<Mode> for plan::ValidationMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Strict => Self::Strict,
            Mode::Debug => Self::Debug,
        }
    }
}

impl From<Ordering> for plan::Ordering {
    fn from(ordering: Ordering) -> Self {
        match ordering {
            Ordering::Key => Self::Key,
            Ordering::None => Self::None,
            Ordering::Strict => Self::Strict,
        }
    }
}
