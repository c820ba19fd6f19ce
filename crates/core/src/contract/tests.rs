//! Contracts as data: a text, and what the checker says of it.

mod kafka;
mod relay;

use std::sync::Arc;

use async_trait::async_trait;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use toml::{
    Spanned,
    de::{DeValue, ValueDeserializer},
};

use super::*;
use crate::{
    driver::{BuildContext, BuildError, EgressConfig, EgressDriver, IngressConfig, IngressDriver},
    plugin::PLUGINS,
    ports::{Egress, Ingress},
};

/// A driver with a few keys, enough to see how any is read.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Fake {
    bind: Option<String>,
    url: Option<String>,
    token_env: Option<String>,
    timeout_seconds: Option<u32>,
    path_template: Option<String>,
}

#[async_trait]
impl IngressConfig for Fake {
    fn settings(&self) -> serde_json::Value {
        serde_json::to_value(self).unwrap()
    }

    async fn build(&self, _: &BuildContext) -> Result<Box<dyn Ingress>, BuildError> {
        Err(BuildError::Resource("a fake".into()))
    }
}

#[async_trait]
impl EgressConfig for Fake {
    fn settings(&self) -> serde_json::Value {
        serde_json::to_value(self).unwrap()
    }

    fn endpoint(&self) -> String {
        self.url.clone().unwrap_or_default()
    }

    async fn build(&self, _: &BuildContext) -> Result<Arc<dyn Egress>, BuildError> {
        Err(BuildError::Resource("a fake".into()))
    }
}

fn schema_of_fake(generator: &mut SchemaGenerator) -> Schema {
    Fake::json_schema(generator)
}

fn parse_fake(value: Spanned<DeValue<'_>>) -> Result<Fake, toml::de::Error> {
    Fake::deserialize(ValueDeserializer::from(value))
}

const DRIVERS: Drivers = Drivers {
    ingress: &[IngressDriver {
        name: "http_webhook_ingress",
        summary: "a fake",
        example: "",
        parse: |value| Ok(Arc::new(parse_fake(value)?)),
        schema: schema_of_fake,
    }],
    egress: &[EgressDriver {
        name: "openclaw_http_output",
        summary: "a fake",
        example: "",
        parse: |value| Ok(Arc::new(parse_fake(value)?)),
        schema: schema_of_fake,
    }],
    plugins: PLUGINS,
};

const SEED: &str = r#"
[app]
id = "default-openclaw"
name = "Default OpenClaw"
version = "1.0.0"
description = "Compatibility default profile: HTTP webhook ingress to OpenClaw smash via Kafka core"

[policies]
allow_no_output = false
validation_mode = "strict"

[serve]

[[serve.ingress_adapters]]
id = "http-ingress"
driver = "http_webhook_ingress"
bind = "0.0.0.0:8080"
path_template = "/webhook/{source}"

[[serve.routes]]
id = "all-to-core"
source_match = "*"
event_type_pattern = "*"
target_topic = "webhooks.core"

[smash]

[[smash.egress_adapters]]
id = "openclaw-output"
driver = "openclaw_http_output"
url = "http://127.0.0.1:18789/hooks/agent"
token_env = "OPENCLAW_WEBHOOK_TOKEN"
timeout_seconds = 20
max_retries = 5

[[smash.routes]]
id = "core-to-openclaw"
source_topic_pattern = "webhooks.core"
destinations = [{ adapter_id = "openclaw-output", required = true }]

[profiles.default-openclaw]
label = "Default OpenClaw"
serve_adapters = ["http-ingress"]
smash_adapters = ["openclaw-output"]
serve_routes = ["all-to-core"]
smash_routes = ["core-to-openclaw"]
"#;

fn findings(text: &str, options: &Options) -> Vec<String> {
    let report = match load("contract.toml", text, options, &DRIVERS) {
        Ok(loaded) => loaded.warnings,
        Err(report) => report,
    };
    let one = |finding: &Finding| {
        let help = finding.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
        format!("{}:{} {}: {}{help}", finding.line, finding.column, finding.code, finding.title)
    };
    report.findings().iter().map(one).collect()
}

