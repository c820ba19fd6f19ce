//! No key is accepted and ignored: each changes what happens to some request.

use std::collections::BTreeSet;

use super::*;
use crate::source::contract::names;

const BODY: &str = r#"{"type":"ping","id":"1"}"#;
const HEX: &str = "74475c88447567e69d8e90828e0afc10c58344c26ccf2cd23f18e094093a6ab3";
const HMAC: &str =
    "algorithm = 'hmac-sha256'\nsignature_headers = ['X-Sig']\nevent_type = ['event']\nsecret_env = 'S'";
const NONE: &str = "algorithm = 'none'\nevent_type = ['event']";
const TIMED: &str =
    "algorithm = 'equality'\nsignature_headers = ['X-Sig']\nevent_type = ['event']\nsecret_env = 'S'";

/// A key, a contract, what is written instead of what, and the request that tells them apart.
struct Row {
    key: &'static str,
    base: &'static str,
    one: &'static str,
    other: &'static str,
    headers: &'static [(&'static str, &'static str)],
}

const fn row(
    key: &'static str,
    base: &'static str,
    one: &'static str,
    other: &'static str,
    headers: &'static [(&'static str, &'static str)],
) -> Row {
    Row { key, base, one, other, headers }
}

const ROWS: &[Row] = &[
    row(
        "algorithm",
        "signature_headers = ['X-Sig']\nevent_type = ['event']\nsecret_env = 'S'",
        "algorithm = 'hmac-sha256'",
        "algorithm = 'hmac-sha512'",
        &[("x-sig", HEX)],
    ),
    row(
        "signature_headers",
        "algorithm = 'hmac-sha256'\nevent_type = ['event']\nsecret_env = 'S'",
        "signature_headers = ['X-Sig']",
        "signature_headers = ['X-Other']",
        &[("x-sig", HEX)],
    ),
    row("prefix", HMAC, "", "prefix = 'a='", &[("x-sig", HEX)]),
    row("encoding", HMAC, "", "encoding = 'base64'", &[("x-sig", HEX)]),
    row(
        "separator",
        HMAC,
        "separator = ';'",
        "separator = ','",
        &[("x-sig", "00,74475c88447567e69d8e90828e0afc10c58344c26ccf2cd23f18e094093a6ab3")],
    ),
    row(
        "signature_field",
        HMAC,
        "signature_field = 'a'",
        "signature_field = 'b'",
        &[("x-sig", "a=74475c88447567e69d8e90828e0afc10c58344c26ccf2cd23f18e094093a6ab3")],
    ),
    row("content", HMAC, "", "content = '{body}.'", &[("x-sig", HEX)]),
    row(
        "id_header",
        "algorithm = 'hmac-sha256'\nsignature_headers = ['X-Sig']\nevent_type = ['event']\nsecret_env = 'S'\ncontent = '{id}|{body}'",
        "id_header = 'X-Id'",
        "id_header = 'X-Other'",
        &[("x-sig", "d4c973d9d09e5f60be4fd02189d9b109bcf32704c28b68e7914637c1ca9a2b2c"), ("x-id", "abc")],
    ),
    row(
        "public_url",
        "algorithm = 'hmac-sha256'\nsignature_headers = ['X-Sig']\nevent_type = ['event']\nsecret_env = 'S'\ncontent = '{method} {url} {body}'",
        "public_url = 'https://hooks.example.com'",
        "public_url = 'https://other.example.com'",
        &[("x-sig", "09c4eecc288c38102d8b2b5d3b13a22be8935b5ec38597333d224f520694e732")],
    ),
    row("secret_encoding", HMAC, "", "secret_encoding = 'hex'", &[("x-sig", HEX)]),
    row("timestamp", TIMED, "", "timestamp = { header = 'X-T' }", &[("x-sig", "00ff")]),
    row(
        "timestamp.header",
        TIMED,
        "timestamp = { header = 'X-T' }",
        "timestamp = { header = 'X-U' }",
        &[("x-sig", "00ff"), ("x-t", "1700000000")],
    ),
    row(
        "timestamp.field",
        "algorithm = 'equality'\nsignature_headers = ['X-Sig']\nevent_type = ['event']\nsecret_env = 'S'\nseparator = ','\nsignature_field = 'v'",
        "timestamp = { field = 't' }",
        "timestamp = { field = 'u' }",
        &[("x-sig", "v=00ff,t=1700000000")],
    ),
    row(
        "timestamp.pointer",
        TIMED,
        "timestamp = { pointer = '/id', tolerance_seconds = 1800000000 }",
        "timestamp = { pointer = '/no' }",
        &[("x-sig", "00ff")],
    ),
    row(
        "timestamp.unit",
        TIMED,
        "timestamp = { header = 'X-T' }",
        "timestamp = { header = 'X-T', unit = 'ms' }",
        &[("x-sig", "00ff"), ("x-t", "1700000000")],
    ),
    row(
        "timestamp.tolerance_seconds",
        TIMED,
        "timestamp = { header = 'X-T' }",
        "timestamp = { header = 'X-T', tolerance_seconds = 9 }",
        &[("x-sig", "00ff"), ("x-t", "1700000010")],
    ),
    row("event_type", "algorithm = 'none'", "event_type = ['{/type}']", "event_type = ['{/id}']", &[]),
    row("delivery_id", NONE, "", "delivery_id = ['{/id}']", &[]),
    row("ordering_key", NONE, "", "ordering_key = ['{/id}']", &[]),
    row("subject", NONE, "", "subject = ['{/id}']", &[]),
    row(
        "form_field",
        NONE,
        "",
        "form_field = 'payload'",
        &[("content-type", "application/x-www-form-urlencoded")],
    ),
    row("batch", NONE, "", "batch = '/items'", &[]),
    row("handshakes", NONE, "", "handshakes = [{ when = { '{/id}' = '1' } }]", &[]),
    row(
        "handshakes.method",
        NONE,
        "handshakes = [{ when = { '{/id}' = '1' } }]",
        "handshakes = [{ when = { '{/id}' = '1' }, method = 'GET' }]",
        &[],
    ),
    row(
        "handshakes.signed",
        HMAC,
        "handshakes = [{ when = { '{/id}' = '1' } }]",
        "handshakes = [{ when = { '{/id}' = '1' }, signed = false }]",
        &[],
    ),
    row(
        "handshakes.when",
        NONE,
        "handshakes = [{ when = { '{/id}' = '1' } }]",
        "handshakes = [{ when = { '{/id}' = '2' } }]",
        &[],
    ),
    row(
        "handshakes.status",
        NONE,
        "handshakes = [{ when = { '{/id}' = '1' } }]",
        "handshakes = [{ when = { '{/id}' = '1' }, status = 204 }]",
        &[],
    ),
    row(
        "handshakes.echo",
        NONE,
        "handshakes = [{ when = { '{/id}' = '1' } }]",
        "handshakes = [{ when = { '{/id}' = '1' }, echo = '{/type}' }]",
        &[],
    ),
    row(
        "handshakes.json",
        NONE,
        "handshakes = [{ when = { '{/id}' = '1' } }]",
        "handshakes = [{ when = { '{/id}' = '1' }, json = { a = 1 } }]",
        &[],
    ),
    row(
        "handshakes.headers",
        NONE,
        "handshakes = [{ when = { '{/id}' = '1' } }]",
        "handshakes = [{ when = { '{/id}' = '1' }, headers = { X-A = '{/id}' } }]",
        &[],
    ),
    row("reply", NONE, "", "reply = {}", &[]),
    row("reply.status", NONE, "reply = {}", "reply = { status = 204 }", &[]),
    row("reply.content_type", NONE, "reply = {}", "reply = { content_type = 'application/json' }", &[]),
    row("reply.body", NONE, "reply = {}", "reply = { body = '[accepted]' }", &[]),
];

