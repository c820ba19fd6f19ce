//! [`Contract`] → [`Plan`]: one profile, every reference followed.

use std::{sync::Arc, time::Duration};

use hook_log::Topic;

use super::{
    Options, kafka,
    parse::{Adapter, Contract, unknown_driver},
    relay,
    report::{Report, suggest},
    sections::{accept, app, log, sources, transports},
    written as w,
};
use crate::{
    driver::Drivers,
    expr::Condition,
    glob::Glob,
    plan::{
        AdminPlan, DeliveryPolicy, DestinationPlan, IngressPlan, Plan, ServeRoute, SmashRoute, StartFrom,
        Unrouted, ValidationMode,
    },
    source,
};

/// The profile of seed contracts.
const SEED_PROFILE: &str = "default-openclaw";

pub(super) fn resolve(
    contract: &Contract,
    options: &Options,
    drivers: &Drivers,
    report: &mut Report,
) -> Option<Plan> {
    if contract.app.is_none() && report.is_empty() {
        report.error("missing_section", 0..0, "the section `[app]` is missing");
    }
    duplicates(contract, report);
    let app = app(contract.app.as_ref()?, report);
    let log = log(&contract.log, options, report);
    let smash_routes = smash_routes(contract, report);
    let serve_routes = serve_routes(contract, report);
    let (name, profile) = profile(contract, &app.id, options, report)?;

    let ids = |text: &[w::Text]| text.iter().map(|id| id.get_ref().clone()).collect::<Vec<_>>();
    let listed = (ids(&profile.serve_routes), ids(&profile.smash_routes));
    references(contract, profile, report);
    let active_smash: Vec<_> =
        smash_routes.into_iter().filter(|(route, _)| listed.1.contains(&route.id)).collect();
    let relay = relay::resolve(contract, profile, &app.id, report);
    let mut plan = Plan {
        app,
        profile: name.to_owned(),
        profile_label: profile.label.clone(),
        environment: profile.env.clone(),
        validation_mode: mode(contract, options),
        unrouted: match contract.policies.no_output_sink {
            Some(w::Sink::Dlq) => Unrouted::DeadLetter,
            Some(w::Sink::Discard) | None => Unrouted::Discard,
        },
        log,
        sources: sources(contract),
        ingress: ingress(contract, profile, drivers, report),
        serve_routes: serve_routes.into_iter().filter(|route| listed.0.contains(&route.id)).collect(),
        accept: accept(&contract.serve),
        relay,
        destinations: destinations(contract, profile, &active_smash, drivers, report),
        admin: AdminPlan { bind: contract.admin.bind },
        transports: transports(contract, report),
    };
    vouched_for(contract, &mut plan);
    outputs(contract, &plan, report);
    Some(plan)
}

fn mode(contract: &Contract, options: &Options) -> ValidationMode {
    let written = contract.policies.validation_mode.map(ValidationMode::from);
    options.validation_mode.or(written).unwrap_or_default()
}

fn serve_routes(contract: &Contract, report: &mut Report) -> Vec<ServeRoute> {
    let mut routes = Vec::new();
    for written in &contract.serve_routes {
        let topic = written.target_topic.get_ref();
        if let Err(error) = Topic::new(&topic.replace("{source}", "source")) {
            report.error("bad_name", written.target_topic.span(), error.to_string());
        }
        routes.push(ServeRoute {
            id: written.id.get_ref().clone(),
            source_match: Glob::new(written.source_match.get_ref()),
            event_type_pattern: Glob::new(written.event_type_pattern.get_ref()),
            target_topic: topic.clone(),
        });
    }
    routes
}

