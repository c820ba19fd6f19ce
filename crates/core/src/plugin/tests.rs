//! Each plugin as a contract would write it.

use std::sync::Arc;

use bytes::Bytes;
use hook_event::{Entropy, Event, EventId, Meta};
use hook_sdk::{Chain, Context, Hook, Outcome, Point};
use jiff::Timestamp;
use serde_json::json;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::PLUGINS;

fn parse(name: &str, keys: &str) -> Result<Arc<dyn Hook>, String> {
    let driver = PLUGINS.iter().find(|driver| driver.name == name).expect("a driver of this name");
    let table = DeTable::parse(keys).expect("TOML").into_inner();
    (driver.parse)(Spanned::new(0..keys.len(), DeValue::Table(table)))
        .map_err(|error| error.message().to_owned())
}

fn event() -> Event {
    let received_at = Timestamp::from_second(1_753_000_000).unwrap();
    Event {
        id: EventId::new(received_at, Entropy::SYSTEM),
        source: "github".into(),
        event_type: "push".into(),
        received_at,
        meta: Meta { flags: vec!["seen".into()], ..Meta::default() },
        payload: Bytes::from_static(br#"{"a":{"b/c":[{"~":null}]},"":1}"#),
    }
}

async fn run(plugins: &[(&str, &str)], point: Point) -> Outcome {
    let mut chain = Chain::builder();
    for (name, keys) in plugins {
        chain = chain.hook(parse(name, keys).unwrap());
    }
    chain.build().run(event(), &Context { point, adapter: "http".into() }).await
}

#[test]
fn the_table_is_sorted_and_every_example_parses() {
    assert!(PLUGINS.is_sorted_by_key(|driver| driver.name));
    for driver in PLUGINS {
        let hook = parse(driver.name, driver.example).unwrap();
        assert_eq!(hook.name(), driver.name);
        assert!(!driver.summary.is_empty());
        let schema = (driver.schema)(&mut schemars::SchemaGenerator::default());
        assert!(schema.as_object().is_some(), "{}", driver.name);
    }
}

#[test]
fn what_is_refused() {
    for (name, keys, because) in [
        ("add_meta_flag", "", "missing field `flag`"),
        ("add_meta_flag", "flag = \"\"", "the text is empty"),
        ("add_meta_flag", "flag = 5", "invalid type"),
        ("add_meta_flag", "flag = \"a\"\nflags = 1", "unknown field `flags`"),
        ("event_type_alias", "from = \"a\"", "missing field `to`"),
        ("event_type_alias", "from = \"\"\nto = \"b\"", "the text is empty"),
        ("event_type_alias", "from = \"a\"\nto = \"b\"\nglob = true", "unknown field `glob`"),
        ("require_payload_field", "", "missing field `pointer`"),
        ("require_payload_field", "pointer = \"repository/id\"", "begin with `/`"),
        ("require_payload_field", "pointer = \"\"", "name a field such as"),
        ("require_payload_field", "pointer = \"/a~b\"", "`~0`"),
    ] {
        let error = parse(name, keys).err().unwrap_or_else(|| panic!("{name} took `{keys}`"));
        assert!(error.contains(because), "{name} with `{keys}`: {error}");
    }
}

#[test]
fn settings_are_the_keys_as_they_are_written() {
    for (name, settings) in [
        ("add_meta_flag", json!({ "flag": "reviewed" })),
        ("event_type_alias", json!({ "from": "pull_request.opened", "to": "review.requested" })),
        ("require_payload_field", json!({ "pointer": "/repository/id" })),
    ] {
        let driver = PLUGINS.iter().find(|driver| driver.name == name).unwrap();
        assert_eq!(parse(name, driver.example).unwrap().settings(), settings, "{name}");
    }
}

#[tokio::test]
async fn an_alias_renames_an_exact_match_only() {
    for (from, then) in [("push", "code.pushed"), ("pus", "push"), ("push*", "push"), ("Push", "push")] {
        let keys = format!("from = \"{from}\"\nto = \"code.pushed\"");
        let outcome = run(&[("event_type_alias", &keys)], Point::Accept).await;
        assert_eq!(outcome.event.event_type, then, "from `{from}`");
        assert_eq!(outcome.event.payload, event().payload);
    }
}

#[tokio::test]
async fn a_required_field_is_there_or_the_event_is_stopped() {
    for (pointer, passes) in [
        ("/a", true),
        ("/a/b~1c", true),
        ("/a/b~1c/0/~0", true),
        ("/", true),
        ("/a/b", false),
        ("/a/b~1c/1", false),
        ("/missing", false),
        ("/a/b~1c/0/~0/deeper", false),
    ] {
        let keys = format!("pointer = \"{pointer}\"");
        let denied = run(&[("require_payload_field", &keys)], Point::Accept).await.denied;
        let expected = (!passes).then(|| format!("the payload has no `{pointer}`"));
        assert_eq!(denied.map(|denial| denial.reason), expected, "{pointer}");
    }
}

#[tokio::test]
async fn a_flag_is_added_once_on_either_side() {
    for point in [Point::Accept, Point::Deliver] {
        let twice = [("add_meta_flag", "flag = \"new\""), ("add_meta_flag", "flag = \"new\"")];
        assert_eq!(run(&twice, point).await.event.meta.flags, ["seen", "new"]);
    }
}

#[tokio::test]
async fn they_run_in_the_order_written() {
    let alias = |from, to| ("event_type_alias", format!("from = \"{from}\"\nto = \"{to}\""));
    for (plugins, then) in [
        ([alias("push", "middle"), alias("middle", "end")], "end"),
        ([alias("middle", "end"), alias("push", "middle")], "middle"),
    ] {
        let plugins: Vec<_> = plugins.iter().map(|(name, keys)| (*name, keys.as_str())).collect();
        assert_eq!(run(&plugins, Point::Accept).await.event.event_type, then);
    }
}
