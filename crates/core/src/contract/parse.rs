//! Text → [`Contract`]: every table read strictly, nothing compared with anything yet.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use hook_sdk::Hook;
use serde::de::DeserializeOwned;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    kafka::Cluster,
    read::{Table, read, read_with, take},
    relay::Bridge,
    report::{Report, suggest},
    schema::{EGRESS_COMMON, INGRESS_COMMON},
    written as w,
};
use crate::{
    driver::{Driver, Drivers, EgressConfig, IngressConfig, Problem},
    plan::SourcePlan,
    source,
};

/// A contract as it was written, each part with its place.
#[derive(Default)]
pub(super) struct Contract {
    pub(super) app: Option<w::App>,
    pub(super) policies: w::Policies,
    pub(super) log: w::Log,
    pub(super) serve: w::Serve,
    pub(super) admin: w::Admin,
    pub(super) sources: Option<BTreeMap<String, SourcePlan>>,
    pub(super) ingress: Vec<Adapter<w::IngressCommon, Arc<dyn IngressConfig>>>,
    pub(super) egress: Vec<Adapter<w::EgressCommon, Arc<dyn EgressConfig>>>,
    pub(super) serve_routes: Vec<w::ServeRoute>,
    pub(super) smash_routes: Vec<w::SmashRoute>,
    pub(super) bridges: Vec<Bridge>,
    pub(super) clusters: Vec<(w::Text, Cluster)>,
    pub(super) profiles: Vec<(w::Text, w::Profile)>,
    pub(super) transports: Vec<(String, w::Transport)>,
    /// Ids of tables that could not be read; what names them is not to blame.
    pub(super) unread: Vec<String>,
}

/// An adapter: what all have, and its driver's own part.
pub(super) struct Adapter<C, D> {
    pub(super) common: C,
    pub(super) plugins: Vec<Arc<dyn Hook>>,
    /// None when this build has no such driver.
    pub(super) driver: Option<(&'static str, D)>,
}

/// What tells the adapters of one side from those of the other.
struct Side<T: ?Sized + 'static> {
    /// The keys that all of them have.
    common: &'static [&'static str],
    rows: &'static [Driver<T>],
    /// What is wrong with a driver's own keys beyond types.
    check: fn(&T) -> Vec<Problem>,
}

/// An adapter's table, divided.
struct Split<'a> {
    /// What all adapters have.
    common: Table<'a>,
    plugins: Vec<Arc<dyn Hook>>,
    /// The driver's own keys.
    own: Table<'a>,
}

/// Sections that a later version reads.
const LATER: &[&str] = &["hooks", "tests"];
const SECTIONS: &[&str] = &[
    "admin",
    "app",
    "log",
    "mcp",
    "policies",
    "profiles",
    "relay",
    "serve",
    "smash",
    "sources",
    "transports",
    "websocket",
];
/// Drivers of seed contracts that a build may lack: a later version has them, or a feature.
const SEED_DRIVERS: &[&str] = &[
    "kafka_ingress",
    "kafka_output",
    "mcp_ingest_exposed",
    "mcp_tool_output",
    "websocket_client_output",
    "websocket_ingress",
    "websocket_server_output",
];

pub(super) fn parse(text: &str, drivers: &Drivers, report: &mut Report) -> Contract {
    let (root, syntax) = DeTable::parse_recoverable(text);
    for error in &syntax {
        report.error("syntax", error.span().unwrap_or(0..0), error.message());
    }
    let mut contract = Contract::default();
    for (key, value) in root.into_inner() {
        section(&mut contract, (key.get_ref(), key.span()), value, drivers, report);
    }
    contract
}

fn section(
    contract: &mut Contract,
    (name, at): (&str, Range<usize>),
    value: Table<'_>,
    drivers: &Drivers,
    report: &mut Report,
) {
    match name {
        "app" => contract.app = read(value, report),
        "policies" => contract.policies = read(value, report).unwrap_or_default(),
        "log" => contract.log = read(value, report).unwrap_or_default(),
        "admin" => contract.admin = read(value, report).unwrap_or_default(),
        "relay" => relay(contract, value, report),
        "serve" => serve(contract, value, drivers, report),
        "smash" => smash(contract, value, drivers, report),
        "sources" => contract.sources = Some(sources(value, report)),
        "profiles" => contract.profiles = named(value, report),
        "transports" => {
            let transports = named(value, report).into_iter();
            contract.transports =
                transports.map(|(name, transport)| (name.into_inner(), transport)).collect();
        }
        "mcp" | "websocket" => drop(read::<w::Empty>(value, report)),
        "kafka_core" => {
            let title = "`[kafka_core]` is written `[log.kafka]` in a contract";
            report
                .error("unknown_section", at, title)
                .help("rename it, its tables with it, and write `backend = \"kafka\"` into `[log]`");
        }
        name if LATER.contains(&name) => {
            report.error("later_section", at, format!("this version does not read the section `{name}` yet"));
        }
        name => {
            report.error("unknown_section", at, format!("unknown section `{name}`")).help =
                suggest(name, SECTIONS.iter().copied());
        }
    }
}

