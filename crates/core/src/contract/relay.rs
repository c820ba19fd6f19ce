//! `[relay]`: bridges that carry records from topics to a topic, and the clusters they join.
//!
//! A loop of bridges would carry the same records for ever, so it is refused, also where
//! it goes through several of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU32,
    sync::Arc,
    time::Duration,
};

use hook_log::Topic;
use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::{
    parse::Contract,
    report::{Report, suggest},
    resolve::start_from,
    written::{Profile, Text},
};
use crate::{
    glob::Glob,
    plan::{Backend, BridgePlan, End, OutputTopic, Plan, RelayMode, RelayPlan},
};

/// The name of the contract's own log as an end of a bridge.
const LOG: &str = "log";

/// What carries records from topics to a topic.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Bridge {
    /// The bridge's name; part of its group's name.
    #[schemars(with = "String")]
    pub(super) id: Text,
    /// What is read: `log` (the default), or the name of a cluster in `[relay.clusters]`.
    #[schemars(with = "Option<String>")]
    from: Option<Text>,
    /// What is written to: `log`, or the name of a cluster; as `from` unless written.
    #[schemars(with = "Option<String>")]
    to: Option<Text>,
    /// Globs of the topics that are read.
    #[schemars(with = "Vec<String>")]
    topics: Spanned<Vec<Text>>,
    /// Where records go. `{topic}` stands for the topic that was read and, with the mode `envelope`, `{source}` for the event's source.
    #[schemars(with = "String")]
    output_topic: Text,
    /// What the records are: `envelope` (the default; each is checked and goes on under its ordering key) or `raw` (any bytes; key and value go on untouched).
    #[serde(default)]
    mode: RelayMode,
    /// The group whose place in the topics it is; `hook-relay.<app>.<id>` unless written.
    #[schemars(with = "Option<String>")]
    group_id: Option<Text>,
    /// Where a new group begins: `beginning` (the default), `now`, or an RFC 3339 time.
    #[schemars(with = "Option<String>")]
    start_from: Option<Text>,
    /// How often a record that the target refuses is tried again before it becomes a dead letter; 5 unless written. A target that is not there is waited for without an end.
    max_retries: Option<u32>,
    /// The first wait between tries, in milliseconds; 200 unless written.
    backoff_base_ms: Option<NonZeroU32>,
    /// The longest wait between tries, in milliseconds; 5000 unless written.
    #[schemars(with = "Option<NonZeroU32>")]
    backoff_max_ms: Option<Spanned<NonZeroU32>>,
}

/// The profile's bridges, and the clusters that they name.
pub(super) fn resolve(contract: &Contract, profile: &Profile, app: &str, report: &mut Report) -> RelayPlan {
    let mut clusters = BTreeMap::new();
    for (name, cluster) in &contract.clusters {
        let plan = cluster.plan(&name.span(), report);
        if name.get_ref() == LOG {
            report.error(
                "bad_name",
                name.span(),
                "`log` is the contract's own log: call the cluster otherwise",
            );
        }
        clusters.insert(Arc::from(name.get_ref().as_str()), plan);
    }
    let plans: Vec<_> =
        contract.bridges.iter().map(|written| bridge(written, contract, app, report)).collect();
    let listed =
        |plan: &BridgePlan| profile.relay_bridges.iter().any(|id| id.get_ref().as_str() == &*plan.id);
    let bridges: Vec<_> = plans.into_iter().filter(listed).collect();
    clusters.retain(|name, _| bridges.iter().any(|bridge| bridge.touches(&End::Cluster(Arc::clone(name)))));
    RelayPlan { bridges, clusters }
}

