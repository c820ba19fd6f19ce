//! Records of every kind, and what the pipeline would be given of them.

use super::*;
use crate::testing::event;

fn record(value: Option<&[u8]>, headers: &[(&str, &str)]) -> Record {
    let headers =
        headers.iter().map(|(name, value)| ((*name).to_owned(), Bytes::copy_from_slice(value.as_bytes())));
    Record {
        topic: "orders".to_owned(),
        partition: 3,
        offset: 17,
        timestamp: Some(1_753_000_000_000),
        key: Some(Bytes::from_static(b"k")),
        value: value.map(Bytes::copy_from_slice),
        headers: headers.collect(),
    }
}

#[track_caller]
fn check(record: &Record, body: &[u8], headers: &[(&str, &str)]) {
    let request = record.request().unwrap();
    assert_eq!(request.body, body);
    for (name, value) in headers {
        let found = request.headers.get(*name).map(|value| std::str::from_utf8(value.as_bytes()).unwrap());
        assert_eq!(found, (!value.is_empty()).then_some(*value), "{name}");
    }
    assert_eq!(request.headers[CONTENT_TYPE], "application/json");
}

#[test]
fn values_that_are_json_stay_and_others_are_wrapped() {
    let value = |value: &[u8], body: &[u8]| check(&record(Some(value), &[]), body, &[]);
    value(b"{\"a\" : 1.50}\n", b"{\"a\" : 1.50}\n");
    value(b"7", b"7");
    value("Zürich \"x\"".as_bytes(), "{\"text\":\"Zürich \\\"x\\\"\"}".as_bytes());
    value(b"", b"{\"text\":\"\"}");
    value(&[0xff, 0x00], b"{\"base64\":\"/wA=\"}");
    check(&record(None, &[]), b"null", &[]);
    // What says that it is JSON and is not is for the pipeline to refuse.
    check(&record(Some(b"{"), &[("content-type", "application/json")]), b"{", &[]);
    check(&record(Some(b"a=1"), &[("Content-Type", "text/plain")]), b"{\"text\":\"a=1\"}", &[]);
}

#[test]
fn place_and_key_are_headers_that_nobody_can_forge() {
    let forged =
        [("kafka-record", "other"), ("Kafka-Key", "other"), ("kafka-topic", "other"), ("x-team", "a")];
    let mut record = record(Some(b"{}"), &forged);
    let place = [
        ("kafka-topic", "orders"),
        ("kafka-partition", "3"),
        ("kafka-offset", "17"),
        ("kafka-record", "orders/3/17/1753000000000"),
        ("x-team", "a"),
    ];
    check(&record, b"{}", &place);
    for (key, expected) in [
        (Some(&b"k"[..]), "k"),
        (Some("Zürich".as_bytes()), "Zürich"),
        (Some(b"a\nb"), "base64:YQpi"),
        (Some(&[0xff]), "base64:/w=="),
        (Some(b""), ""),
        (None, ""),
    ] {
        record.key = key.map(Bytes::copy_from_slice);
        check(&record, b"{}", &[("kafka-key", expected)]);
    }
    record.timestamp = None;
    check(&record, b"{}", &[("kafka-record", "orders/3/17")]);
}

#[test]
fn headers_that_cannot_be_written_are_left_out() {
    let mut record = record(Some(b"{}"), &[("no name", "1"), ("", "2"), ("x-a", "1"), ("x-a", "2")]);
    record.headers.push(("x-b".to_owned(), Bytes::from_static(b"a\nb")));
    let headers = record.request().unwrap().headers;
    assert_eq!(headers.get_all("x-a").iter().count(), 2);
    assert!(!headers.contains_key("x-b"));
}