/// Each route with the adapters that it names.
fn smash_routes<'a>(contract: &'a Contract, report: &mut Report) -> Vec<(SmashRoute, &'a [w::Destination])> {
    let mut routes = Vec::new();
    for written in &contract.smash_routes {
        let when = written.when.as_ref().and_then(|when| condition(when, report));
        let route = SmashRoute {
            id: written.id.get_ref().clone(),
            topics: Glob::new(written.source_topic_pattern.get_ref()),
            event_filters: written.event_filters.iter().map(|glob| Glob::new(glob.get_ref())).collect(),
            when,
            required: true,
        };
        if written.destinations.is_empty() {
            report.error(
                "no_destination",
                written.id.span(),
                format!("the route `{}` names no destination", route.id),
            );
        }
        routes.push((route, written.destinations.as_slice()));
    }
    routes
}

fn condition(when: &w::Text, report: &mut Report) -> Option<Condition> {
    Condition::parse(when.get_ref())
        .map_err(|error| {
            // The text starts after its quote; escapes before the fault would move it, so stay inside.
            let start = when.span().start + 1;
            let span = error.range.as_ref().map(|range| start + range.start..start + range.end);
            let inside = span.filter(|span| span.end < when.span().end).unwrap_or_else(|| when.span());
            report.error("bad_expression", inside, format!("the condition cannot be used: {error}"));
        })
        .ok()
}

/// `--profile`, else the seed's, else the app's own, else `default`, else the only one.
fn profile<'a>(
    contract: &'a Contract,
    app: &str,
    options: &Options,
    report: &mut Report,
) -> Option<(&'a str, &'a w::Profile)> {
    let find = |name: &str| contract.profiles.iter().find(|(have, _)| have.get_ref() == name);
    let found = match (&options.profile, contract.profiles.as_slice()) {
        (Some(name), _) => find(name),
        (None, [only]) => Some(only),
        (None, _) => find(SEED_PROFILE).or_else(|| find(app)).or_else(|| find("default")),
    };
    if found.is_none() && !(contract.profiles.is_empty() && report.has_errors()) {
        let names = contract.profiles.iter().map(|(name, _)| name.get_ref().as_str());
        let (title, help) = match (&options.profile, contract.profiles.is_empty()) {
            (_, true) => {
                ("the contract has no profile".to_owned(), Some("add a section `[profiles.default]`".into()))
            }
            (Some(name), _) => (format!("no profile is called `{name}`"), suggest(name, names)),
            (None, _) => {
                ("several profiles, and none is the natural one".to_owned(), suggest("--profile", names))
            }
        };
        report.error("unknown_profile", 0..0, title).help = help;
    }
    found.map(|(name, profile)| (name.get_ref().as_str(), profile))
}

/// Every id that the profile lists must exist.
fn references(contract: &Contract, profile: &w::Profile, report: &mut Report) {
    let ids = |texts: Vec<&w::Text>| texts.into_iter().map(|id| id.get_ref().clone()).collect::<Vec<_>>();
    let kinds = [
        (
            "ingress adapter",
            &profile.serve_adapters,
            ids(contract.ingress.iter().map(|a| &a.common.id).collect()),
        ),
        (
            "egress adapter",
            &profile.smash_adapters,
            ids(contract.egress.iter().map(|a| &a.common.id).collect()),
        ),
        ("serve route", &profile.serve_routes, ids(contract.serve_routes.iter().map(|r| &r.id).collect())),
        ("smash route", &profile.smash_routes, ids(contract.smash_routes.iter().map(|r| &r.id).collect())),
        ("bridge", &profile.relay_bridges, ids(contract.bridges.iter().map(|b| &b.id).collect())),
    ];
    for (kind, listed, have) in kinds {
        let unknown = |id: &&w::Text| !have.contains(id.get_ref()) && !contract.unread.contains(id.get_ref());
        for id in listed.iter().filter(unknown) {
            report
                .error("unknown_reference", id.span(), format!("no {kind} is called `{}`", id.get_ref()))
                .help = suggest(id.get_ref(), have.iter().map(String::as_str));
        }
    }
}

