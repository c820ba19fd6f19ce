//! `hook relay`: bridges between Kafka topics, as flags or the contract say.
//!
//! It keeps nothing on disk: its place is in its group, so any number of them may run.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context;
use axum::{
    Json, Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use hook_core::{
    glob::Glob,
    metrics::Metrics,
    pipeline::relay::{self as pipeline, BridgeStatus},
    plan::{
        self, Backend, BridgePlan, End, KafkaConnection, KafkaPlan, LogPlan, OutputTopic, RelayPlan,
        Retention,
    },
    secret::Environment,
};
use hook_log::Topic;
use http::{StatusCode, header::CONTENT_TYPE};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    cli::{self, Global},
    command::plan_and_environment,
    env, fault, manager,
    output::Output,
    relay, signal, telemetry,
};

/// The group of the seed's relay.
const GROUP: &str = "hook-relay";
/// What the flags' one cluster is called in status and logs.
const CLUSTER: &str = "kafka";
const DAY: Duration = Duration::from_secs(86_400);

/// What is to run.
struct Wanted {
    relay: RelayPlan,
    log: LogPlan,
    bind: Option<SocketAddr>,
    environment: Environment,
}

/// What is looked at over HTTP.
struct View {
    plans: Vec<BridgePlan>,
    bridges: Vec<Arc<BridgeStatus>>,
    metrics: Arc<Metrics>,
}

pub(crate) async fn run(command: cli::Relay, global: &Global, output: Output) -> anyhow::Result<()> {
    let bind = command.admin_bind;
    let wanted = match command.topics.is_empty() {
        true => of_contract(global, output)?,
        false => of_flags(command, global)?,
    };
    telemetry::start(output.json(), env::log_filter().as_deref());
    let stop = CancellationToken::new();
    signal::stop_on_signal(stop.clone())?;
    let metrics = Arc::new(Metrics::new());
    let Wanted { relay: plan, log, environment, .. } = &wanted;
    let bridges = relay::build(&plan.bridges, plan, log, None, environment, &metrics)?;
    let view = Arc::new(View { plans: plan.bridges.clone(), bridges: bridges.statuses(), metrics });
    let mut tasks = JoinSet::new();
    if let Some(bind) = bind.or(wanted.bind) {
        let listener = TcpListener::bind(bind).await;
        let listener =
            listener.map_err(|error| fault::unreachable(format!("cannot listen on {bind}: {error}")))?;
        tasks.spawn(serve(listener, view, stop.clone()));
    }
    let (relays, clusters) = bridges.into_parts();
    for relay in relays {
        let stop = stop.clone();
        tasks.spawn(async move { relay.run(stop).await.context("a bridge failed") });
    }
    for bridge in &plan.bridges {
        tracing::info!(bridge = %bridge.id, group = %bridge.group, to = bridge.output_topic.as_str(), "carrying");
    }
    manager::ready("hook relay runs");
    let ended = until(&mut tasks, &stop).await;
    clusters.close();
    ended
}

/// Waits until everything has stopped; what fails stops the rest.
async fn until(tasks: &mut JoinSet<anyhow::Result<()>>, stop: &CancellationToken) -> anyhow::Result<()> {
    let mut ended = Ok(());
    while let Some(task) = tasks.join_next().await {
        let task = task.map_err(anyhow::Error::from).flatten();
        stop.cancel();
        ended = ended.and(task);
    }
    ended
}

/// The bridges of the contract's profile that touch no embedded log.
fn of_contract(global: &Global, output: Output) -> anyhow::Result<Wanted> {
    let (plan, environment) = plan_and_environment(global, output)?;
    let embedded = plan.log.backend == Backend::Embedded;
    let mut relay = plan.relay;
    relay.bridges.retain(|bridge| !(embedded && bridge.touches(&End::Log)));
    if relay.bridges.is_empty() {
        return Err(fault::usage(format!(
            "the profile `{}` has no bridge between Kafka topics\n  \
             hint: list `relay_bridges`, or use `--topics` and `--output-topic`; bridges of an embedded log run in `hook run` and `hook serve`",
            plan.profile
        )));
    }
    Ok(Wanted { relay, log: plan.log, bind: plan.admin.bind, environment })
}