/// What the checker says of the seed's contract after `from` was replaced by `to`.
fn changed(from: &str, to: &str) -> Vec<String> {
    assert!(SEED.contains(from), "{from}");
    findings(&SEED.replacen(from, to, 1), &Options::default())
}

#[test]
fn a_seed_contract_is_valid_and_means_what_it_meant() {
    assert_eq!(findings(SEED, &Options::default()), Vec::<String>::new());
    let plan = load("contract.toml", SEED, &Options::default(), &DRIVERS).unwrap().plan;
    assert_eq!(plan.profile, "default-openclaw");
    assert_eq!(plan.destinations[0].policy.max_retries, 5);
    assert_eq!(plan.group("openclaw-output"), "hook.default-openclaw.openclaw-output");
    assert_eq!(plan.sources.keys().collect::<Vec<_>>(), ["github", "linear"]);
}

#[test]
fn the_built_in_default_is_valid() {
    assert_eq!(findings(DEFAULT, &Options::default()), Vec::<String>::new());
}

#[test]
fn one_finding_at_its_place() {
    for (from, to, want) in [
        (
            "timeout_seconds",
            "timout_seconds",
            "33:1 unknown_key: unknown key `timout_seconds` (did you mean `timeout_seconds`?)",
        ),
        (
            "max_retries",
            "max_retrys",
            "34:1 unknown_key: unknown key `max_retrys` (did you mean `max_retries`?)",
        ),
        (
            "timeout_seconds = 20",
            "timeout_seconds = \"20\"",
            "33:19 wrong_value: invalid type: string \"20\", expected u32",
        ),
        (
            "[policies]",
            "[polices]",
            "8:2 unknown_section: unknown section `polices` (did you mean `policies`?)",
        ),
        (
            "validation_mode = \"strict\"",
            "validation_mode = \"strikt\"",
            "10:19 wrong_value: `strikt` is not a value here (did you mean `strict`?)",
        ),
        ("name = \"Default OpenClaw\"\n", "", "2:1 missing_key: the key `name` is missing"),
        (
            "id = \"default-openclaw\"",
            "id = \"Default\"",
            "3:6 bad_name: `Default` is not kebab-case: write it like `pull-requests`",
        ),
        (
            "version = \"1.0.0\"",
            "version = \"1.0\"",
            "5:11 bad_version: `1.0` is no semantic version: write `1.0.0`",
        ),
        (
            "driver = \"openclaw_http_output\"",
            "driver = \"openclaw_output\"",
            "30:10 unknown_driver: no driver is called `openclaw_output` (did you mean `openclaw_http_output`?)",
        ),
        (
            "driver = \"openclaw_http_output\"",
            "driver = \"kafka_output\"",
            "30:10 later_driver: this build does not have the driver `kafka_output` (take the adapter out of the profile, and it is tolerated)",
        ),
        (
            "adapter_id = \"openclaw-output\"",
            "adapter_id = \"openclaw\"",
            "39:32 unknown_reference: no egress adapter is called `openclaw` (did you mean `openclaw-output`?)",
        ),
        (
            "smash_routes = [\"core-to-openclaw\"]",
            "smash_routes = [\"core-to-openclow\"]",
            "46:17 unknown_reference: no smash route is called `core-to-openclow` (did you mean `core-to-openclaw`?)",
        ),
        (
            "target_topic = \"webhooks.core\"",
            "target_topic = \"webhooks core\"",
            "24:16 bad_name: `webhooks core` is no topic name: use 1 to 200 of a-z A-Z 0-9 . _ - and no leading dot",
        ),
        (
            "max_retries = 5",
            "start_from = \"yesterday\"",
            "34:14 bad_value: `yesterday` is not where a destination can begin (write `beginning`, `now`, or an RFC 3339 time such as `2026-11-21T10:00:00Z`)",
        ),
        ("max_retries = 5", "max_in_flight = 0", "34:17 bad_value: `max_in_flight` is between 1 and 4096"),
        (
            "allow_no_output = false",
            "allow_no_output = true",
            "9:19 missing_key: `allow_no_output` needs `no_output_sink` (write `no_output_sink = \"discard\"` or `\"dlq\"`)",
        ),
        (
            "[smash]",
            "[log]\nbackend = \"postgres\"\n[smash]",
            "27:11 bad_value: `postgres` is not a backend (expected `embedded` or `kafka`)",
        ),
        (
            "[smash]",
            "[log]\nretention = { max_age = \"a week\" }\n[smash]",
            "27:25 wrong_value: `a week` is no duration: write `90s`, `15m`, `2h` or `7d`",
        ),
        (
            "[smash]",
            "[[hooks]]\nid = \"x\"\n[smash]",
            "26:3 later_section: this version does not read the section `hooks` yet",
        ),
        (
            "source_match = \"*\"",
            "source_match = \"{github,linear}\"",
            "22:16 bad_glob: nothing fits the glob `{github,linear}` (`*` stands for any characters, `?` for one; nothing else is special)",
        ),
        (
            "target_topic = \"webhooks.core\"",
            "target_topic = \"hook.deliveries\"",
            "24:16 reserved_topic: the topic `hook.deliveries` belongs to hook itself (events live in topics such as `webhooks.core`; dead letters are delivered again by `hook dlq replay`)",
        ),
        (
            "[profiles.default-openclaw]",
            "[transports.mcp]\ndriver = \"http_sse\"\nurl = \"https://a.b\"\nauth_mode = \"none\"\ncommand = \"x\"\n[profiles.default-openclaw]",
            "42:10 unknown_key: the key `command` has no use with the transport driver `http_sse`",
        ),
        (
            "id = \"core-to-openclaw\"",
            "id = \"all-to-core\"",
            "37:6 duplicate_id: there is a second route called `all-to-core`",
        ),
    ] {
        let got = changed(from, to);
        assert_eq!(got.iter().find(|finding| *finding == want), Some(&want.to_owned()), "{to}: {got:#?}");
    }
}