fn ingress(
    contract: &Contract,
    profile: &w::Profile,
    drivers: &Drivers,
    report: &mut Report,
) -> Vec<IngressPlan> {
    let mut plans = Vec::new();
    for adapter in active(&contract.ingress, &profile.serve_adapters, |common| &common.id) {
        let Some((driver, config)) = &adapter.driver else {
            let valid: Vec<_> = drivers.ingress.iter().map(|row| row.name).collect();
            unknown_driver(&adapter.common.driver, &valid, report);
            continue;
        };
        plans.push(IngressPlan {
            id: adapter.common.id.get_ref().as_str().into(),
            driver,
            config: Arc::clone(config),
            plugins: adapter.plugins.clone(),
        });
    }
    plans
}

fn destinations(
    contract: &Contract,
    profile: &w::Profile,
    routes: &[(SmashRoute, &[w::Destination])],
    drivers: &Drivers,
    report: &mut Report,
) -> Vec<DestinationPlan> {
    known_destinations(contract, profile, routes, report);
    let mut plans = Vec::new();
    for adapter in active(&contract.egress, &profile.smash_adapters, |common| &common.id) {
        let Some((driver, config)) = &adapter.driver else {
            let valid: Vec<_> = drivers.egress.iter().map(|row| row.name).collect();
            unknown_driver(&adapter.common.driver, &valid, report);
            continue;
        };
        let id = adapter.common.id.get_ref();
        let wanting = |(route, to): &(SmashRoute, &[w::Destination])| {
            let destination = to.iter().find(|to| to.adapter_id.get_ref() == id)?;
            Some(SmashRoute { required: destination.required, ..route.clone() })
        };
        plans.push(DestinationPlan {
            id: id.as_str().into(),
            driver,
            config: Arc::clone(config),
            plugins: adapter.plugins.clone(),
            policy: policy(&adapter.common, kafka::first_start(&contract.log), report),
            routes: routes.iter().filter_map(wanting).collect(),
        });
    }
    plans
}

/// Every destination of an active route must be an adapter, and active.
fn known_destinations(
    contract: &Contract,
    profile: &w::Profile,
    routes: &[(SmashRoute, &[w::Destination])],
    report: &mut Report,
) {
    for to in routes.iter().flat_map(|(_, to)| to.iter()) {
        let id = to.adapter_id.get_ref();
        if contract.unread.contains(id) {
            continue;
        }
        let exists = contract.egress.iter().any(|adapter| adapter.common.id.get_ref() == id);
        let active = profile.smash_adapters.iter().any(|listed| listed.get_ref() == id);
        if !exists {
            let valid = contract.egress.iter().map(|adapter| adapter.common.id.get_ref().as_str());
            report
                .error(
                    "unknown_reference",
                    to.adapter_id.span(),
                    format!("no egress adapter is called `{id}`"),
                )
                .help = suggest(id, valid);
        } else if !active {
            let title = format!(
                "the adapter `{id}` is not in the profile's `smash_adapters`, so nothing would reach it"
            );
            report.error("inactive_destination", to.adapter_id.span(), title);
        }
    }
}

fn policy(written: &w::EgressCommon, first: StartFrom, report: &mut Report) -> DeliveryPolicy {
    let default = DeliveryPolicy::default();
    let base =
        written.backoff_base_ms.map_or(default.backoff_base, |ms| Duration::from_millis(ms.get().into()));
    let max = written.backoff_max_ms.as_ref();
    let max = max.map_or(default.backoff_max, |ms| Duration::from_millis(ms.get_ref().get().into()));
    if let Some(written) = &written.backoff_max_ms
        && max < base
    {
        report.error("bad_value", written.span(), "`backoff_max_ms` is smaller than `backoff_base_ms`");
    }
    if let Some(window) = &written.max_in_flight
        && !(1..=4096).contains(window.get_ref())
    {
        report.error("bad_value", window.span(), "`max_in_flight` is between 1 and 4096");
    }
    DeliveryPolicy {
        max_in_flight: written
            .max_in_flight
            .as_ref()
            .map_or(default.max_in_flight, |n| *n.get_ref() as usize),
        ordering: written.ordering.map_or(default.ordering, Into::into),
        max_retries: written.max_retries.unwrap_or(default.max_retries),
        backoff_base: base,
        backoff_max: max.max(base),
        deadline: written.deadline_seconds.map(|seconds| Duration::from_secs(seconds.get().into())),
        start_from: written.start_from.as_ref().map_or(first, |text| start_from(text, report)),
    }
}