fn relay(contract: &mut Contract, value: Table<'_>, report: &mut Report) {
    let span = value.span();
    let Some(mut table) = table(value, report) else { return };
    for item in items(take(&mut table, "bridges"), report) {
        let id = text(&item, "id");
        match read(item, report) {
            Some(bridge) => contract.bridges.push(bridge),
            None => contract.unread.extend(id),
        }
    }
    if let Some((_, clusters)) = take(&mut table, "clusters") {
        contract.clusters = named(clusters, report);
    }
    let rest = Spanned::new(span, DeValue::Table(table));
    let _: Option<w::Empty> = read_with(rest, &["bridges", "clusters"], report, deserialize);
}

fn serve(contract: &mut Contract, value: Table<'_>, drivers: &Drivers, report: &mut Report) {
    let span = value.span();
    let Some(mut table) = table(value, report) else { return };
    let side = Side { common: &INGRESS_COMMON, rows: drivers.ingress, check: <dyn IngressConfig>::check };
    for item in items(take(&mut table, "ingress_adapters"), report) {
        let id = text(&item, "id");
        match adapter(item, &side, drivers, report) {
            Some(adapter) => contract.ingress.push(adapter),
            None => contract.unread.extend(id),
        }
    }
    for item in items(take(&mut table, "routes"), report) {
        let id = text(&item, "id");
        match read(item, report) {
            Some(route) => contract.serve_routes.push(route),
            None => contract.unread.extend(id),
        }
    }
    let rest = Spanned::new(span, DeValue::Table(table));
    contract.serve =
        read_with(rest, &["ingress_adapters", "routes"], report, deserialize).unwrap_or_default();
}

fn smash(contract: &mut Contract, value: Table<'_>, drivers: &Drivers, report: &mut Report) {
    let span = value.span();
    let Some(mut table) = table(value, report) else { return };
    let side = Side { common: &EGRESS_COMMON, rows: drivers.egress, check: <dyn EgressConfig>::check };
    for item in items(take(&mut table, "egress_adapters"), report) {
        let id = text(&item, "id");
        match adapter(item, &side, drivers, report) {
            Some(adapter) => contract.egress.push(adapter),
            None => contract.unread.extend(id),
        }
    }
    for item in items(take(&mut table, "routes"), report) {
        let id = text(&item, "id");
        match read(item, report) {
            Some(route) => contract.smash_routes.push(route),
            None => contract.unread.extend(id),
        }
    }
    let rest = Spanned::new(span, DeValue::Table(table));
    let _: Option<w::Smash> = read_with(rest, &["egress_adapters", "routes"], report, deserialize);
}

fn adapter<C: DeserializeOwned, T: ?Sized>(
    item: Table<'_>,
    side: &Side<T>,
    drivers: &Drivers,
    report: &mut Report,
) -> Option<Adapter<C, Arc<T>>> {
    let Split { common, plugins, own } = split(item, side.common, drivers, report)?;
    let driver = text(&common, "driver");
    let common: Option<C> = read(common, report);
    let row = side.rows.iter().find(|row| Some(row.name) == driver.as_deref());
    let Some(row) = row else { return Some(Adapter { common: common?, plugins, driver: None }) };
    let places = own.clone();
    let config = read_with(own, side.common, report, row.parse)?;
    problems((side.check)(&config), &places, report);
    Some(Adapter { common: common?, plugins, driver: Some((row.name, config)) })
}

/// Divides an adapter's table into what all adapters have, its plugins, and its driver's part.
fn split<'a>(item: Table<'a>, common: &[&str], drivers: &Drivers, report: &mut Report) -> Option<Split<'a>> {
    let span = item.span();
    let mut rest = table(item, report)?;
    let mut shared = DeTable::new();
    let plugins = items(take(&mut rest, "plugins"), report);
    let plugins = plugins.into_iter().filter_map(|item| plugin(item, drivers, report)).collect();
    for &name in common {
        if let Some((key, value)) = rest.remove_entry(name) {
            shared.insert(key, value);
        }
    }
    let place = |table| Spanned::new(span.clone(), DeValue::Table(table));
    Some(Split { common: place(shared), plugins, own: place(rest) })
}

