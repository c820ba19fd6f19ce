//! No key is accepted and ignored.
//!
//! The keys come from the schema, so a new one is walked without being listed here.
//! Each is changed in a contract that uses every section and every driver; the plan
//! must differ, or the contract must be refused. It shows that a key reaches the
//! plan; what it then does is shown beside the code that uses it.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use hook_core::{
    contract::{Options, Report, load, resolved, schema},
    driver::{BuildContext, BuildError, Drivers, EgressConfig, EgressDriver},
    ports::Egress,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use toml::de::ValueDeserializer;

use crate::support::DRIVERS;

/// Keys that decide whether the contract is refused and nothing else: names that others
/// use, what has one value only, and what a policy permits.
const FIXED: &[&str] =
    &["adapter_id", "allow_no_output", "backend", "commit_mode", "driver", "id", "smash_adapters"];

/// What a key needs beside it, by the end of the key's name; `null` takes a key away.
const COMPANIONS: &[(&str, &str)] = &[
    ("[openclaw_http_output].account_id", r##"{"channel": "slack", "to": "#ops"}"##),
    ("[openclaw_http_output].channel", r##"{"to": "#ops"}"##),
    ("[openclaw_http_output].to", r#"{"channel": "slack"}"#),
    ("[openclaw_http_output].session_mode", r#"{"session_key": "k"}"#),
    ("].allow_plaintext", r#"{"security_protocol": "ssl"}"#),
    (".content_type", r#"{"body": "{{ id }}"}"#),
    ("[http_output].secrets_env", r#"{"secret_env": null}"#),
    ("handshakes[].json", r#"{"echo": null}"#),
    (".public_url", r#"{"content": "{url}{timestamp}.{body}"}"#),
    (".rotate_keep", r#"{"rotate_bytes": 1000}"#),
    (".tls.cert_path", r#"{"key_path": "k.pem"}"#),
    (".tls.key_path", r#"{"cert_path": "c.pem"}"#),
    (".tls_cert_file", r#"{"tls_key_file": "k.pem"}"#),
    (".tls_key_file", r#"{"tls_cert_file": "c.pem"}"#),
];

/// What keys of a section need in the section above, by the beginning of their names.
const ABOVE: &[(&str, &str, &str)] = &[(".log.kafka.", "log", r#"{"backend": "kafka"}"#)];

/// The sections that are not adapters, each key's table present.
const REST: &str = r#"
[app]
id = "walk"
name = "Walk"
version = "1.0.0"

[policies]
allow_no_output = false

[log]
path = "hook-data"

[sources.mac]
algorithm = "hmac-sha256"
secret_env = "SECRET"
signature_headers = ["x-signature"]
content = "{timestamp}.{body}"
event_type = ["{/type}"]
timestamp = { header = "x-time" }
handshakes = [{ when = { "{/type}" = "ping" }, echo = "{/challenge}" }]

[sources.github]
preset = "github"
secret_env = "SECRET"

[sources.slack]
preset = "slack"
secret_env = "SECRET"

[sources.stripe]
preset = "stripe"
secret_env = "SECRET"

[sources.standard]
preset = "standard-webhooks"
secret_env = "SECRET"

[serve]

[[serve.routes]]
id = "in"
source_match = "*"
event_type_pattern = "*"
target_topic = "webhooks.core.in"

[smash]

[[smash.routes]]
id = "out"
source_topic_pattern = "webhooks.core.in"
destinations = []

[relay.clusters.x]
brokers = ["one:9093"]

[relay.clusters.other]
brokers = ["other:9093"]

[[relay.bridges]]
id = "up"
to = "other"
topics = ["webhooks.core.in"]
output_topic = "edge.core"

[profiles.default]
label = "Walk"
relay_bridges = ["up"]
serve_routes = ["in"]
smash_routes = ["out"]

[transports.http]
driver = "http_sse"
url = "https://mcp.example.com"
auth_mode = "bearer"

[transports.stdio]
driver = "stdio_jsonrpc"
command = "mcp"

[admin]
"#;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Key(String),
    Index(usize),
}

/// Every place of every key, by a name in which maps and lists are `*`.
type Keys = BTreeMap<String, Vec<(Vec<Step>, Value)>>;

struct Walk<'a> {
    schema: &'a Value,
    contract: &'a Value,
    keys: Keys,
}

impl Walk<'_> {
    fn table(&mut self, node: &Value, at: &[Step], name: &str) {
        if at.len() > 10 {
            return;
        }
        if let Some(to) = node["$ref"].as_str() {
            let target = self.schema.pointer(to.trim_start_matches('#')).expect("a definition").clone();
            return self.table(&target, at, name);
        }
        for kind in ["anyOf", "oneOf", "allOf"] {
            for alternative in node[kind].as_array().into_iter().flatten() {
                self.table(alternative, at, name);
            }
        }
        for (key, value) in node["properties"].as_object().into_iter().flatten() {
            let (at, name) = (step(at, Step::Key(key.clone())), format!("{name}.{key}"));
            self.keys.entry(name.clone()).or_default().push((at.clone(), value.clone()));
            self.table(value, &at, &name);
        }
        if node["additionalProperties"].is_object() {
            let there = get(self.contract, at).and_then(Value::as_object);
            for key in there.into_iter().flatten().map(|(key, _)| key.clone()) {
                let (at, name) = (step(at, Step::Key(key)), format!("{name}.*"));
                self.table(&node["additionalProperties"], &at, &name);
            }
        }
        if node["items"].is_object() {
            self.list(&node["items"], at, name);
        }
    }

    fn list(&mut self, items: &Value, at: &[Step], name: &str) {
        let alternatives = items["oneOf"].as_array().filter(|all| all[0]["properties"]["driver"].is_object());
        let Some(alternatives) = alternatives else {
            return self.table(items, &step(at, Step::Index(0)), &format!("{name}[]"));
        };
        for alternative in alternatives {
            let driver = &alternative["properties"]["driver"]["const"];
            let there = get(self.contract, at).and_then(Value::as_array).expect("a list of every driver");
            let index = there.iter().position(|item| item["driver"] == *driver).expect("one of every driver");
            let driver = driver.as_str().expect("a name");
            self.table(alternative, &step(at, Step::Index(index)), &format!("{name}[{driver}]"));
        }
    }
}

/// A contract with one adapter of every driver, each with every plugin.
fn contract(drivers: &Drivers) -> Value {
    let table = |text: &str| toml::from_str::<Value>(text).expect("an example");
    let plugins: Vec<Value> = drivers.plugins.iter().map(|row| with(table(row.example), row.name)).collect();
    let adapter = |name: &str, example: &str| {
        let mut adapter = with(table(example), name);
        adapter["id"] = json!(name);
        adapter["plugins"] = json!(plugins);
        adapter
    };
    let mut contract = table(REST);
    let ingress = drivers.ingress.iter().map(|row| adapter(row.name, row.example));
    contract["serve"]["ingress_adapters"] = ingress.collect();
    let egress = drivers.egress.iter().map(|row| adapter(row.name, row.example));
    contract["smash"]["egress_adapters"] = egress.collect();
    let profile = &mut contract["profiles"]["default"];
    profile["serve_adapters"] = drivers.ingress.iter().map(|row| json!(row.name)).collect();
    profile["smash_adapters"] = drivers.egress.iter().map(|row| json!(row.name)).collect();
    let destinations = drivers.egress.iter().map(|row| json!({ "adapter_id": row.name }));
    contract["smash"]["routes"][0]["destinations"] = destinations.collect();
    contract
}

fn with(mut table: Value, driver: &str) -> Value {
    table["driver"] = json!(driver);
    table
}

/// The plan of a contract, or what is wrong with it.
fn plan(contract: &Value, drivers: &Drivers) -> Result<Value, Option<Report>> {
    let text = toml::to_string(contract).map_err(|_| None)?;
    let options = Options { force: true, ..Options::default() };
    let loaded = load("walk.toml", &text, &options, drivers)?;
    Ok(resolved(&loaded.plan))
}

/// The values that the schema itself lists for a key.
fn listed(schema: &Value, node: &Value) -> Vec<Value> {
    if let Some(to) = node["$ref"].as_str() {
        let target = schema.pointer(to.trim_start_matches('#'));
        return target.map(|node| listed(schema, node)).unwrap_or_default();
    }
    let part = |kind: &str| node[kind].as_array().into_iter().flatten();
    let inside = part("anyOf").chain(part("oneOf")).chain(part("allOf"));
    let inside = inside.flat_map(|part| listed(schema, part));
    node.get("const").into_iter().chain(part("enum")).cloned().chain(inside).collect()
}

/// Values of every kind that a key might take.
fn candidates(schema: &Value, node: &Value) -> Vec<Value> {
    let mut all = listed(schema, node);
    let shapes = json!([
        true, false, 1, 7, 301, 2097152, "x", "9.9.9", "3d", "3GiB", "2MiB", "now", "dlq", "debug",
        "127.0.0.1:9464", "https://example.org", "https://other.example", "/other/{source}", "/a/b", "NAME",
        "{{ id }}", "{body}", "x-other", "text/csv", "gitlab", "webhooks.core", ["broker:9093"],
        [], ["x"], ["NAME"], ["127.0.0.0/8", "10.0.0.0/8"], ["{/a/b}"],
        {"x": "y"}, {"x-name": "NAME"}, {"header": "x-other"}, {"{/a}": "b"}, {"status": 201},
        [{"when": {"{/a}": "b"}, "echo": "{/a}"}],
    ]);
    all.extend(shapes.as_array().into_iter().flatten().cloned());
    all
}

/// Names the keys that are accepted and change nothing, and those that take no value.
fn walk(drivers: &Drivers) -> Vec<String> {
    let (schema, contract) = (schema(drivers), contract(drivers));
    if let Err(report) = plan(&contract, drivers) {
        panic!(
            "the contract to walk must be valid\n{}",
            report.map(|report| report.render(false)).unwrap_or_default()
        );
    }
    let mut walk = Walk { schema: &schema, contract: &contract, keys: Keys::new() };
    walk.table(&schema, &[], "");
    assert!(walk.keys.len() > 100, "only {} keys", walk.keys.len());
    let idle = walk.keys.iter().filter(|(name, places)| {
        let key = name.rsplit('.').next().unwrap_or_default();
        !FIXED.contains(&key)
            && !places.iter().any(|(at, node)| {
                holds_keys(&schema, node)
                    || has_effect(&contract, at, &candidates(&schema, node), name, drivers)
            })
    });
    idle.map(|(name, _)| name.clone()).collect()
}

/// Whether it is a table, or a list of tables: its keys are walked by themselves.
fn holds_keys(schema: &Value, node: &Value) -> bool {
    if let Some(to) = node["$ref"].as_str() {
        return schema.pointer(to.trim_start_matches('#')).is_some_and(|node| holds_keys(schema, node));
    }
    let inside = |part: &Value| part.is_object() && holds_keys(schema, part);
    let any = |kind: &str| node[kind].as_array().into_iter().flatten().any(inside);
    node["properties"].is_object()
        || node["additionalProperties"] == false
        || inside(&node["items"])
        || inside(&node["additionalProperties"])
        || any("oneOf")
        || any("anyOf")
        || any("allOf")
}

fn has_effect(contract: &Value, at: &[Step], values: &[Value], name: &str, drivers: &Drivers) -> bool {
    let mut base = contract.clone();
    for (_, beside) in COMPANIONS.iter().filter(|(end, _)| name.ends_with(end)) {
        let table: Value = serde_json::from_str(beside).expect("a companion");
        for (key, value) in table.as_object().into_iter().flatten() {
            set(&mut base, &step(&at[..at.len() - 1], Step::Key(key.clone())), value.clone());
        }
    }
    for (_, section, beside) in ABOVE.iter().filter(|(start, ..)| name.starts_with(start)) {
        let table: Value = serde_json::from_str(beside).expect("a companion");
        for (key, value) in table.as_object().into_iter().flatten() {
            base[section][key] = value.clone();
        }
    }
    let mut plans: Vec<Value> = plan(&base, drivers).into_iter().collect();
    for value in values {
        set(&mut base, at, value.clone());
        let Ok(next) = plan(&base, drivers) else { continue };
        if plans.iter().any(|before| *before != next) {
            return true;
        }
        plans.push(next);
    }
    false
}

fn step(at: &[Step], next: Step) -> Vec<Step> {
    [at, &[next]].concat()
}

fn get<'a>(value: &'a Value, at: &[Step]) -> Option<&'a Value> {
    at.iter().try_fold(value, |value, step| match step {
        Step::Key(key) => value.get(key),
        Step::Index(index) => value.get(index),
    })
}

fn set(value: &mut Value, at: &[Step], new: Value) {
    let Some((first, rest)) = at.split_first() else {
        *value = new;
        return;
    };
    match first {
        Step::Key(key) if rest.is_empty() && new.is_null() => {
            value.as_object_mut().and_then(|table| table.remove(key));
        }
        Step::Key(key) => set(&mut value[key.as_str()], rest, new),
        Step::Index(index) => {
            if !value.is_array() {
                *value = json!([{}]);
            }
            if let Some(item) = value.get_mut(index) {
                set(item, rest, new);
            }
        }
    }
}

#[test]
fn no_key_is_accepted_and_ignored() {
    assert_eq!(walk(&DRIVERS), [""; 0]);
}

/// A driver that reads a key and forgets it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Forgetful {
    url: String,
    #[expect(dead_code, reason = "being ignored is what it is for")]
    idle: Option<u32>,
}

impl std::fmt::Debug for Forgetful {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.url)
    }
}

#[async_trait]
impl EgressConfig for Forgetful {
    fn endpoint(&self) -> String {
        self.url.clone()
    }

    async fn build(&self, _: &BuildContext) -> Result<Arc<dyn Egress>, BuildError> {
        Err(BuildError::Resource("never built".into()))
    }
}

#[test]
fn a_key_that_is_ignored_is_noticed() {
    const EGRESS: &[EgressDriver] = &[EgressDriver {
        name: "forgetful",
        summary: "Forgets a key.",
        example: "url = \"https://example.com/\"",
        parse: |keys| Ok(Arc::new(Forgetful::deserialize(ValueDeserializer::from(keys))?)),
        schema: |generator| Forgetful::json_schema(generator),
    }];
    let drivers = Drivers { egress: EGRESS, ..DRIVERS };
    assert_eq!(walk(&drivers), [".smash.egress_adapters[forgetful].idle"]);
}