fn of_flags(command: cli::Relay, global: &Global) -> anyhow::Result<Wanted> {
    let mode = match command.mode {
        Some(cli::RelayMode::Raw) => plan::RelayMode::Raw,
        Some(cli::RelayMode::Envelope) | None => plan::RelayMode::Envelope,
    };
    let output = command.output_topic.as_deref().unwrap_or_default();
    let output = OutputTopic::parse(output, mode)
        .map_err(|error| fault::usage(format!("`--output-topic`: {error}")))?;
    let topics: Vec<_> = command.topics.iter().map(|topic| Glob::new(topic.trim())).collect();
    if let Some(topic) = topics.iter().find(|topic| topic.meets(&output.glob())) {
        return Err(fault::usage(format!(
            "`--output-topic {}` is read again as one of `--topics {}`: records would go round for ever",
            output.as_str(),
            topic.as_str()
        )));
    }
    let cluster = End::Cluster(CLUSTER.into());
    let default = BridgePlan::new("relay", topics, output);
    let millis = |ms: u32| Duration::from_millis(ms.into());
    let base = command.backoff_base_ms.map_or(default.backoff_base, millis);
    let bridge = BridgePlan {
        from: cluster.clone(),
        to: cluster,
        mode,
        group: command.group_id.unwrap_or_else(|| GROUP.to_owned()),
        max_retries: command.max_retries.unwrap_or(default.max_retries),
        backoff_base: base,
        backoff_max: command.backoff_max_ms.map_or(default.backoff_max, millis).max(base),
        ..default
    };
    let clusters = [(CLUSTER.into(), kafka(command.brokers))].into();
    let relay = RelayPlan { bridges: vec![bridge], clusters };
    Ok(Wanted { relay, log: log()?, bind: None, environment: env::load(&global.env_file)? })
}

/// A cluster of which the environment says what the flags do not.
fn kafka(brokers: Vec<String>) -> KafkaPlan {
    KafkaPlan {
        connection: KafkaConnection {
            brokers: (!brokers.is_empty()).then_some(brokers),
            ..KafkaConnection::default()
        },
        topic_prefix: String::new(),
        dead_letters: None,
        auto_create_topics: None,
        topic_partitions: None,
        topic_replication_factor: None,
        producer: plan::ProducerPlan::default(),
        auto_offset_reset: plan::OffsetReset::Earliest,
    }
}

/// What a contract says that says nothing of its log.
fn log() -> anyhow::Result<LogPlan> {
    Ok(LogPlan {
        backend: Backend::Embedded,
        path: "hook-data".into(),
        retention: Retention { max_age: Some(7 * DAY), max_bytes: None },
        dead_letter_retention: Retention { max_age: Some(30 * DAY), max_bytes: None },
        segment_bytes: 64 << 20,
        min_free_bytes: 0,
        dead_letters: Topic::new("webhooks.dlq").context("a constant topic name")?,
    })
}

async fn serve(listener: TcpListener, view: Arc<View>, stop: CancellationToken) -> anyhow::Result<()> {
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/health", get(|| async { Json(serde_json::json!({ "status": "alive" })) }))
        .route("/ready", get(ready))
        .route("/v1/status", get(status))
        .with_state(view);
    axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await?;
    Ok(())
}

async fn metrics(State(view): State<Arc<View>>) -> Response {
    relay::measure(&view.bridges, &view.metrics).await;
    let text = view.metrics.render();
    ([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response()
}

/// Ready while every bridge carries.
async fn ready(State(view): State<Arc<View>>) -> Response {
    let waiting = view.bridges.iter().map(|bridge| bridge.snapshot());
    let waiting: Vec<_> = waiting.filter(|bridge| bridge.state != pipeline::State::Running).collect();
    let status = if waiting.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(serde_json::json!({ "ready": waiting.is_empty(), "waiting": waiting }))).into_response()
}

async fn status(State(view): State<Arc<View>>) -> Response {
    Json(serde_json::json!({ "bridges": relay::lines(&view.plans, &view.bridges).await })).into_response()
}