fn plugin(item: Table<'_>, drivers: &Drivers, report: &mut Report) -> Option<Arc<dyn Hook>> {
    let span = item.span();
    let mut rest = table(item, report)?;
    let Some((_, driver)) = take(&mut rest, "driver") else {
        report.error("missing_key", span, "the key `driver` is missing");
        return None;
    };
    let name = driver.get_ref().as_str().unwrap_or_default().to_owned();
    let Some(row) = drivers.plugins.iter().find(|row| row.name == name) else {
        report.error("unknown_driver", driver.span(), format!("no plugin is called `{name}`")).help =
            suggest(&name, drivers.plugins.iter().map(|row| row.name));
        return None;
    };
    read_with(Spanned::new(span, DeValue::Table(rest)), &["driver"], report, row.parse)
}

fn sources(value: Table<'_>, report: &mut Report) -> BTreeMap<String, SourcePlan> {
    let mut sources = BTreeMap::new();
    for (key, value) in table(value, report).unwrap_or_default() {
        let name = key.get_ref().to_string();
        let valid = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
        if name.is_empty() || !name.bytes().all(valid) {
            let title = format!("`{name}` is no source name: use a-z, 0-9, `-` and `_`");
            report.error("bad_name", key.span(), title);
            continue;
        }
        let places = value.clone();
        let Some(plan) = read_with(value, &[], report, |value| source::parse(&name, value)) else { continue };
        problems(source::check(&plan), &places, report);
        sources.insert(name, plan);
    }
    sources
}

/// Adds what a driver or source found wrong with its keys, each at its place.
fn problems(found: Vec<Problem>, places: &Table<'_>, report: &mut Report) {
    for problem in found {
        let entry = places.get_ref().as_table().and_then(|table| table.get_key_value(problem.key));
        let span = entry.map_or_else(|| places.span(), |(_, value)| value.span());
        report.error("bad_value", span, problem.message);
    }
}

/// The message for an active adapter whose driver this build does not have.
pub(super) fn unknown_driver(driver: &w::Text, valid: &[&str], report: &mut Report) {
    let name = driver.get_ref();
    let finding = match SEED_DRIVERS.contains(&name.as_str()) {
        true => report.error(
            "later_driver",
            driver.span(),
            format!("this build does not have the driver `{name}`"),
        ),
        false => report.error("unknown_driver", driver.span(), format!("no driver is called `{name}`")),
    };
    finding.help = match SEED_DRIVERS.contains(&name.as_str()) {
        true => Some("take the adapter out of the profile, and it is tolerated".into()),
        false => suggest(name, valid.iter().copied()),
    };
}

/// The text under a key, where it is one.
fn text(item: &Table<'_>, key: &str) -> Option<String> {
    Some(item.get_ref().as_table()?.get(key)?.get_ref().as_str()?.to_owned())
}

fn named<T: DeserializeOwned>(value: Table<'_>, report: &mut Report) -> Vec<(w::Text, T)> {
    let mut all = Vec::new();
    for (key, value) in table(value, report).unwrap_or_default() {
        let name = Spanned::new(key.span(), key.get_ref().to_string());
        all.extend(read(value, report).map(|value| (name, value)));
    }
    all
}

fn table<'a>(value: Table<'a>, report: &mut Report) -> Option<DeTable<'a>> {
    let span = value.span();
    match value.into_inner() {
        DeValue::Table(table) => Some(table),
        _ => {
            report.error("wrong_value", span, "expected a table");
            None
        }
    }
}

fn items<'a>(entry: Option<(Range<usize>, Spanned<DeValue<'a>>)>, report: &mut Report) -> Vec<Table<'a>> {
    let Some((_, value)) = entry else { return Vec::new() };
    let span = value.span();
    match value.into_inner() {
        DeValue::Array(items) => items.into_iter().collect(),
        _ => {
            report.error("wrong_value", span, "expected a list of tables");
            Vec::new()
        }
    }
}

fn deserialize<T: DeserializeOwned>(table: Table<'_>) -> Result<T, toml::de::Error> {
    T::deserialize(toml::de::ValueDeserializer::from(table))
}
