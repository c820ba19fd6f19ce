//! The contract's JSON Schema (draft-07, which editors read), made from the same
//! types that read it, so the two cannot disagree.

use std::sync::LazyLock;

use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::{kafka::Cluster, relay::Bridge, written as w};
use crate::{
    driver::{Driver, Drivers, PluginDriver},
    source,
};

/// The keys that every ingress adapter has besides its driver's.
pub(super) static INGRESS_COMMON: LazyLock<Vec<&'static str>> = LazyLock::new(keys::<w::IngressCommon>);
/// The keys that every egress adapter has besides its driver's.
pub(super) static EGRESS_COMMON: LazyLock<Vec<&'static str>> = LazyLock::new(keys::<w::EgressCommon>);

/// The schema of a whole contract, for the drivers of this build.
pub fn schema(drivers: &Drivers) -> Value {
    let mut generator = SchemaSettings::draft07().into_generator();
    let plugins = plugins(drivers, &mut generator);
    let ingress = adapters::<w::IngressCommon, _>(drivers.ingress, &plugins, &mut generator);
    let egress = adapters::<w::EgressCommon, _>(drivers.egress, &plugins, &mut generator);

    let mut serve = inline::<w::Serve>(&mut generator);
    put(&mut serve, "ingress_adapters", list(ingress));
    put(&mut serve, "routes", list(inline::<w::ServeRoute>(&mut generator)));
    let mut smash = inline::<w::Smash>(&mut generator);
    put(&mut smash, "egress_adapters", list(egress));
    put(&mut smash, "routes", list(inline::<w::SmashRoute>(&mut generator)));
    let source = source::schema(&mut generator);
    let mut root = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "hook contract",
        "type": "object",
        "additionalProperties": false,
        "required": ["app", "profiles"],
        "properties": {
            "app": inline::<w::App>(&mut generator),
            "policies": inline::<w::Policies>(&mut generator),
            "log": inline::<w::Log>(&mut generator),
            "sources": { "type": "object", "additionalProperties": source },
            "serve": serve,
            "smash": smash,
            "relay": {
                "type": "object",
                "additionalProperties": false,
                "properties": {
                    "bridges": list(inline::<Bridge>(&mut generator)),
                    "clusters": { "type": "object", "additionalProperties": inline::<Cluster>(&mut generator) },
                },
            },
            "profiles": { "type": "object", "additionalProperties": inline::<w::Profile>(&mut generator) },
            "transports": { "type": "object", "additionalProperties": inline::<w::Transport>(&mut generator) },
            "mcp": inline::<w::Empty>(&mut generator),
            "websocket": inline::<w::Empty>(&mut generator),
            "admin": inline::<w::Admin>(&mut generator),
        },
    });
    let definitions = generator.take_definitions(true);
    if !definitions.is_empty() {
        root["definitions"] = Value::Object(definitions);
    }
    root
}

/// One alternative per driver, told apart by `driver`, each with the common keys.
fn adapters<Common: JsonSchema, T: ?Sized>(
    rows: &[Driver<T>],
    plugins: &Value,
    generator: &mut SchemaGenerator,
) -> Value {
    let common = inline::<Common>(generator);
    let one = |row: &Driver<T>| {
        let mut schema = (row.schema)(generator).to_value();
        for (key, value) in common["properties"].as_object().into_iter().flatten() {
            put(&mut schema, key, value.clone());
        }
        put(&mut schema, "driver", json!({ "const": row.name, "description": row.summary }));
        put(&mut schema, "plugins", plugins.clone());
        let required = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
        let own = common["required"].as_array().cloned().unwrap_or_default();
        schema["required"] = Value::Array(own.into_iter().chain(required).collect());
        schema["title"] = json!(row.name);
        schema
    };
    json!({ "oneOf": rows.iter().map(one).collect::<Vec<_>>() })
}

fn plugins(drivers: &Drivers, generator: &mut SchemaGenerator) -> Value {
    let one = |row: &PluginDriver| {
        let mut schema = (row.schema)(generator).to_value();
        put(&mut schema, "driver", json!({ "const": row.name, "description": row.summary }));
        let required = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
        schema["required"] = Value::Array(std::iter::once(json!("driver")).chain(required).collect());
        schema
    };
    list(json!({ "oneOf": drivers.plugins.iter().map(one).collect::<Vec<_>>() }))
}

fn inline<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    T::json_schema(generator).to_value()
}

fn list(items: Value) -> Value {
    json!({ "type": "array", "items": items })
}

fn put(schema: &mut Value, key: &str, value: Value) {
    if !schema["properties"].is_object() {
        schema["properties"] = Value::Object(Map::new());
    }
    schema["properties"][key] = value;
}

/// A struct's keys, read off its own schema. Leaked once per struct, for the
/// process's whole life.
fn keys<T: JsonSchema>() -> Vec<&'static str> {
    let schema = inline::<T>(&mut SchemaSettings::draft07().into_generator());
    let names = schema["properties"].as_object().into_iter().flatten();
    names.map(|(name, _)| &*name.clone().leak()).collect()
}
