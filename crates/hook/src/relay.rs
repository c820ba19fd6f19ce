//! The bridges of a process: which of them it runs, and over which logs.
//!
//! A bridge that touches the embedded log runs where that log is: the process that has
//! the directory (`hook run`, `hook serve`). Bridges between clusters run in `hook run`
//! and in `hook relay`, in as many processes as are wanted: they share the work.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::Context;
use hook_core::{
    metrics::Metrics,
    pipeline::relay::{BridgeStatus, Relay, RelayContext},
    plan::{self, BridgePlan, End, LogPlan, Plan, RelayPlan},
    secret::Environment,
};
use hook_event::{Clock, Entropy, EventId};
use hook_log::{
    Log, Topic, TopicSet,
    forward::{AtLeastOnce, Link},
};

use crate::{
    admin::wire,
    backend::{Backend, Cluster},
    fault,
    roles::Roles,
};

/// Bridges that were built and not started.
pub(crate) struct Bridges {
    relays: Vec<Relay>,
    clusters: Clusters,
}

/// The clusters that bridges of a process join.
pub(crate) struct Clusters(Vec<Cluster>);

/// A log at an end of a bridge.
enum Place {
    Embedded(Arc<dyn Log>, Topic),
    Kafka(Cluster),
}

/// The bridges that a process with the log of the plan runs.
pub(crate) fn of_process(plan: &Plan, roles: Roles) -> Vec<BridgePlan> {
    let embedded = plan.log.backend == plan::Backend::Embedded;
    let runs = |bridge: &&BridgePlan| match roles {
        Roles::ALL => true,
        Roles::SERVE => embedded && bridge.touches(&End::Log),
        _ => false,
    };
    plan.relay.bridges.iter().filter(runs).cloned().collect()
}

/// The topics of the log that somebody carries on: bridges, and in Kafka whoever reads
/// what no destination does, for this process cannot know.
pub(crate) fn carried(plan: &Plan) -> TopicSet {
    let bridges: Vec<_> =
        plan.relay.bridges.iter().filter(|bridge| bridge.from == End::Log).cloned().collect();
    let dead_letters = plan.log.dead_letters.clone();
    let routes = plan.destinations.iter().flat_map(|destination| &destination.routes);
    let read: Vec<_> = routes.map(|route| route.topics.clone()).collect();
    let open = matches!(plan.log.backend, plan::Backend::Kafka(_));
    TopicSet::matching(move |topic| {
        bridges.iter().any(|bridge| bridge.reads(topic, &dead_letters))
            || (open && !read.iter().any(|topics| topics.matches(topic.as_str())))
    })
}

/// Builds bridges; `own` is the log of this process, where it has one.
pub(crate) fn build(
    bridges: &[BridgePlan],
    relay: &RelayPlan,
    log: &LogPlan,
    own: Option<&Backend>,
    environment: &Environment,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<Bridges> {
    let mut places = BTreeMap::new();
    for end in bridges.iter().flat_map(|bridge| [&bridge.from, &bridge.to]) {
        if !places.contains_key(end) {
            let place = place(end, relay, log, own, environment);
            let place = place.with_context(|| format!("cannot reach `{}` for the relay", end.as_str()))?;
            places.insert(end.clone(), place);
        }
    }
    let context = RelayContext { metrics: metrics.clone(), clock: Clock::SYSTEM, entropy: Entropy::SYSTEM };
    let relays = bridges.iter().filter_map(|bridge| {
        let (from, to) = (places.get(&bridge.from)?, places.get(&bridge.to)?);
        Some(Relay::new(bridge.clone(), link(bridge, from, to), from.dead_letters().clone(), &context))
    });
    let relays = relays.collect();
    let clusters = places.into_values().filter_map(|place| match place {
        Place::Kafka(cluster) => Some(cluster),
        Place::Embedded(..) => None,
    });
    Ok(Bridges { relays, clusters: Clusters(clusters.collect()) })
}

fn place(
    end: &End,
    relay: &RelayPlan,
    log: &LogPlan,
    own: Option<&Backend>,
    environment: &Environment,
) -> anyhow::Result<Place> {
    let kafka = match (end, own, &log.backend) {
        (End::Log, Some(Backend::Embedded(own)), _) => {
            return Ok(Place::Embedded(own.clone(), log.dead_letters.clone()));
        }
        (End::Log, Some(Backend::Kafka(own)), _) => {
            return Ok(Place::Kafka(Cluster::of(own, &log.dead_letters)));
        }
        (End::Log, None, plan::Backend::Kafka(kafka)) => kafka,
        (End::Log, None, plan::Backend::Embedded) => {
            return Err(fault::usage(
                "the embedded log belongs to `hook run` or `hook serve`, and its bridges too",
            ));
        }
        (End::Cluster(name), ..) => {
            relay.clusters.get(name).with_context(|| format!("no cluster is called `{name}`"))?
        }
    };
    Ok(Place::Kafka(Cluster::open(kafka, log, environment)?))
}

fn link(bridge: &BridgePlan, from: &Place, to: &Place) -> Arc<dyn Link> {
    match from {
        Place::Kafka(cluster) if bridge.from == bridge.to => {
            // Of its own for each process: two with one name would shut each other out.
            let instance = EventId::new(Clock::SYSTEM.now(), Entropy::SYSTEM);
            cluster.exactly_once(format!("{}.{}.{instance}", bridge.group, bridge.id))
        }
        _ => Arc::new(AtLeastOnce {
            source: from.log(),
            target: to.log(),
            dead_letters: from.dead_letters().clone(),
        }),
    }
}

impl Place {
    fn log(&self) -> Arc<dyn Log> {
        match self {
            Self::Embedded(log, _) => log.clone(),
            Self::Kafka(cluster) => cluster.log(),
        }
    }

    fn dead_letters(&self) -> &Topic {
        match self {
            Self::Embedded(_, topic) => topic,
            Self::Kafka(cluster) => cluster.dead_letters(),
        }
    }
}

impl Bridges {
    /// What operators see of them.
    pub(crate) fn statuses(&self) -> Vec<Arc<BridgeStatus>> {
        self.relays.iter().map(Relay::status).collect()
    }

    /// The bridges to run, and the clusters to close after them.
    pub(crate) fn into_parts(self) -> (Vec<Relay>, Clusters) {
        (self.relays, self.clusters)
    }
}

impl Clusters {
    /// Leaves every group that is not left yet.
    pub(crate) fn close(&self) {
        self.0.iter().for_each(Cluster::close);
    }
}

/// Puts how far behind the bridges are into the metrics.
pub(crate) async fn measure(bridges: &[Arc<BridgeStatus>], metrics: &Metrics) {
    for bridge in bridges {
        if let Some(lag) = bridge.lag().await {
            metrics.relay_lag(&bridge.snapshot().bridge, lag);
        }
    }
}

/// The bridges for an operator.
pub(crate) async fn lines(plans: &[BridgePlan], bridges: &[Arc<BridgeStatus>]) -> Vec<wire::Bridge> {
    let mut lines = Vec::new();
    for bridge in bridges {
        let snapshot = bridge.snapshot();
        let Some(plan) = plans.iter().find(|plan| *plan.id == *snapshot.bridge) else { continue };
        lines.push(wire::Bridge {
            bridge: snapshot.bridge.clone(),
            from: plan.from.as_str().to_owned(),
            to: plan.to.as_str().to_owned(),
            output_topic: plan.output_topic.as_str().to_owned(),
            lag: bridge.lag().await,
            relay: serde_json::to_value(snapshot).unwrap_or_default(),
        });
    }
    lines
}
