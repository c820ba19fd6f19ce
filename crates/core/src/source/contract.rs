//! `[sources.<name>]` of a contract: a preset, keys of one's own, secrets by name.
//!
//! A written key replaces the preset's key as a whole. Writing `algorithm` replaces
//! everything that the preset says about verification, so no half of one scheme is
//! left over in another.

use std::{path::PathBuf, sync::Arc, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, Visitor},
};
use toml::{
    Spanned,
    de::{DeTable, DeValue, Error, ValueDeserializer},
};

use super::{PRESETS, SourceSpec, preset};
use crate::{plan::SourcePlan, secret::SecretRef};

/// The keys of `[sources.<name>]` that are not the scheme's.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Keys {
    /// The preset that the other keys start from.
    preset: Option<String>,
    /// The environment variable that holds the secret.
    secret_env: Option<String>,
    /// Several variables while secrets overlap, newest first; any of them verifies.
    secrets_env: Vec<String>,
    /// The file that holds the secret.
    secret_file: Option<PathBuf>,
    /// Verified requests a minute; without it there is no limit.
    rate_per_minute: Option<u32>,
    /// Events about the same subject within this many seconds are dropped; 0 drops none.
    cooldown_seconds: u64,
}

/// Replaced together when `algorithm` is written.
const VERIFICATION: &[&str] = &[
    "signature_headers",
    "prefix",
    "encoding",
    "separator",
    "signature_field",
    "content",
    "id_header",
    "public_url",
    "secret_encoding",
    "timestamp",
];

/// Reads `[sources.<name>]`.
///
/// # Errors
/// An unknown key or preset, a wrong type, or neither a preset nor an algorithm;
/// with the span of what is to blame.
pub fn parse(name: &str, value: Spanned<DeValue<'_>>) -> Result<SourcePlan, Error> {
    let span = value.span();
    let DeValue::Table(written) = value.into_inner() else {
        return Err(error(span, format!("source `{name}` has to be a table")));
    };
    let (keys, mut spec) = split(written)?;
    match keys.get("preset").map(|value| (value.span(), value.get_ref())) {
        Some((span, DeValue::String(preset))) => inherit(&mut spec, span, preset)?,
        // Any other type is refused with the rest of the keys below.
        Some(_) => {}
        None if !spec.contains_key("algorithm") => {
            let message = format!("source `{name}` needs a `preset` ({}) or an `algorithm`", preset_names());
            return Err(error(span, message));
        }
        None => {}
    }
    let keys = Keys::deserialize(ValueDeserializer::from(Spanned::new(span.clone(), DeValue::Table(keys))))?;
    let spec = SourceSpec::deserialize(ValueDeserializer::from(Spanned::new(span, DeValue::Table(spec))))?;
    Ok(SourcePlan {
        spec: Arc::new(spec),
        secrets: secrets(&keys),
        rate_per_minute: keys.rate_per_minute,
        cooldown: Duration::from_secs(keys.cooldown_seconds),
    })
}

/// What a contract without `[sources]` has, for the names that it may send as.
pub fn seed_default(name: &str) -> Option<SourcePlan> {
    let secret = match name {
        "github" => "HMAC_SECRET_GITHUB",
        "linear" => "HMAC_SECRET_LINEAR",
        _ => return None,
    };
    Some(SourcePlan {
        spec: Arc::new(preset(name)?),
        secrets: vec![SecretRef::Env(secret.to_owned())],
        rate_per_minute: None,
        cooldown: Duration::ZERO,
    })
}

/// What a source has that only an ingress which knows its senders names.
pub fn vouched_for() -> Option<SourcePlan> {
    Some(SourcePlan {
        spec: Arc::new(preset("kafka")?),
        secrets: Vec::new(),
        rate_per_minute: None,
        cooldown: Duration::ZERO,
    })
}