fn bridge(written: &Bridge, contract: &Contract, app: &str, report: &mut Report) -> BridgePlan {
    if written.topics.get_ref().is_empty() {
        report.error("bad_value", written.topics.span(), "`topics` is empty: nothing would be read");
    }
    let output = OutputTopic::parse(written.output_topic.get_ref(), written.mode);
    let output = output.unwrap_or_else(|error| {
        report.error("bad_name", written.output_topic.span(), error.to_string());
        OutputTopic::nowhere()
    });
    let topics = written.topics.get_ref().iter().map(|topic| Glob::new(topic.get_ref())).collect();
    let default = BridgePlan::new(written.id.get_ref(), topics, output);
    let from = written.from.as_ref().map_or(End::Log, |name| end(name, contract, report));
    let millis = |ms: NonZeroU32| Duration::from_millis(ms.get().into());
    let base = written.backoff_base_ms.map_or(default.backoff_base, millis);
    let longest = written.backoff_max_ms.as_ref();
    let max = longest.map_or(default.backoff_max.max(base), |max| millis(*max.get_ref()));
    if let Some(longest) = longest
        && max < base
    {
        report.error("bad_value", longest.span(), "`backoff_max_ms` is smaller than `backoff_base_ms`");
    }
    BridgePlan {
        to: written.to.as_ref().map_or_else(|| from.clone(), |name| end(name, contract, report)),
        from,
        mode: written.mode,
        group: group(written, app, report),
        start_from: written.start_from.as_ref().map_or(default.start_from, |text| start_from(text, report)),
        max_retries: written.max_retries.unwrap_or(default.max_retries),
        backoff_base: base,
        backoff_max: max.max(base),
        ..default
    }
}

fn group(written: &Bridge, app: &str, report: &mut Report) -> String {
    let Some(group) = &written.group_id else { return format!("hook-relay.{app}.{}", written.id.get_ref()) };
    if group.get_ref().is_empty() || group.get_ref().len() > 200 {
        report.error("bad_value", group.span(), "a group's name has 1 to 200 characters");
    }
    group.get_ref().clone()
}

fn end(name: &Text, contract: &Contract, report: &mut Report) -> End {
    if name.get_ref() == LOG {
        return End::Log;
    }
    let names = || contract.clusters.iter().map(|(name, _)| name.get_ref().as_str());
    if !names().any(|known| known == name.get_ref()) && !contract.unread.contains(name.get_ref()) {
        let title = format!("no cluster is called `{}`", name.get_ref());
        report.error("unknown_reference", name.span(), title).help =
            suggest(name.get_ref(), names().chain([LOG]))
                .or_else(|| Some("add a table `[relay.clusters.<name>]`".into()));
    }
    End::Cluster(name.get_ref().as_str().into())
}

/// What would run and harm, or run in vain.
pub(super) fn lint(contract: &Contract, plan: &Plan, report: &mut Report) {
    loops(contract, plan, report);
    groups(contract, plan, report);
    topics_of_the_log(contract, plan, report);
    unused_clusters(contract, report);
}

/// Bridges whose output comes back to them.
fn loops(contract: &Contract, plan: &Plan, report: &mut Report) {
    let bridges = &plan.relay.bridges;
    let feeds = |one: &BridgePlan, other: &BridgePlan| {
        let output = one.output_topic.glob();
        same_place(plan, &one.to, &other.from) && other.topics.iter().any(|topics| topics.meets(&output))
    };
    for bridge in bridges {
        let mut reached = BTreeSet::new();
        let mut next = vec![bridge];
        while let Some(one) = next.pop() {
            let fed = bridges.iter().filter(|other| feeds(one, other));
            next.extend(fed.filter(|other| reached.insert(Arc::clone(&other.id))));
        }
        let Some(written) = written(contract, bridge).filter(|_| reached.contains(&bridge.id)) else {
            continue;
        };
        let through: Vec<_> =
            reached.iter().filter(|id| **id != bridge.id).map(|id| format!("`{id}`")).collect();
        let title = match feeds(bridge, bridge) {
            true => format!("the bridge `{}` reads what it writes", bridge.id),
            false => format!(
                "what the bridge `{}` writes comes back to it through {}",
                bridge.id,
                through.join(", ")
            ),
        };
        report
            .error("loop", written.output_topic.span(), title)
            .help("write to a topic that none of `topics` fits, or name the topics one by one");
    }
}

