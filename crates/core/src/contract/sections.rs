//! The tables that stand alone: `[app]`, `[log]`, `[serve]`'s own keys, `[sources]`,
//! `[transports]`, each with its defaults.

use std::{collections::BTreeMap, time::Duration};

use hook_log::Topic;
use toml::Spanned;

use super::{
    Options, kafka,
    parse::Contract,
    report::{Report, suggest},
    written as w,
};
use crate::{
    plan::{AcceptPlan, App, LogPlan, Retention, SourcePlan},
    source,
};

const DAY: Duration = Duration::from_secs(86_400);
const MIB: u64 = 1 << 20;

pub(super) fn app(written: &w::App, report: &mut Report) -> App {
    let id = written.id.get_ref();
    let kebab =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if !id.split('-').all(kebab) || id.len() > 64 {
        report.error(
            "bad_name",
            written.id.span(),
            format!("`{id}` is not kebab-case: write it like `pull-requests`"),
        );
    }
    let version = written.version.get_ref();
    if !is_semver(version) {
        report.error(
            "bad_version",
            written.version.span(),
            format!("`{version}` is no semantic version: write `1.0.0`"),
        );
    }
    App {
        id: id.clone(),
        name: written.name.clone(),
        version: version.clone(),
        description: written.description.clone(),
    }
}

/// `MAJOR.MINOR.PATCH`, then `-` and `+` parts of letters, digits, dots and hyphens.
fn is_semver(text: &str) -> bool {
    let (core, rest) = text.split_at(text.find(['-', '+']).unwrap_or(text.len()));
    let number = |part: &str| part.parse::<u64>().is_ok() && (part == "0" || !part.starts_with('0'));
    let tail = |byte: u8| byte.is_ascii_alphanumeric() || b".-+".contains(&byte);
    core.split('.').count() == 3 && core.split('.').all(number) && rest.len() != 1 && rest.bytes().all(tail)
}

pub(super) fn log(written: &w::Log, options: &Options, report: &mut Report) -> LogPlan {
    let backend = kafka::backend(written, report);
    let named = written.kafka.as_ref().and_then(|kafka| kafka.get_ref().dlq_topic.as_ref());
    let named = named.or(written.dlq_topic.as_ref());
    let span = named.map_or(0..0, Spanned::span);
    let dead_letters = named.map_or("webhooks.dlq", |topic| topic.get_ref());
    let dead_letters = Topic::new(dead_letters).unwrap_or_else(|error| {
        report.error("bad_name", span.clone(), error.to_string());
        fallback_topic()
    });
    if dead_letters.as_str().starts_with("hook.") {
        report.error("reserved_topic", span, "topics that begin with `hook.` belong to hook itself");
    }
    let path = written.path.as_deref().unwrap_or("hook-data");
    let segment = written.segment_bytes.as_ref().map_or(64 * MIB, |size| size.get_ref().0);
    if !(MIB..=1024 * MIB).contains(&segment) {
        let span = written.segment_bytes.as_ref().map_or(0..0, Spanned::span);
        report.error("bad_value", span, "a segment is between `1MiB` and `1GiB` large");
    }
    LogPlan {
        backend,
        path: options.data_dir.clone().unwrap_or_else(|| path.into()),
        retention: retention(written.retention.as_ref(), 7 * DAY),
        dead_letter_retention: retention(written.dead_letter_retention.as_ref(), 30 * DAY),
        segment_bytes: segment,
        min_free_bytes: written.min_free_bytes.as_ref().map_or(256 * MIB, |size| size.get_ref().0),
        dead_letters,
    }
}

fn retention(written: Option<&w::Retention>, age: Duration) -> Retention {
    match written {
        None => Retention { max_age: Some(age), max_bytes: None },
        Some(written) => Retention {
            max_age: written.max_age.map(|age| age.0),
            max_bytes: written.max_bytes.map(|bytes| bytes.0),
        },
    }
}

pub(super) fn accept(written: &w::Serve) -> AcceptPlan {
    AcceptPlan {
        dedup_ttl: written.dedup_ttl_seconds.map_or(7 * DAY, |seconds| Duration::from_secs(seconds.into())),
        peer_rate_per_minute: written.peer_rate_per_minute.map(Into::into),
        append_timeout: Duration::from_millis(written.append_timeout_ms.map_or(5_000, |ms| ms.get().into())),
    }
}

/// The contract's sources, or the two of seed contracts.
pub(super) fn sources(contract: &Contract) -> BTreeMap<String, SourcePlan> {
    let seed = || {
        let both = ["github", "linear"].into_iter();
        both.filter_map(|name| Some((name.to_owned(), source::seed_default(name)?))).collect()
    };
    contract.sources.clone().unwrap_or_else(seed)
}

/// The ways to MCP servers, checked, for the drivers that name them.
pub(super) fn transports(contract: &Contract, report: &mut Report) -> BTreeMap<String, serde_json::Value> {
    for (name, transport) in &contract.transports {
        let driver = transport.driver.get_ref().as_str();
        let needs = match driver {
            "http_sse" => {
                [("url", transport.url.is_some()), ("auth_mode", transport.auth_mode.is_some())].to_vec()
            }
            "stdio_jsonrpc" => [("command", transport.command.is_some())].to_vec(),
            _ => {
                let title = format!("`{driver}` is not a transport's driver");
                report.error("unknown_driver", transport.driver.span(), title).help =
                    suggest(driver, ["http_sse", "stdio_jsonrpc"]);
                continue;
            }
        };
        for key in foreign_keys(transport) {
            let title = format!("the key `{key}` has no use with the transport driver `{driver}`");
            report.error("unknown_key", transport.driver.span(), title);
        }
        for (key, _) in needs.into_iter().filter(|(_, written)| !written) {
            let title = format!("the transport `{name}` needs the key `{key}`");
            report.error("missing_key", transport.driver.span(), title);
        }
    }
    let written = |(name, transport): &(String, w::Transport)| {
        Some((name.clone(), serde_json::to_value(transport).ok()?))
    };
    contract.transports.iter().filter_map(written).collect()
}

/// The keys that are written and that the transport's driver does not read.
fn foreign_keys(transport: &w::Transport) -> impl Iterator<Item = &'static str> {
    let http = [
        ("url", transport.url.is_some()),
        ("auth_mode", transport.auth_mode.is_some()),
        ("token_env", transport.token_env.is_some()),
    ];
    let stdio = [
        ("command", transport.command.is_some()),
        ("args", !transport.args.is_empty()),
        ("env", !transport.env.is_empty()),
    ];
    let foreign = if transport.driver.get_ref() == "http_sse" { stdio } else { http };
    foreign.into_iter().filter(|(_, written)| *written).map(|(key, _)| key)
}

#[expect(clippy::expect_used, reason = "a constant that is a topic name")]
fn fallback_topic() -> Topic {
    Topic::new("webhooks.dlq").expect("a topic name")
}
