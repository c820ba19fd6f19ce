//! `[sources.<name>]` as it is written, and what is said when it is wrong.

use std::{collections::BTreeSet, time::Duration};

use super::*;

fn refused(toml: &str, says: &str, blamed: &str) {
    let error = plan(toml).unwrap_err();
    assert!(error.message().contains(says), "{toml}: {}", error.message());
    assert_eq!(&toml[error.span().unwrap()], blamed, "{toml}");
}

#[test]
fn what_is_wrong_is_pointed_at() {
    refused("preset = 'githib'", "no preset is called `githib`, did you mean `github`?", "'githib'");
    refused("preset = 'xyz'", "no preset is called `xyz`, expected one of `bearer`, `discord`", "'xyz'");
    refused("preset = 7", "invalid type: integer", "7");
    refused("preset = 'github'\nprefx = 'a'", "unknown field `prefx`, expected one of `preset`", "prefx");
    refused("preset = 'github'\nprefx = 'a'", "`signature_headers`", "prefx");
    refused("preset = 'github'\nprefix = 7", "invalid type: integer", "7");
    refused("preset = 'github'\nevent_type = ['{x']", "`{` is not closed in `{x`", "['{x']");
    refused("preset = 'github'\ncontent = '{boddy}'", "`{boddy}` is not known here", "'{boddy}'");
    refused("preset = 'github'\nbatch = 'items'", "is not a JSON pointer", "'items'");
    refused("preset = 'linear'\ntimestamp = { unit = 'min' }", "unknown variant `min`", "'min'");
    refused("secret_env = 'S'", "needs a `preset` (`bearer`,", "secret_env = 'S'");
    refused("algorithm = 'hmac-sha256'", "missing field `event_type`", "algorithm = 'hmac-sha256'");
    refused("algorithm = 'hmac'", "unknown variant `hmac`", "'hmac'");
    let text = toml::de::DeTable::parse("a = 7").unwrap().into_inner().remove("a").unwrap();
    assert!(parse("test", text).unwrap_err().message().contains("has to be a table"));
}

#[test]
fn a_written_key_replaces_the_presets() {
    let plan = plan("preset = 'linear'\ntimestamp = { pointer = '/at', unit = 'ms' }\nsubject = []").unwrap();
    let linear = preset("linear").unwrap();
    assert_eq!(plan.spec.timestamp.as_ref().unwrap().tolerance_seconds, 300);
    assert_eq!(plan.spec.subject, []);
    assert_eq!(plan.spec.event_type, linear.event_type);
}

#[test]
fn an_algorithm_of_its_own_leaves_nothing_of_the_presets_scheme() {
    let plan =
        plan("preset = 'slack'\nalgorithm = 'equality'\nsignature_headers = ['X-Token']\nsecret_env = 'S'")
            .unwrap();
    assert_eq!(check(&plan), []);
    assert_eq!((plan.spec.prefix.as_str(), &plan.spec.timestamp, &plan.spec.content), ("", &None, &None));
    assert_eq!(plan.spec.event_type, preset("slack").unwrap().event_type);
}

#[test]
fn limits_and_secrets() {
    let plan = plan(
        "preset = 'github'\nsecret_env = 'A'\nsecrets_env = ['B', 'C']\nsecret_file = '/run/s'\nrate_per_minute = 500\ncooldown_seconds = 30",
    )
    .unwrap();
    let named: Vec<String> = plan.secrets.iter().map(ToString::to_string).collect();
    assert_eq!(named, ["A", "B", "C", "/run/s"]);
    assert_eq!((plan.rate_per_minute, plan.cooldown), (Some(500), Duration::from_secs(30)));
}

#[test]
fn contracts_without_sources_have_two() {
    for (name, secret) in [("github", "HMAC_SECRET_GITHUB"), ("linear", "HMAC_SECRET_LINEAR")] {
        let written = plan(&format!("preset = '{name}'\nsecret_env = '{secret}'")).unwrap();
        assert_eq!(seed_default(name), Some(written));
    }
    assert_eq!(seed_default("stripe"), None);
}

#[test]
fn the_schema_has_every_key_and_requires_none() {
    let mut generator = schemars::SchemaGenerator::default();
    let schema = schema(&mut generator);
    let keys: BTreeSet<&str> =
        schema.get("properties").unwrap().as_object().unwrap().keys().map(String::as_str).collect();
    for key in ["preset", "secret_env", "algorithm", "handshakes"] {
        assert!(keys.contains(key), "{key}");
    }
    assert_eq!(schema.get("required"), None);
    assert_eq!(schema.get("additionalProperties"), Some(&serde_json::Value::Bool(false)));
}

