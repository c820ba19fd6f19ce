//! Every row of every table keeps the promises that rows make.

use std::collections::BTreeSet;

use hook_core::driver::{Driver, Problem};
use schemars::{Schema, SchemaGenerator};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::support::{DRIVERS, EGRESS, INGRESS};

type Parse = dyn Fn(&str) -> Result<Vec<Problem>, String>;

/// A row, whichever table it is from.
struct Row {
    name: &'static str,
    summary: &'static str,
    example: &'static str,
    schema: Schema,
    parse: Box<Parse>,
}

fn table(text: &str) -> Spanned<DeValue<'_>> {
    let parsed = DeTable::parse(text).unwrap();
    Spanned::new(parsed.span(), DeValue::Table(parsed.into_inner()))
}

fn row<T: ?Sized>(driver: &'static Driver<T>, check: fn(&T) -> Vec<Problem>) -> Row {
    Row {
        name: driver.name,
        summary: driver.summary,
        example: driver.example,
        schema: (driver.schema)(&mut SchemaGenerator::default()),
        parse: Box::new(move |text| {
            (driver.parse)(table(text)).map(|config| check(&config)).map_err(|error| error.to_string())
        }),
    }
}

fn rows() -> Vec<Row> {
    let ingress = DRIVERS.ingress.iter().map(|driver| row(driver, |config| config.check()));
    ingress.chain(DRIVERS.egress.iter().map(|driver| row(driver, |config| config.check()))).collect()
}

#[test]
fn rows_are_alphabetical_and_unique() {
    let sorted = |names: Vec<&str>| names.is_sorted_by(|a, b| a < b);
    assert!(sorted(INGRESS.iter().map(|driver| driver.name).collect()));
    assert!(sorted(EGRESS.iter().map(|driver| driver.name).collect()));
    let names: BTreeSet<&str> = rows().iter().map(|row| row.name).collect();
    assert_eq!(names.len(), INGRESS.len() + EGRESS.len());
}

#[test]
fn every_example_parses_and_has_no_problem() {
    for row in rows() {
        assert_eq!((row.parse)(row.example), Ok(vec![]), "{}", row.name);
    }
}

#[test]
fn every_row_is_a_sentence() {
    for row in rows() {
        let sentence = row.summary.starts_with(char::is_uppercase) && row.summary.ends_with('.');
        assert!(sentence && row.summary.len() < 80, "{}: {}", row.name, row.summary);
    }
}

#[test]
fn every_key_is_documented() {
    for row in rows() {
        let schema = row.schema.as_value();
        let keys = schema["properties"].as_object().unwrap();
        assert!(!keys.is_empty(), "{}", row.name);
        assert_eq!(schema["additionalProperties"], false, "{}", row.name);
        for (key, property) in keys {
            let docs = property["description"].as_str().unwrap_or_default();
            assert!(docs.ends_with('.') && docs.len() > 20, "{}.{key}: `{docs}`", row.name);
        }
    }
}

#[test]
fn an_unknown_key_is_an_error_that_lists_the_known_ones() {
    for row in rows() {
        let error = (row.parse)(&format!("{}\nno_such_key = 1\n", row.example)).unwrap_err();
        let known = row.schema.as_value()["properties"].as_object().unwrap().keys().next().unwrap();
        assert!(error.contains("no_such_key") && error.contains(known), "{}: {error}", row.name);
    }
}

#[test]
fn a_seed_contract_keeps_working() {
    let check = |name: &str, text: &str| {
        let rows = rows();
        let row = rows.iter().find(|row| row.name == name).unwrap();
        assert_eq!((row.parse)(text), Ok(vec![]), "{name}");
    };
    check("http_webhook_ingress", "bind = \"0.0.0.0:8080\"\npath_template = \"/webhook/{source}\"\n");
    check("kafka_ingress", "topics = [\"orders\"]\ngroup_id = \"hook\"\nbrokers = [\"127.0.0.1:9092\"]\n");
    check("kafka_output", "topic = \"orders\"\nkey_mode = \"event_id\"\nbrokers = [\"127.0.0.1:9092\"]\n");
    check(
        "openclaw_http_output",
        "url = \"http://127.0.0.1:18789/hooks/agent\"\ntoken_env = \"OPENCLAW_WEBHOOK_TOKEN\"\ntimeout_seconds = 20\n",
    );
}
