//! What a believed request may look like, and what becomes of it.

use super::*;

const NONE: &str = "algorithm = \"none\"\nevent_type = [\"{/type}\", \"{X-Event}\"]";

fn read(keys: &str, raw: RawEvent) -> Result<Vec<Draft>, Refusal> {
    let source = source(&format!("{NONE}\n{keys}"), &[]);
    source.normalize(source.verify(raw, at(0))?)
}

fn malformed(body: impl Into<Bytes>, says: &str) {
    let body = body.into();
    let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
    match read("", post(body, &[])) {
        Err(Refusal::Malformed(reason)) => assert!(reason.contains(says), "{shown}: {reason}"),
        other => panic!("{shown}: {other:?}"),
    }
}

fn nested(depth: usize) -> String {
    format!("{{\"type\":\"deep\",\"x\":{}{}}}", "[".repeat(depth), "]".repeat(depth))
}

#[test]
fn what_is_not_an_event_is_refused_with_the_reason() {
    malformed("", "the body is empty");
    malformed("{", "ends too early");
    malformed("{} {}", "is not JSON");
    malformed("{\"type\":\"a\",}", "is not JSON");
    malformed("\u{feff}{}", "is not JSON");
    malformed("{\"type\":\"\\ud800\"}", "is not JSON");
    malformed(&b"{\"type\":\"\xff\"}"[..], "is not UTF-8");
    malformed(nested(200), "is nested too deeply");
    malformed("{}", "the event's type is missing, expected `{/type}` or `{x-event}`");
    malformed("{\"type\":{}}", "the event's type is missing");
    malformed("{\"type\":\"\"}", "the event's type is missing");
    malformed("{\"type\":\"a\\nb\"}", "control characters");
    malformed(format!("{{\"type\":\"{}\"}}", "a".repeat(513)), "longer than 512 bytes");
    assert!(read("", post(nested(100), &[])).is_ok());
}

#[test]
fn the_reason_never_shows_what_was_sent() {
    let Err(refusal) = read("", post("{\"type\": hunter2}", &[])) else { panic!() };
    assert!(!refusal.to_string().contains("hunter2"), "{refusal}");
}

#[test]
fn media_types() {
    let taken = |media: &str| read("", post("{\"type\":\"a\"}", &[("content-type", media)])).is_ok();
    for media in ["application/json", "Application/JSON; charset=utf-8", "application/cloudevents+json", ""] {
        assert!(taken(media), "{media}");
    }
    for media in
        ["text/plain", "application/xml", "application/x-www-form-urlencoded", "image/svg+json", "json"]
    {
        let result = read("", post("{\"type\":\"a\"}", &[("content-type", media)]));
        assert_eq!(result, Err(Refusal::UnsupportedMediaType(media.to_owned())));
    }
}

#[test]
fn the_payload_is_what_was_sent_and_never_written_anew() {
    let body = " { \"type\" : \"a\",\n\t\"n\": 1.0e2, \"s\": \"caf\\u00e9 \\/\", \"type\" : \"b\" } ";
    let drafts = read("", post(body, &[])).unwrap();
    assert_eq!(drafts[0].payload, body);
    assert_eq!(drafts[0].event_type, "b", "of a repeated key the last value counts");
    assert_eq!(drafts[0].flags, ["unverified"]);
}