#[test]
fn what_cannot_work_is_found_before_it_runs() {
    const HMAC: &str =
        "algorithm = 'hmac-sha256'\nsignature_headers = ['X-S']\nevent_type = ['e']\nsecret_env = 'S'\n";
    const NONE: &str = "algorithm = 'none'\nevent_type = ['e']\n";
    const STANDARD: &str = "algorithm = 'standard-webhooks'\nsignature_headers = ['X-S']\nevent_type = ['e']\nsecret_env = 'S'\n";
    let found = |base: &str, keys: &str, expected: &[(&str, &str)]| {
        let problems = check(&plan(&format!("{base}{keys}")).unwrap());
        let found: Vec<&str> = problems.iter().map(|problem| problem.key).collect();
        let keys_expected: Vec<&str> = expected.iter().map(|(key, _)| *key).collect();
        assert_eq!(found, keys_expected, "{base}{keys}: {problems:?}");
        for (problem, (_, says)) in problems.iter().zip(expected) {
            assert!(problem.message.contains(says), "{keys}: {}", problem.message);
        }
    };
    found("preset = 'github'", "", &[("secret_env", "no secret is named")]);
    found("preset = 'none'", "", &[]);
    found("preset = 'none'\nsecret_env = 'S'", "", &[("secret_env", "uses no secret")]);
    found("preset = 'github'\nsecret_env = 'hunter2!'", "", &[("secret_env", "never the secret itself")]);
    found("preset = 'kafka'", "", &[]);
    found("preset = 'kafka'\nsecret_env = 'S'", "", &[("secret_env", "`transport` uses no secret")]);
    for key in [
        "signature_headers = ['X']",
        "prefix = 'a'",
        "encoding = 'hex'",
        "separator = ','",
        "signature_field = 'a'",
        "content = '{body}'",
        "id_header = 'X'",
        "public_url = 'https://a.example'",
        "secret_encoding = 'hex'",
        "timestamp = { header = 'X' }",
    ] {
        let name = key.split(' ').next().unwrap();
        found(NONE, key, &[(name, "has no use with the algorithm `none`")]);
        found("preset = 'kafka'\n", key, &[(name, "has no use with the algorithm `transport`")]);
    }
    found("preset = 'svix'\nsecret_env = 'S'\n", "content = '{body}'", &[("content", "has no use")]);
    found("preset = 'gitlab'\nsecret_env = 'S'\n", "id_header = 'X'", &[("id_header", "has no use")]);
    found(STANDARD, "", &[("id_header", "is needed"), ("timestamp", "is needed")]);
    found(HMAC, "separator = ''", &[("separator", "is empty")]);
    found(HMAC, "encoding = 'plain'", &[("encoding", "is for tokens")]);
    found(HMAC, "content = 'x'", &[("content", "leaves `{body}` unsigned")]);
    found(HMAC, "content = '{id}{body}'", &[("id_header", "is needed")]);
    found(HMAC, "content = '{url}{body}'", &[("public_url", "is needed")]);
    found(HMAC, "content = '{timestamp}{body}'", &[("timestamp", "is needed")]);
    found(HMAC, "id_header = 'X'", &[("id_header", "is not in `content`")]);
    found(HMAC, "public_url = 'https://a.example'", &[("public_url", "is not in `content`")]);
    found(HMAC, "content = '{url}{body}'\npublic_url = 'a'", &[("public_url", "is not a URL")]);
    found(HMAC, "timestamp = {}", &[("timestamp", "exactly one of")]);
    found(HMAC, "timestamp = { header = 'X', pointer = '/t' }", &[("timestamp", "exactly one of")]);
    found(HMAC, "timestamp = { field = 't' }", &[("timestamp", "needs a `separator`")]);
    found(HMAC, "timestamp = { header = 'X', tolerance_seconds = 0 }", &[("timestamp", "takes nothing")]);
    found("preset = 'none'\n", "event_type = []", &[("event_type", "is empty")]);
    found(NONE, "form_field = ''", &[("form_field", "is empty")]);
    found(NONE, "rate_per_minute = 0", &[("rate_per_minute", "takes nothing")]);
    found(NONE, "reply = { status = 7 }", &[("reply", "not an HTTP status")]);
    found(NONE, "reply = { content_type = '' }", &[("reply", "not a media type")]);
    found(NONE, "reply = { status = 204, body = 'x' }", &[("reply", "carries no `body`")]);
    found(
        NONE,
        "handshakes = [{ method = 'get', when = { '{X}' = '1' } }]",
        &[("handshakes", "in capitals")],
    );
    found(NONE, "handshakes = [{ when = {} }]", &[("handshakes", "`when` is empty")]);
    found(
        NONE,
        "handshakes = [{ when = { a = 'a' }, status = 99 }]",
        &[("handshakes", "not an HTTP status")],
    );
    found(NONE, "handshakes = [{ when = { a = 'a' }, echo = 'a', json = 1 }]", &[("handshakes", "either")]);
    found(NONE, "handshakes = [{ when = { a = 'a' }, json = ['{'] }]", &[("handshakes", "not closed")]);
}