pub(super) fn start_from(text: &w::Text, report: &mut Report) -> StartFrom {
    match text.get_ref().as_str() {
        "beginning" => StartFrom::Beginning,
        "now" => StartFrom::Now,
        other => other.parse().map(StartFrom::Time).unwrap_or_else(|_| {
            let title = format!("`{other}` is not where a destination can begin");
            let finding = report.error("bad_value", text.span(), title);
            finding.help("write `beginning`, `now`, or an RFC 3339 time such as `2026-11-21T10:00:00Z`");
            StartFrom::Beginning
        }),
    }
}

/// A source that an ingress vouches for needs no section of its own. Where nothing else
/// comes in, the sources that seed contracts have without saying so are not needed either.
fn vouched_for(contract: &Contract, plan: &mut Plan) {
    let named = |adapter: &IngressPlan| adapter.config.source()?.literal().map(str::to_owned);
    let names: Vec<Option<String>> = plan.ingress.iter().map(named).collect();
    if contract.sources.is_none() && !names.is_empty() && names.iter().all(Option::is_some) {
        plan.sources.clear();
    }
    for name in names.into_iter().flatten() {
        if let Some(preset) = source::vouched_for() {
            plan.sources.entry(name).or_insert(preset);
        }
    }
}

/// A profile without destinations must say so, and say where its events go.
fn outputs(contract: &Contract, plan: &Plan, report: &mut Report) {
    let allowed = contract.policies.allow_no_output.as_ref();
    if let Some(allowed) = allowed
        && *allowed.get_ref()
        && contract.policies.no_output_sink.is_none()
    {
        let finding = report.error("missing_key", allowed.span(), "`allow_no_output` needs `no_output_sink`");
        finding.help("write `no_output_sink = \"discard\"` or `\"dlq\"`");
    }
    if plan.destinations.is_empty()
        && plan.relay.bridges.is_empty()
        && !allowed.is_some_and(|allowed| *allowed.get_ref())
        && !report.has_errors()
    {
        let title = format!("the profile `{}` delivers nothing anywhere", plan.profile);
        let finding = report.error("no_output", 0..0, title);
        finding.help("list `smash_adapters`, or write `allow_no_output = true` with a `no_output_sink` into `[policies]`");
    }
}

fn duplicates(contract: &Contract, report: &mut Report) {
    let adapters = contract.ingress.iter().map(|adapter| &adapter.common.id);
    let adapters = adapters.chain(contract.egress.iter().map(|adapter| &adapter.common.id));
    let routes = contract.serve_routes.iter().map(|route| &route.id);
    let routes = routes.chain(contract.smash_routes.iter().map(|route| &route.id));
    let bridges = contract.bridges.iter().map(|bridge| &bridge.id);
    let kinds = [
        ("adapter", adapters.collect::<Vec<_>>()),
        ("route", routes.collect()),
        ("bridge", bridges.collect()),
    ];
    for (kind, ids) in kinds {
        for (at, id) in ids.iter().enumerate() {
            let name = id.get_ref();
            if ids[..at].iter().any(|before| before.get_ref() == name) {
                report.error("duplicate_id", id.span(), format!("there is a second {kind} called `{name}`"));
            }
            if Topic::new(&format!("hook.redeliver.{name}")).is_err() {
                let title = format!("`{name}` is no id: use letters, digits, `.`, `_` and `-`");
                report.error("bad_name", id.span(), title);
            }
        }
    }
}

fn active<'a, C, D>(
    adapters: &'a [Adapter<C, D>],
    listed: &'a [w::Text],
    id: impl Fn(&C) -> &w::Text + 'a,
) -> impl Iterator<Item = &'a Adapter<C, D>> {
    adapters
        .iter()
        .filter(move |adapter| listed.iter().any(|one| one.get_ref() == id(&adapter.common).get_ref()))
}
