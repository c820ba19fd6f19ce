//! Sources that are believed for the transport they come over: never over HTTP.

use super::*;
use crate::ports::Transport;

const BODY: &str = r#"{"type":"order.placed","subject":"o1"}"#;

fn kafka(headers: &[(&str, &str)], protected: bool) -> RawEvent {
    let transport = Transport { by: "kafka:sasl_ssl".into(), protected };
    RawEvent { transport: Some(transport), ..post(BODY, headers) }
}

#[test]
fn what_comes_without_a_transport_that_knows_its_senders_is_refused() {
    let source = source("preset = 'kafka'", &[]);
    for headers in [&[][..], &[("kafka-record", "orders/0/1/1")], &[("transport", "kafka")]] {
        assert!(unverified(source.verify(post(BODY, headers), at(0))), "{headers:?}");
    }
}

#[test]
fn a_transport_is_no_proof_for_a_source_that_signs() {
    let source = source("preset = 'github'\nsecret_env = 'S'", &[("S", "s3cret")]);
    assert!(unverified(source.verify(kafka(&[], true), at(0))));
}

#[test]
fn the_event_says_how_it_was_believed_and_whether_that_can_be_forged() {
    let source = source("preset = 'kafka'", &[]);
    for (protected, flags) in [(true, &[][..]), (false, &["unverified"])] {
        let draft = draft(&source, kafka(&[], protected), at(0)).unwrap();
        assert_eq!(draft.verified_by, "transport:kafka:sasl_ssl");
        assert_eq!(draft.flags, flags);
    }
}

#[test]
fn a_record_is_named_by_the_first_that_says_so() {
    let check = |headers: &[(&str, &str)], expected: (&str, Option<&str>, Option<&str>, &str)| {
        let draft = draft(&source("preset = 'kafka'", &[]), kafka(headers, true), at(0)).unwrap();
        let found = (
            draft.event_type.as_str(),
            draft.delivery_id.as_deref(),
            draft.ordering_key.as_deref(),
            draft.subject.as_deref().unwrap(),
        );
        assert_eq!(found, expected, "{headers:?}");
    };
    check(&[], ("order.placed", None, Some("o1"), "o1"));
    check(
        &[("kafka-record", "t/0/7/1"), ("kafka-key", "Zürich")],
        ("order.placed", Some("t/0/7/1"), Some("Zürich"), "o1"),
    );
    check(
        &[
            ("kafka-record", "t/0/7/1"),
            ("kafka-key", "k"),
            ("ce_type", "ce"),
            ("ce_source", "/a"),
            ("ce_id", "1"),
            ("ce_subject", "s"),
            ("ce_partitionkey", "p"),
        ],
        ("ce", Some("/a/1"), Some("p"), "s"),
    );
    check(
        &[
            ("ce_type", "ce"),
            ("ce_source", "/a"),
            ("ce_id", "1"),
            ("webhook-id", "w"),
            ("hook-event-type", "own"),
            ("hook-subject", "own s"),
            ("hook-ordering-key", "own k"),
        ],
        ("own", Some("w"), Some("own k"), "own s"),
    );
}
