//! What would run and is almost certainly not what was meant.

use super::{parse::Contract, relay, report::Report, written::Text};
use crate::{
    glob::Glob,
    plan::{Backend, End, Plan},
    source::Algorithm,
};

pub(super) fn lint(contract: &Contract, plan: &Plan, report: &mut Report) {
    shadowed_routes(contract, plan, report);
    unread_topics(contract, plan, report);
    unwritten_topics(contract, plan, report);
    unrouted_destinations(contract, plan, report);
    unused(contract, report);
    absent_drivers(contract, report);
    odd_globs(contract, report);
    reserved_topics(contract, plan, report);
    mute_sources(plan, report);
    foreign_topics(contract, plan, report);
    relay::lint(contract, plan, report);
    let fed = plan.relay.bridges.iter().any(|bridge| bridge.from != End::Log);
    if plan.ingress.is_empty() && !fed {
        let finding =
            report.lint("no_input", 0..0, format!("the profile `{}` takes nothing in", plan.profile));
        finding.help("list `serve_adapters`");
    }
}

/// A source that is believed for its transport, and no ingress that has such a one.
fn mute_sources(plan: &Plan, report: &mut Report) {
    if plan.ingress.iter().any(|adapter| adapter.config.source().is_some()) {
        return;
    }
    for (name, _) in plan.sources.iter().filter(|(_, source)| source.spec.algorithm == Algorithm::Transport) {
        let title = format!("nothing can send as the source `{name}`: `transport` is no proof over HTTP");
        let finding = report.lint("mute_source", 0..0, title);
        finding.help("list a `kafka_ingress` in `serve_adapters`, or give the source a preset that verifies");
    }
}

/// A serve route behind one that takes everything it would take.
fn shadowed_routes(contract: &Contract, plan: &Plan, report: &mut Report) {
    for (at, route) in plan.serve_routes.iter().enumerate() {
        let covers = |before: &&crate::plan::ServeRoute| {
            covers(&before.source_match, &route.source_match)
                && covers(&before.event_type_pattern, &route.event_type_pattern)
        };
        let Some(before) = plan.serve_routes[..at].iter().find(covers) else { continue };
        let Some(written) = contract.serve_routes.iter().find(|written| *written.id.get_ref() == route.id)
        else {
            continue;
        };
        let title = format!(
            "the route `{}` is never reached: `{}` before it takes everything it would take",
            route.id, before.id
        );
        report.lint("shadowed_route", written.id.span(), title).help("move it in front, or delete it");
    }
}

/// A topic that is written and that no active smash route reads. In Kafka others may
/// read it, a relay that was given its topics by flags among them.
fn unread_topics(contract: &Contract, plan: &Plan, report: &mut Report) {
    if plan.destinations.is_empty() || matches!(plan.log.backend, Backend::Kafka(_)) {
        return;
    }
    for route in &plan.serve_routes {
        if route.target_topic.contains("{source}") || reads(plan, &route.target_topic) {
            continue;
        }
        let written = contract.serve_routes.iter().find(|written| *written.id.get_ref() == route.id);
        let Some(written) = written else { continue };
        let title = format!("nobody reads the topic `{}`", route.target_topic);
        let span = written.target_topic.span();
        // What lies in a cluster may be read by others, such as a relay that was given flags.
        let finding = match plan.log.backend {
            Backend::Embedded => report.lint("unread_topic", span, title),
            Backend::Kafka(_) => report.warning("unread_topic", span, title),
        };
        finding.help("add a smash route whose `source_topic_pattern` fits, or a bridge that reads it");
    }
}

/// A smash route that reads what no active serve route writes.
fn unwritten_topics(contract: &Contract, plan: &Plan, report: &mut Report) {
    if plan.serve_routes.is_empty()
        || plan.serve_routes.iter().any(|route| route.target_topic.contains("{source}"))
    {
        return;
    }
    for written in &contract.smash_routes {
        let active =
            plan.destinations.iter().flat_map(|d| &d.routes).any(|route| route.id == *written.id.get_ref());
        let topics = Glob::new(written.source_topic_pattern.get_ref());
        let mut bridges = plan.relay.bridges.iter().filter(|bridge| bridge.to == End::Log);
        if bridges.any(|bridge| bridge.output_topic.glob().meets(&topics)) {
            continue;
        }
        if active && !plan.serve_routes.iter().any(|route| topics.matches(&route.target_topic)) {
            let title = format!("no serve route writes a topic that fits `{}`", topics.as_str());
            let finding = report.warning("unwritten_topic", written.source_topic_pattern.span(), title);
            finding.help("events already stored there, or written by another process, are still delivered");
        }
    }
}

fn unrouted_destinations(contract: &Contract, plan: &Plan, report: &mut Report) {
    for destination in plan.destinations.iter().filter(|destination| destination.routes.is_empty()) {
        let adapter = contract.egress.iter().find(|adapter| *adapter.common.id.get_ref() == *destination.id);
        let Some(adapter) = adapter else { continue };
        let title = format!("no active route leads to the adapter `{}`", destination.id);
        report.lint("unrouted_destination", adapter.common.id.span(), title);
    }
}

