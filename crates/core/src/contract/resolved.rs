//! The plan as JSON: all defaults filled in, secrets by name only.

use std::sync::Arc;

use hook_sdk::Hook;
use serde_json::{Value, json};

use crate::plan::{
    Backend, BridgePlan, DeliveryPolicy, DestinationPlan, KafkaPlan, Plan, Retention, SmashRoute, SourcePlan,
    StartFrom,
};

/// What `hook config show` prints.
pub fn resolved(plan: &Plan) -> Value {
    json!({
        "app": plan.app,
        "profile": { "name": plan.profile, "label": plan.profile_label, "env": plan.environment },
        "validation_mode": plan.validation_mode,
        "unrouted": plan.unrouted,
        "log": {
            "backend": match plan.log.backend {
                Backend::Embedded => "embedded",
                Backend::Kafka(_) => "kafka",
            },
            "path": plan.log.path,
            "retention": retention(&plan.log.retention),
            "dead_letter_retention": retention(&plan.log.dead_letter_retention),
            "segment_bytes": plan.log.segment_bytes,
            "min_free_bytes": plan.log.min_free_bytes,
            "dlq_topic": plan.log.dead_letters,
            "kafka": match &plan.log.backend {
                Backend::Embedded => Value::Null,
                Backend::Kafka(plan) => kafka(plan),
            },
        },
        "sources": plan.sources.iter().map(|(name, plan)| (name.clone(), source(plan))).collect::<serde_json::Map<_, _>>(),
        "serve": {
            "dedup_ttl_seconds": plan.accept.dedup_ttl.as_secs(),
            "peer_rate_per_minute": plan.accept.peer_rate_per_minute,
            "append_timeout_ms": millis(plan.accept.append_timeout),
            "ingress_adapters": plan.ingress.iter().map(|adapter| json!({
                "id": adapter.id,
                "driver": adapter.driver,
                "config": adapter.config.settings(),
                "plugins": plugins(&adapter.plugins),
            })).collect::<Vec<_>>(),
            "routes": plan.serve_routes.iter().map(|route| json!({
                "id": route.id,
                "source_match": route.source_match.as_str(),
                "event_type_pattern": route.event_type_pattern.as_str(),
                "target_topic": route.target_topic,
            })).collect::<Vec<_>>(),
        },
        "relay": {
            "bridges": plan.relay.bridges.iter().map(bridge).collect::<Vec<_>>(),
            "clusters": plan.relay.clusters.iter().map(|(name, plan)| (name.to_string(), kafka(plan))).collect::<serde_json::Map<_, _>>(),
        },
        "smash": { "egress_adapters": plan.destinations.iter().map(destination).collect::<Vec<_>>() },
        "transports": plan.transports,
        "admin": { "bind": plan.admin.bind },
    })
}

/// What is null is left to the environment, or else to the default.
fn kafka(plan: &KafkaPlan) -> Value {
    json!({
        "connection": plan.connection,
        "dlq_topic": plan.dead_letters,
        "topic_prefix_core": plan.topic_prefix,
        "auto_create_topics": plan.auto_create_topics,
        "topic_partitions": plan.topic_partitions,
        "topic_replication_factor": plan.topic_replication_factor,
        "producer_defaults": {
            "publish_queue_capacity": plan.producer.queue_capacity,
            "publish_max_retries": plan.producer.max_retries,
            "publish_backoff_base_ms": millis(plan.producer.backoff_base),
            "publish_backoff_max_ms": millis(plan.producer.backoff_max),
        },
        "consumer_defaults": { "auto_offset_reset": plan.auto_offset_reset },
    })
}

fn bridge(plan: &BridgePlan) -> Value {
    json!({
        "id": plan.id,
        "from": plan.from.as_str(),
        "to": plan.to.as_str(),
        "topics": plan.topics.iter().map(crate::glob::Glob::as_str).collect::<Vec<_>>(),
        "output_topic": plan.output_topic.as_str(),
        "mode": plan.mode,
        "group_id": plan.group,
        "start_from": start_from(plan.start_from),
        "max_retries": plan.max_retries,
        "backoff_base_ms": millis(plan.backoff_base),
        "backoff_max_ms": millis(plan.backoff_max),
    })
}

fn start_from(from: StartFrom) -> String {
    match from {
        StartFrom::Beginning => "beginning".to_owned(),
        StartFrom::Now => "now".to_owned(),
        StartFrom::Time(time) => time.to_string(),
    }
}

fn source(plan: &SourcePlan) -> Value {
    json!({
        "scheme": *plan.spec,
        "secrets": plan.secrets.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "rate_per_minute": plan.rate_per_minute,
        "cooldown_seconds": plan.cooldown.as_secs(),
    })
}

fn destination(plan: &DestinationPlan) -> Value {
    json!({
        "id": plan.id,
        "driver": plan.driver,
        "endpoint": plan.config.endpoint(),
        "config": plan.config.settings(),
        "plugins": plugins(&plan.plugins),
        "policy": policy(&plan.policy),
        "routes": plan.routes.iter().map(route).collect::<Vec<_>>(),
    })
}

fn plugins(hooks: &[Arc<dyn Hook>]) -> Vec<Value> {
    hooks.iter().map(|hook| json!({ "driver": hook.name(), "config": hook.settings() })).collect()
}

fn route(route: &SmashRoute) -> Value {
    json!({
        "id": route.id,
        "source_topic_pattern": route.topics.as_str(),
        "event_filters": route.event_filters.iter().map(crate::glob::Glob::as_str).collect::<Vec<_>>(),
        "when": route.when.as_ref().map(ToString::to_string),
        "required": route.required,
    })
}

fn policy(policy: &DeliveryPolicy) -> Value {
    json!({
        "max_in_flight": policy.max_in_flight,
        "ordering": policy.ordering,
        "max_retries": policy.max_retries,
        "backoff_base_ms": millis(policy.backoff_base),
        "backoff_max_ms": millis(policy.backoff_max),
        "deadline_seconds": policy.deadline.map(|deadline| deadline.as_secs()),
        "start_from": start_from(policy.start_from),
    })
}

fn retention(retention: &Retention) -> Value {
    json!({
        "max_age_seconds": retention.max_age.map(|age| age.as_secs()),
        "max_bytes": retention.max_bytes,
    })
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