/// Whether two ends are one, as far as can be seen without asking.
fn same_place(plan: &Plan, one: &End, other: &End) -> bool {
    let brokers = |end: &End| {
        let kafka = match end {
            End::Cluster(name) => plan.relay.clusters.get(name),
            End::Log => match &plan.log.backend {
                Backend::Kafka(kafka) => Some(&**kafka),
                Backend::Embedded => None,
            },
        }?;
        // Where none is written, the environment says the same for all.
        Some(kafka.connection.brokers.clone().unwrap_or_default())
    };
    one == other || brokers(one).is_some_and(|own| brokers(other).is_some_and(|others| own == others))
}

/// Bridges that would take each other's records: a group is one reader's place.
fn groups(contract: &Contract, plan: &Plan, report: &mut Report) {
    for (at, bridge) in plan.relay.bridges.iter().enumerate() {
        let same =
            |other: &&BridgePlan| other.group == bridge.group && same_place(plan, &other.from, &bridge.from);
        let Some(before) = plan.relay.bridges[..at].iter().find(same) else { continue };
        let Some(written) = written(contract, bridge) else { continue };
        let span = written.group_id.as_ref().unwrap_or(&written.id).span();
        let title =
            format!("the bridges `{}` and `{}` have the same group `{}`", before.id, bridge.id, bridge.group);
        report
            .error("bad_value", span, title)
            .help("give each its own `group_id`, or make one bridge of both");
    }
}

/// Topics of the log that are not for bridges to write, or that it does not have.
fn topics_of_the_log(contract: &Contract, plan: &Plan, report: &mut Report) {
    let dead_letters = plan.log.dead_letters.as_str();
    for bridge in &plan.relay.bridges {
        let Some(written) = written(contract, bridge) else { continue };
        let output = bridge.output_topic.as_str();
        if bridge.to == End::Log && (output == dead_letters || output.starts_with("hook.")) {
            let title = format!("the topic `{output}` belongs to hook itself");
            report.error("reserved_topic", written.output_topic.span(), title);
        }
        let Backend::Kafka(kafka) = &plan.log.backend else { continue };
        let own = Glob::new(&format!("{}.*", kafka.topic_prefix));
        let known = |glob: &Glob| {
            let named = Topic::new(glob.as_str())
                .is_ok_and(|topic| kafka.holds(topic.as_str(), &plan.log.dead_letters));
            named || own.meets(glob)
        };
        let read = written.topics.get_ref().iter().filter(|_| bridge.from == End::Log);
        let read = read.map(|topic| (topic, Glob::new(topic.get_ref())));
        let write = (bridge.to == End::Log).then(|| (&written.output_topic, bridge.output_topic.glob()));
        for (topic, _) in read.chain(write).filter(|(_, glob)| !known(glob)) {
            let title = format!(
                "`{}` lies outside of this log, whose topics begin with `{}.`",
                topic.get_ref(),
                kafka.topic_prefix
            );
            report
                .error("foreign_topic", topic.span(), title)
                .help("rename it, or name the cluster in `[relay.clusters]` and read from there");
        }
    }
}

fn unused_clusters(contract: &Contract, report: &mut Report) {
    for (name, _) in &contract.clusters {
        let names = |end: &Option<Text>| end.as_ref().is_some_and(|end| end.get_ref() == name.get_ref());
        if !contract.bridges.iter().any(|bridge| names(&bridge.from) || names(&bridge.to)) {
            report.warning(
                "unused",
                name.span(),
                format!("no bridge names the cluster `{}`", name.get_ref()),
            );
        }
    }
}

fn written<'a>(contract: &'a Contract, bridge: &BridgePlan) -> Option<&'a Bridge> {
    contract.bridges.iter().find(|written| written.id.get_ref().as_str() == &*bridge.id)
}