/// Adapters and routes that no profile lists.
fn unused(contract: &Contract, report: &mut Report) {
    let listed = |id: &str| {
        contract.profiles.iter().any(|(_, profile)| {
            let lists = [
                &profile.serve_adapters,
                &profile.smash_adapters,
                &profile.serve_routes,
                &profile.smash_routes,
                &profile.relay_bridges,
            ];
            lists.into_iter().flatten().any(|one| one.get_ref() == id)
        })
    };
    let adapters = contract.ingress.iter().map(|adapter| &adapter.common.id);
    let adapters = adapters.chain(contract.egress.iter().map(|adapter| &adapter.common.id));
    let routes = contract.serve_routes.iter().map(|route| &route.id);
    let routes = routes.chain(contract.smash_routes.iter().map(|route| &route.id));
    let bridges = contract.bridges.iter().map(|bridge| ("bridge", &bridge.id));
    let all = adapters.map(|id| ("adapter", id)).chain(routes.map(|id| ("route", id)));
    for (kind, id) in all.chain(bridges) {
        if !listed(id.get_ref()) {
            report.warning("unused", id.span(), format!("no profile lists the {kind} `{}`", id.get_ref()));
        }
    }
}

/// Inactive adapters whose driver this build does not have. (Active ones are errors.)
fn absent_drivers(contract: &Contract, report: &mut Report) {
    let ingress = contract.ingress.iter().filter(|adapter| adapter.driver.is_none());
    let egress = contract.egress.iter().filter(|adapter| adapter.driver.is_none());
    let drivers = ingress.map(|adapter| &adapter.common.driver);
    for driver in drivers.chain(egress.map(|adapter| &adapter.common.driver)) {
        let title = format!("this build does not have the driver `{}`", driver.get_ref());
        report
            .warning("absent_driver", driver.span(), title)
            .help("tolerated while no running profile lists it");
    }
}

/// Globs that nothing can fit, most often written for another kind of glob.
fn odd_globs(contract: &Contract, report: &mut Report) {
    let serve =
        contract.serve_routes.iter().flat_map(|route| [&route.source_match, &route.event_type_pattern]);
    let smash = contract.smash_routes.iter();
    let smash =
        smash.flat_map(|route| std::iter::once(&route.source_topic_pattern).chain(&route.event_filters));
    for glob in serve.chain(smash) {
        let text = glob.get_ref();
        if text.is_empty() || text.contains(|c: char| c.is_whitespace() || "[]{}!|".contains(c)) {
            let title = format!("nothing fits the glob `{text}`");
            report
                .lint("bad_glob", glob.span(), title)
                .help("`*` stands for any characters, `?` for one; nothing else is special");
        }
    }
}

/// Topics that hold no events: dead letters, and what hook notes for itself.
fn reserved_topics(contract: &Contract, plan: &Plan, report: &mut Report) {
    let dead_letters = plan.log.dead_letters.as_str();
    let reserved = |name: &str| name == dead_letters || name.starts_with("hook.");
    let mut refuse = |topic: &Text, name: &str| {
        let title = format!("the topic `{name}` belongs to hook itself");
        report.error("reserved_topic", topic.span(), title).help(
            "events live in topics such as `webhooks.core`; dead letters are delivered again by `hook dlq replay`",
        );
    };
    for written in &contract.serve_routes {
        let sources = Glob::new(written.source_match.get_ref());
        let topics = plan.sources.keys().filter(|source| sources.matches(source));
        let mut topics = topics.map(|source| written.target_topic.get_ref().replace("{source}", source));
        if let Some(name) = topics.find(|name| reserved(name)) {
            refuse(&written.target_topic, &name);
        }
    }
    for written in contract.smash_routes.iter().map(|route| &route.source_topic_pattern) {
        if reserved(written.get_ref()) {
            refuse(written, written.get_ref());
        }
    }
}

/// Topics of a cluster that are not this log's: nothing would read or count them.
fn foreign_topics(contract: &Contract, plan: &Plan, report: &mut Report) {
    let Backend::Kafka(kafka) = &plan.log.backend else { return };
    let prefix = format!("{}.", kafka.topic_prefix);
    let serve = contract.serve_routes.iter().map(|route| (&route.target_topic, "{"));
    let smash = contract.smash_routes.iter().map(|route| (&route.source_topic_pattern, "*?"));
    for (topic, open) in serve.chain(smash) {
        let text = topic.get_ref();
        let head = text.split(|c| open.contains(c)).next().unwrap_or_default();
        if head.starts_with(&prefix) || (head.len() < text.len() && prefix.starts_with(head)) {
            continue;
        }
        let title = format!("`{text}` lies outside of this log, whose topics begin with `{prefix}`");
        report
            .error("foreign_topic", topic.span(), title)
            .help("rename it, or write another `topic_prefix_core`");
    }
}

fn reads(plan: &Plan, topic: &str) -> bool {
    let bridges = plan.relay.bridges.iter().filter(|bridge| bridge.from == End::Log);
    let mut bridged = bridges.flat_map(|bridge| &bridge.topics);
    bridged.any(|topics| topics.matches(topic))
        || plan
            .destinations
            .iter()
            .flat_map(|destination| &destination.routes)
            .any(|route| route.topics.matches(topic))
}

/// Whether `wide` takes everything that `narrow` takes. Only what is certain counts.
fn covers(wide: &Glob, narrow: &Glob) -> bool {
    wide.as_str() == "*"
        || wide.as_str() == narrow.as_str()
        || (!narrow.as_str().contains(['*', '?']) && wide.matches(narrow.as_str()))
}