#[test]
fn a_form_may_carry_the_event() {
    let form = |body: &'static str| {
        read("form_field = \"payload\"", post(body, &[("content-type", "application/x-www-form-urlencoded")]))
    };
    let drafts = form("a=1&payload=%7B%22type%22%3A%22a+b%22%7d&z").unwrap();
    assert_eq!((drafts[0].event_type.as_str(), &drafts[0].payload[..]), ("a b", &br#"{"type":"a b"}"#[..]));
    for (body, says) in [
        ("a=1", "the form has no field `payload`"),
        ("payload=", "is not JSON"),
        ("payload=%ff", "is not UTF-8"),
        ("payload={}&payload={}", "more than once"),
        ("payload=%7", "is not JSON"),
    ] {
        match form(body) {
            Err(Refusal::Malformed(reason)) => {
                assert!(
                    reason.contains(says) || says == "is not JSON" && reason.contains("ends"),
                    "{reason}"
                );
            }
            other => panic!("{body}: {other:?}"),
        }
    }
}

#[test]
fn github_signs_a_form_over_the_form() {
    let body = "payload=%7B%22action%22%3A%22opened%22%2C%22number%22%3A42%2C%22pull_request%22%3A%7B%22number%22%3A42%2C%22title%22%3A%22caf%5Cu00e9%22%7D%2C%22repository%22%3A%7B%22full_name%22%3A%22acme%2Fapi%22%7D%7D";
    let signature = "sha256=27e22b8f3f7744c4e600918775dce7c2dd009f1a9c18cd743931c485e540f038";
    let source = source("preset = \"github\"\nsecret_env = \"S\"", &[("S", "s3cret-for-tests")]);
    let headers = [
        ("content-type", "application/x-www-form-urlencoded"),
        ("x-hub-signature-256", signature),
        ("x-github-event", "pull_request"),
    ];
    let draft = draft(&source, post(body, &headers), at(0)).unwrap();
    assert_eq!(draft.subject.as_deref(), Some("acme/api#42"));
    assert_eq!(
        draft.payload,
        r#"{"action":"opened","number":42,"pull_request":{"number":42,"title":"caf\u00e9"},"repository":{"full_name":"acme/api"}}"#
    );
}

#[test]
fn a_batch_becomes_events_with_ids_of_their_own() {
    let batch = "batch = \"/events\"\ndelivery_id = [\"{/id}\", \"{X-Delivery}\"]";
    let body = r#"{"events":[{"type":"a", "n":1},{"type":"b","id":"own"}],"type":"whole"}"#;
    let drafts = read(batch, post(body, &[("x-delivery", "d1")])).unwrap();
    let told: Vec<(&str, Option<&str>, &[u8])> =
        drafts.iter().map(|d| (d.event_type.as_str(), d.delivery_id.as_deref(), &d.payload[..])).collect();
    assert_eq!(
        told,
        [
            ("a", Some("d1.0"), &br#"{"type":"a", "n":1}"#[..]),
            ("b", Some("own"), &br#"{"type":"b","id":"own"}"#[..]),
        ]
    );
}

#[test]
fn a_batch_may_be_the_whole_body_and_has_to_be_an_array() {
    let drafts = read("batch = \"\"", post(r#"[{"type":"a"},{"type":"b"}]"#, &[])).unwrap();
    assert_eq!(drafts.len(), 2);
    assert_eq!(read("batch = \"\"", post("[]", &[])), Ok(Vec::new()));
    for body in ["{}", r#"{"events":{}}"#, "7", r#"{"events":null}"#] {
        let result = read("batch = \"/events\"", post(body, &[]));
        assert_eq!(result, Err(Refusal::Malformed("the body has no array at `/events`".into())), "{body}");
    }
    let deep = format!("[{}]", nested(200));
    assert!(matches!(read("batch = \"\"", post(deep, &[])), Err(Refusal::Malformed(_))));
    let one_bad = read("batch = \"\"", post(r#"[{"type":"a"},{}]"#, &[]));
    assert!(matches!(one_bad, Err(Refusal::Malformed(_))), "all of a batch or none of it");
}

#[test]
fn a_repeated_header_names_nothing() {
    let raw = post("{}", &[("x-event", "a"), ("x-event", "b")]);
    assert!(matches!(read("", raw), Err(Refusal::Malformed(_))));
}

#[test]
fn a_subject_is_shortened_and_never_a_reason_to_refuse() {
    let body = format!(r#"{{"type":"a","s":"\n{}"}}"#, "é".repeat(300));
    let drafts = read("subject = ['{/s}']", post(body.clone(), &[])).unwrap();
    assert_eq!(drafts[0].subject, Some(format!(" {}", "é".repeat(255))));
    assert_eq!(drafts[0].ordering_key, drafts[0].subject);
    let delivery = read("delivery_id = ['{/s}']", post(body, &[]));
    assert!(matches!(delivery, Err(Refusal::Malformed(_))));
}
