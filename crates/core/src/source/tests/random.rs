//! Whatever is sent or written, nothing panics, and looking into JSON sees what
//! everybody else sees.

use std::sync::LazyLock;

use proptest::{collection::vec, prelude::*};
use serde_json::Value;

use super::*;
use crate::source::json::Wanted;

static SOURCES: LazyLock<Vec<Source>> = LazyLock::new(every_source);

fn every_source() -> Vec<Source> {
    let presets = PRESETS.iter().map(|preset| {
        let secret = match preset.name {
            "discord" => ED25519_PRIVATE,
            _ => "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        };
        let named = preset.secret_env.map(|_| "secret_env = \"S\"").unwrap_or_default();
        source(&format!("preset = \"{}\"\n{named}", preset.name), &[("S", secret)])
    });
    let batch = source("preset = 'none'\nbatch = '/a'\nform_field = 'a'", &[]);
    presets.chain([batch]).collect()
}

/// Values near what the schemes look for.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{0,40}",
        "(t=|v1=|v0=|v1,|v1a,|sha256=|Bearer )?[0-9a-f=,]{0,70}",
        "-?[0-9]{1,20}",
        Just("application/x-www-form-urlencoded".to_owned()),
    ]
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..200),
        "(a|payload)=[%0-9a-f+{}\":]{0,60}".prop_map(String::into_bytes),
        json(),
    ]
}

fn json() -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,6}".prop_map(Value::from),
    ];
    let key = prop_oneof![Just("a".to_owned()), Just("type".to_owned()), Just("0".to_owned()), "[~/b]{0,2}"];
    let value = leaf.prop_recursive(5, 40, 4, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((key.clone(), inner), 0..4).prop_map(|pairs| pairs.into_iter().collect::<Value>()),
        ]
    });
    value.prop_map(|value| value.to_string().into_bytes())
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        _ => None,
    }
}

proptest! {
    #[test]
    fn no_request_panics(
        body in body(),
        values in vec(value(), 4),
        query in proptest::option::of(value()),
        sign in any::<bool>(),
        get in any::<bool>(),
    ) {
        for source in SOURCES.iter() {
            let mut raw = post(body.clone(), &[]);
            if sign {
                raw.headers.extend(source.sign(&body, at(0), ENTROPY, Some("a.b")));
            } else {
                let names = source.sign(b"{}", at(0), ENTROPY, Some("a")).into_iter().map(|(name, _)| name);
                for (name, value) in names.chain([http::header::CONTENT_TYPE]).zip(&values) {
                    raw.headers.append(name, HeaderValue::from_str(value).unwrap());
                }
            }
            raw.query = query.clone();
            raw.method = if get { Method::GET } else { Method::POST };
            let _ = source.preflight(&raw);
            if let Ok(verified) = source.verify(raw, at(0)) {
                let _ = source.handshake(&verified);
                let _ = source.normalize(verified);
            }
        }
    }

    #[test]
    fn no_text_panics_and_what_is_read_is_written_back(text in "[{}\\[\\]/?~a-z.]{0,20}") {
        let _ = Content::parse(&text);
        if let Ok(pointer) = Pointer::parse(&text) {
            prop_assert_eq!(pointer.to_string(), text.clone());
        }
        if let Ok(pick) = Pick::parse(&text) {
            prop_assert_eq!(pick.to_string(), text);
        }
    }

    #[test]
    fn looking_sees_what_a_parser_sees(text in json(), pointers in vec("(/(a|type|0|1|~0|~1b)){0,4}", 1..5)) {
        let text = String::from_utf8(text).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        let parsed: Vec<Pointer> = pointers.iter().map(|text| Pointer::parse(text).unwrap()).collect();
        let wanted = Wanted::of(parsed.iter());
        let found = wanted.scan(&text).unwrap();
        for (written, pointer) in pointers.iter().zip(&parsed) {
            let expected = value.pointer(written).and_then(scalar);
            prop_assert_eq!(wanted.value(&found, pointer), expected.as_deref(), "{} in {}", written, text);
        }
    }

    #[test]
    fn looking_refuses_what_a_parser_refuses(text in "[\\[\\]{}:,\"a0-9.e\\\\ ]{0,30}") {
        let seen = Wanted::of([].into_iter()).scan(&text).is_ok();
        prop_assert_eq!(seen, serde_json::from_str::<Value>(&text).is_ok());
    }
}