#[test]
fn a_condition_is_checked_where_it_stands() {
    let got = changed("destinations = [", "when = \"paylod.draft\"\ndestinations = [");
    assert!(got[0].starts_with("39:8 bad_expression: the condition cannot be used: `paylod`"), "{got:#?}");
    let got = changed("destinations = [", "when = \"payload.x ==\"\ndestinations = [");
    assert!(got[0].contains("bad_expression"), "{got:#?}");
}

#[test]
fn every_error_in_one_run() {
    let text = SEED
        .replace("name = \"Default OpenClaw\"", "nam = 1\nname = 2")
        .replace("target_topic", "topic")
        .replace("timeout_seconds", "timout_seconds")
        .replace("[policies]", "[polices]");
    let codes: Vec<String> = findings(&text, &Options::default())
        .iter()
        .map(|finding| finding.split([' ', ':']).nth(2).unwrap_or_default().to_owned())
        .collect();
    assert_eq!(
        codes,
        ["unknown_key", "wrong_value", "unknown_section", "missing_key", "unknown_key", "unknown_key"]
    );
}

#[test]
fn syntax_errors_are_findings_too() {
    let got = findings("a = \n[app]\nid = =\n", &Options::default());
    assert!(got.iter().filter(|finding| finding.contains("syntax")).count() >= 2, "{got:#?}");
}

#[test]
fn lints_stop_in_strict_mode_and_warn_in_debug_mode_or_by_force() {
    let text =
        SEED.replace("source_topic_pattern = \"webhooks.core\"", "source_topic_pattern = \"webhooks.other\"");
    assert!(load("c", &text, &Options::default(), &DRIVERS).is_err());
    let debug = Options { validation_mode: Some(ValidationMode::Debug), ..Options::default() };
    assert!(load("c", &text, &debug, &DRIVERS).is_ok());
    let force = Options { force: true, ..Options::default() };
    assert!(load("c", &text, &force, &DRIVERS).is_ok());
    let broken = SEED.replace("adapter_id = \"openclaw-output\"", "adapter_id = \"nobody\"");
    assert!(load("c", &broken, &force, &DRIVERS).is_err(), "force never passes an integrity check");
}