#[test]
fn an_envelope_is_what_it_holds() {
    let event = event(b"{\"n\" : 1}");
    let forged = [("hook-event-type", "other"), ("webhook-id", "other")];
    let named = [
        ("webhook-id", event.id.to_string()),
        ("hook-source", "github".to_owned()),
        ("hook-event-type", "pull_request.opened".to_owned()),
        ("hook-subject", "acme/api#42".to_owned()),
        ("hook-ordering-key", "acme/api".to_owned()),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-abababababababab-01".to_owned()),
    ];
    let named: Vec<_> = named.iter().map(|(name, value)| (*name, value.as_str())).collect();
    check(&record(Some(&event.encode()), &forged), b"{\"n\" : 1}", &named);
    // The seed's have the same form.
    let seed = br#"{"id":"0198f3c2-0000-7000-8000-000000000001","source":"linear","event_type":"Issue.create","received_at":"2026-03-04T05:06:07Z","payload":{"x":1},"meta":{"trace_id":"t"}}"#;
    let named = [
        ("webhook-id", "0198f3c2-0000-7000-8000-000000000001"),
        ("hook-subject", ""),
        ("hook-source", "linear"),
    ];
    check(&record(Some(seed), &[]), b"{\"x\":1}", &named);
}

#[test]
fn a_cloudevent_is_the_same_in_both_modes() {
    let attributes = [
        ("ce_specversion", "1.0"),
        ("ce_id", "A234"),
        ("ce_source", "/orders"),
        ("ce_type", "order.placed"),
        ("ce_subject", "Zürich"),
        ("ce_traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    ];
    let expected: Vec<_> = attributes.iter().copied().chain([("traceparent", attributes[5].1)]).collect();
    let binary: Vec<_> = attributes.iter().copied().chain([("content-type", "application/json")]).collect();
    check(&record(Some(b"{\"n\": 1}"), &binary), b"{\"n\": 1}", &expected);
    let text: Vec<_> = attributes.iter().copied().chain([("content-type", "text/plain")]).collect();
    check(&record(Some(b"hello"), &text), b"{\"text\":\"hello\"}", &expected);

    let head = r#"{"specversion":"1.0","id":"A234","source":"/orders","type":"order.placed","subject":"Zürich","traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01","#;
    for (data, body) in [
        (r#""data":{"n": 1}}"#, &b"{\"n\": 1}"[..]),
        (r#""datacontenttype":"text/plain","data":"hello"}"#, b"\"hello\""),
        (r#""data_base64":"/wA="}"#, b"{\"base64\":\"/wA=\"}"),
        (r#""data_base64":"e30="}"#, b"{}"),
        (r#""data":null}"#, b"null"),
    ] {
        let value = format!("{head}{data}");
        let headers = [("content-type", "application/cloudevents+json; charset=UTF-8"), ("ce_id", "other")];
        check(&record(Some(value.as_bytes()), &headers), body, &expected);
    }
}

#[test]
fn what_says_that_it_is_a_cloudevent_and_is_none_is_refused() {
    let refused = |value: &[u8], headers: &[(&str, &str)], says: &str| {
        let refusal = record(Some(value), headers).request().err().unwrap();
        assert!(refusal.to_string().contains(says), "{headers:?}: {refusal}");
        assert!(!refusal.to_string().contains("s3cret"), "{refusal}");
    };
    let structured = [("content-type", "application/cloudevents+json")];
    refused(b"\"s3cret\"", &structured, "no JSON object at line 1");
    refused(b"{\"s3cret", &structured, "no JSON object");
    refused(b"{}", &structured, "`specversion` is missing");
    refused(br#"{"specversion":"1.0","id":"1","source":"/a"}"#, &structured, "`type` is missing");
    refused(b"{}", &[("ce_specversion", "1.0"), ("ce_id", "1"), ("ce_source", "/a")], "`type` is missing");
    refused(b"{}", &[("ce_specversion", "0.3")], "is not `1.0`");
    refused(b"[]", &[("content-type", "application/cloudevents-batch+json")], "cloudevents-batch");
    refused(b"", &[("content-type", "application/cloudevents+avro")], "cloudevents+avro");
}