/// Everything that anybody could notice about one request.
fn outcome(keys: &str, headers: &[(&str, &str)]) -> String {
    let secret = if keys.contains("equality") { "00ff" } else { "s3cret-for-tests" };
    let secret = if keys.contains("secret_encoding") { "00ff" } else { secret };
    let plan = plan(keys).unwrap();
    let source = Source::build("test", &plan, &environment(&[("S", secret)])).unwrap();
    let raw = RawEvent { query: Some("a=1".to_owned()), ..post(BODY, headers) };
    let reply = source.reply();
    if let Some(answer) = source.preflight(&raw) {
        return format!("{answer:?} {reply:?}");
    }
    let verified = match source.verify(raw, at(1_700_000_000)) {
        Ok(verified) => verified,
        Err(refusal) => return format!("{refusal:?} {reply:?}"),
    };
    format!("{:?} {:?} {reply:?}", source.handshake(&verified), source.normalize(verified))
}

#[test]
fn every_key_changes_what_happens() {
    for row in ROWS {
        let of = |keys: &str| outcome(&format!("{}\n{keys}", row.base), row.headers);
        assert_ne!(of(row.one), of(row.other), "{}", row.key);
    }
}

#[test]
fn every_key_has_a_row() {
    let nested = [
        ("", names::<SourceSpec>()),
        ("timestamp.", names::<TimestampRule>()),
        ("handshakes.", names::<Handshake>()),
        ("reply.", names::<FixedReply>()),
    ];
    let known: BTreeSet<String> =
        nested.iter().flat_map(|(above, keys)| keys.iter().map(move |key| format!("{above}{key}"))).collect();
    let walked: BTreeSet<String> = ROWS.iter().map(|row| row.key.to_owned()).collect();
    assert_eq!(known, walked);
}

#[test]
fn the_keys_beside_the_scheme_change_the_plan() {
    let base = plan("preset = 'github'").unwrap();
    for key in [
        "secret_env = 'S'",
        "secrets_env = ['S']",
        "secret_file = 's'",
        "rate_per_minute = 7",
        "cooldown_seconds = 7",
    ] {
        assert_ne!(plan(&format!("preset = 'github'\n{key}")).unwrap(), base, "{key}");
    }
    assert_ne!(plan("preset = 'linear'").unwrap(), base);
}