#[test]
fn a_driver_that_this_build_lacks_is_tolerated_while_it_is_inactive() {
    let extra = "[[smash.egress_adapters]]\nid = \"later\"\ndriver = \"kafka_output\"\ntopic = \"x\"\nkey_mode = \"none\"\n\n[[smash.routes]]";
    let text = SEED.replace("[[smash.routes]]", extra);
    let got = findings(&text, &Options::default());
    assert!(got.iter().any(|finding| finding.starts_with("38:10 absent_driver")), "{got:#?}");
    assert!(load("c", &text, &Options::default(), &DRIVERS).is_ok());
}

#[test]
fn the_profile_that_runs() {
    let two = format!(
        "{SEED}\n[profiles.other]\nlabel = \"Other\"\nsmash_adapters = [\"openclaw-output\"]\nsmash_routes = [\"core-to-openclaw\"]\n"
    );
    let run = |profile: Option<&str>| {
        let options = Options { profile: profile.map(str::to_owned), force: true, ..Options::default() };
        load("c", &two, &options, &DRIVERS).map(|loaded| loaded.plan.profile)
    };
    assert_eq!(run(None).unwrap(), "default-openclaw");
    assert_eq!(run(Some("other")).unwrap(), "other");
    assert!(run(Some("othr")).unwrap_err().render(false).contains("did you mean `other`?"));
}

#[test]
fn a_finding_is_shown_as_a_compiler_shows_it() {
    let text = SEED.replace("timeout_seconds", "timout_seconds");
    let report = load("contract.toml", &text, &Options::default(), &DRIVERS).err().unwrap();
    let shown = report.render(false);
    for part in [
        "error[unknown_key]: unknown key `timout_seconds`",
        "contract.toml:33:1",
        "^^^^^^^^^^^^^^",
        "help: did you mean `timeout_seconds`?",
    ] {
        assert!(shown.contains(part), "{part}\n{shown}");
    }
}

#[test]
fn the_schema_knows_every_section_and_driver_key() {
    let schema = schema(&DRIVERS).to_string();
    for name in [
        "no_output_sink",
        "timeout_seconds",
        "openclaw_http_output",
        "require_payload_field",
        "dedup_ttl_seconds",
    ] {
        assert!(schema.contains(&format!("\"{name}\"")), "{name}");
    }
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "(\\[[a-z.]{0,9}\\]|[a-z_]{1,9} = [0-9\"\\[{a-z}\\]]{0,6}|\n|\\PC){0,30}") {
        let _ = load("c", &text, &Options::default(), &DRIVERS);
    }

    #[test]
    fn no_cut_of_a_contract_makes_it_panic(at in 0..SEED.len()) {
        let _ = load("c", &SEED[..SEED.floor_char_boundary(at)], &Options::default(), &DRIVERS);
    }
}

#[test]
fn a_source_cannot_lead_into_a_topic_of_our_own() {
    let text = SEED.replace("target_topic = \"webhooks.core\"", "target_topic = \"webhooks.{source}\"");
    let text =
        text.replace("source_topic_pattern = \"webhooks.core\"", "source_topic_pattern = \"webhooks.*\"");
    let with = |extra: &str| findings(&format!("{text}\n{extra}"), &Options::default());
    assert_eq!(with(""), Vec::<String>::new());
    assert!(with("[sources.dlq]\npreset = \"none\"")[0].contains("reserved_topic"));
    assert!(with("[log]\ndlq_topic = \"webhooks.github\"")[0].contains("reserved_topic"));
    assert!(with("[log]\ndlq_topic = \"hook.deliveries\"")[0].contains("reserved_topic"));
}

#[test]
fn an_adapters_own_keys_and_its_drivers_are_judged_together() {
    let text = SEED
        .replace("timeout_seconds = 20", "timeout_seconds = true")
        .replace("max_retries = 5", "max_retries = true");
    let lines: Vec<_> =
        findings(&text, &Options::default()).iter().map(|line| line[..2].to_owned()).collect();
    assert_eq!(lines, ["33", "34"]);
}