/// The keys of `[sources.<name>]` as JSON Schema.
pub fn schema(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = Keys::json_schema(generator);
    let spec = SourceSpec::json_schema(generator);
    let more = spec.get("properties").and_then(serde_json::Value::as_object).cloned().unwrap_or_default();
    if let Some(properties) = schema.get_mut("properties").and_then(serde_json::Value::as_object_mut) {
        properties.extend(more);
        if let Some(preset) = properties.get_mut("preset").and_then(serde_json::Value::as_object_mut) {
            preset.insert("enum".to_owned(), PRESETS.iter().map(|preset| preset.name).collect());
        }
    }
    schema
}

/// The names of a table's keys, so that no list of them is written twice.
pub(super) fn names<T: JsonSchema>() -> Vec<String> {
    let schema = SchemaGenerator::default().into_root_schema_for::<T>();
    let properties = schema.get("properties").and_then(serde_json::Value::as_object);
    properties.map(|properties| properties.keys().cloned().collect()).unwrap_or_default()
}

/// Parts the scheme's keys from the others.
fn split(written: DeTable<'_>) -> Result<(DeTable<'_>, DeTable<'_>), Error> {
    let (own, scheme) = (names::<Keys>(), names::<SourceSpec>());
    let (mut keys, mut spec) = (DeTable::new(), DeTable::new());
    for (key, value) in written {
        let name = key.get_ref().as_ref();
        if own.iter().any(|known| known == name) {
            keys.insert(key, value);
        } else if scheme.iter().any(|known| known == name) {
            spec.insert(key, value);
        } else {
            let known: Vec<String> = own.iter().chain(&scheme).map(|known| format!("`{known}`")).collect();
            let message = format!("unknown field `{name}`, expected one of {}", known.join(", "));
            return Err(error(key.span(), message));
        }
    }
    Ok((keys, spec))
}

/// Adds the preset's keys where nothing else is written.
fn inherit(spec: &mut DeTable<'_>, span: std::ops::Range<usize>, name: &str) -> Result<(), Error> {
    let Some(preset) = PRESETS.iter().find(|preset| preset.name == name) else {
        return Err(error(span, unknown_preset(name)));
    };
    let own_scheme = spec.contains_key("algorithm");
    for (key, value) in DeTable::parse(preset.text)?.into_inner() {
        let replaced = own_scheme && VERIFICATION.contains(&key.get_ref().as_ref());
        if !replaced && !spec.contains_key(key.get_ref().as_ref()) {
            spec.insert(key, value);
        }
    }
    Ok(())
}

fn secrets(keys: &Keys) -> Vec<SecretRef> {
    let variables = keys.secret_env.iter().chain(&keys.secrets_env).cloned().map(SecretRef::Env);
    variables.chain(keys.secret_file.clone().map(SecretRef::File)).collect()
}

fn unknown_preset(name: &str) -> String {
    let near = PRESETS.iter().map(|preset| (strsim::jaro_winkler(preset.name, name), preset.name));
    let near = near.filter(|(score, _)| *score > 0.75).max_by(|a, b| a.0.total_cmp(&b.0));
    let hint = near.map(|(_, near)| format!(", did you mean `{near}`?")).unwrap_or_default();
    format!("no preset is called `{name}`{hint} expected one of {}", preset_names())
        .replace("` expected", "`, expected")
}

fn preset_names() -> String {
    PRESETS.iter().map(|preset| format!("`{}`", preset.name)).collect::<Vec<_>>().join(", ")
}

/// An error at a place in the contract, which `toml` only makes while it reads a value.
fn error(span: std::ops::Range<usize>, message: String) -> Error {
    struct Refuse(String);

    impl<'de> Visitor<'de> for Refuse {
        type Value = Error;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(&self.0)
        }

        fn visit_newtype_struct<D: Deserializer<'de>>(self, _: D) -> Result<Error, D::Error> {
            Err(D::Error::custom(self.0))
        }
    }

    let place = ValueDeserializer::from(Spanned::new(span, DeValue::Boolean(false)));
    place.deserialize_newtype_struct("", Refuse(message)).unwrap_or_else(|error| error)
}
