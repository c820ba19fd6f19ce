//! Every preset against requests that were signed elsewhere, and against what
//! must never pass.
//!
//! The signatures are literals computed by Python's `hmac` and `cryptography`, or
//! taken from the providers' own documents; this engine made none of them.

use super::*;

const PAGE: &str = include_str!("../../../../../docs/sources.md");
const SECRET: &str = "s3cret-for-tests";
const WHSEC: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NOW: i64 = 1_700_000_000;

/// A request that its provider signed, and what it means.
struct Vector {
    preset: &'static str,
    secret: &'static str,
    now: i64,
    body: &'static str,
    headers: &'static [(&'static str, &'static str)],
    event_type: &'static str,
    delivery_id: Option<&'static str>,
    subject: Option<&'static str>,
}

const VECTORS: &[Vector] = &[
    Vector {
        preset: "bearer",
        secret: SECRET,
        now: NOW,
        body: r#"{"type":"ping"}"#,
        headers: &[("Authorization", "Bearer s3cret-for-tests"), ("X-Delivery-Id", "d1")],
        event_type: "ping",
        delivery_id: Some("d1"),
        subject: None,
    },
    Vector {
        preset: "discord",
        secret: "ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c",
        now: NOW,
        body: r#"{"version":1,"application_id":"a1","type":1,"event":{"type":"APPLICATION_AUTHORIZED","data":{"guild":{"id":"g1"}}}}"#,
        headers: &[
            (
                "X-Signature-Ed25519",
                "dfb4bb5068ee3046ccda32e19e4b5cf77216a3de07b190416e3235fd91a2613f251f11a12c2d588a527928626b37c644b3fabdeb7bdb14c0902975725d128d0f",
            ),
            ("X-Signature-Timestamp", "1700000000"),
        ],
        event_type: "APPLICATION_AUTHORIZED",
        delivery_id: None,
        subject: Some("g1"),
    },
    Vector {
        preset: "github",
        secret: SECRET,
        now: NOW,
        body: r#"{"action":"opened","number":42,"pull_request":{"number":42,"title":"caf\u00e9"},"repository":{"full_name":"acme/api"}}"#,
        headers: &[
            (
                "X-Hub-Signature-256",
                "sha256=d22c11be86207fd5ae8b7b487f11507211ec50133f406349d93ff246d369224d",
            ),
            ("X-GitHub-Event", "pull_request"),
            ("X-GitHub-Delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958"),
        ],
        event_type: "pull_request.opened",
        delivery_id: Some("72d3162e-cc78-11e3-81ab-4c9367dc0958"),
        subject: Some("acme/api#42"),
    },
    Vector {
        preset: "gitlab",
        secret: SECRET,
        now: NOW,
        body: r#"{"object_kind":"merge_request","project":{"path_with_namespace":"acme/api"},"object_attributes":{"iid":7,"action":"open"}}"#,
        headers: &[
            ("X-Gitlab-Token", "s3cret-for-tests"),
            ("X-Gitlab-Event", "Merge Request Hook"),
            ("X-Gitlab-Event-UUID", "u1"),
        ],
        event_type: "merge_request.open",
        delivery_id: Some("u1"),
        subject: Some("acme/api merge_request 7"),
    },
    Vector {
        preset: "gitlab-signed",
        secret: WHSEC,
        now: NOW,
        body: r#"{"object_kind":"merge_request","project":{"path_with_namespace":"acme/api"},"object_attributes":{"iid":7,"action":"open"}}"#,
        headers: &[
            ("webhook-id", "msg_1"),
            ("webhook-timestamp", "1700000000"),
            ("webhook-signature", "v1,unD5fifkGZM2Jcd6HaD5EguTjqL3Z9UCFRyEOGxTbBY="),
        ],
        event_type: "merge_request.open",
        delivery_id: Some("msg_1"),
        subject: Some("acme/api merge_request 7"),
    },
    Vector {
        preset: "hmac",
        secret: SECRET,
        now: NOW,
        body: r#"{"type":"ping","id":"1"}"#,
        headers: &[("X-Signature", "74475c88447567e69d8e90828e0afc10c58344c26ccf2cd23f18e094093a6ab3")],
        event_type: "ping",
        delivery_id: None,
        subject: None,
    },
    Vector {
        preset: "linear",
        secret: SECRET,
        now: NOW,
        body: r#"{"action":"update","type":"Issue","data":{"id":"i1","teamId":"t1"},"webhookTimestamp":1700000000000}"#,
        headers: &[
            ("Linear-Signature", "4c1f7a15f7c8b112c4ddbccd727832ad240365d62fdfa3b7d420b1546482102a"),
            ("Linear-Delivery", "234d1a4e-b617-4388-90fe-adc3633d6b72"),
            ("Linear-Event", "Issue"),
        ],
        event_type: "Issue.update",
        delivery_id: Some("234d1a4e-b617-4388-90fe-adc3633d6b72"),
        subject: Some("t1#i1"),
    },
    Vector {
        preset: "shopify",
        secret: SECRET,
        now: NOW,
        body: r#"{"id":1,"admin_graphql_api_id":"gid://shopify/Order/1"}"#,
        headers: &[
            ("X-Shopify-Hmac-Sha256", "Wzud6uJIgWWM2hpNN/rLAWyX43UibuiloXYbYYBxeXI="),
            ("X-Shopify-Topic", "orders/create"),
            ("X-Shopify-Webhook-Id", "w1"),
        ],
        event_type: "orders/create",
        delivery_id: Some("w1"),
        subject: Some("gid://shopify/Order/1"),
    },
    Vector {
        preset: "slack",
        secret: SECRET,
        now: NOW,
        body: r#"{"type":"event_callback","event_id":"Ev1","team_id":"T1","event":{"type":"app_mention","channel":"C1"}}"#,
        headers: &[
            ("X-Slack-Signature", "v0=bb93fa63fe6b53bf079416de85478add217681e869143d7b91e5b7b6b2dcd2a3"),
            ("X-Slack-Request-Timestamp", "1700000000"),
        ],
        event_type: "app_mention",
        delivery_id: Some("Ev1"),
        subject: Some("T1/C1"),
    },
    Vector {
        preset: "standard-webhooks",
        secret: WHSEC,
        now: 1_614_265_330,
        body: r#"{"test": 2432232314}"#,
        headers: &[
            ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
            ("webhook-timestamp", "1614265330"),
            ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
        ],
        event_type: "event",
        delivery_id: Some("msg_p5jXN8AQM9LWM0D4loKWxJek"),
        subject: None,
    },
    Vector {
        preset: "stripe",
        secret: SECRET,
        now: NOW,
        body: r#"{"id":"evt_1","type":"invoice.paid","data":{"object":{"id":"in_1"}}}"#,
        headers: &[(
            "Stripe-Signature",
            "t=1700000000,v1=c4d4d5b4b593b7813a28df0f5b27862d37f6d2273fe15eb2098ee1d178f1ec90,v0=6ffbb59b2300aae63f272406069a9788598b792a944a07aba816edb039989a39",
        )],
        event_type: "invoice.paid",
        delivery_id: Some("evt_1"),
        subject: Some("in_1"),
    },
    Vector {
        preset: "svix",
        secret: "whsec_plJ3nmyCDGBKInavdOK15jsl",
        now: 1_731_705_121,
        body: r#"{"event_type":"ping","data":{"success":true}}"#,
        headers: &[
            ("svix-id", "msg_loFOjxBNrRLzqYUf"),
            ("svix-timestamp", "1731705121"),
            ("svix-signature", "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0="),
        ],
        event_type: "ping",
        delivery_id: Some("msg_loFOjxBNrRLzqYUf"),
        subject: None,
    },
    Vector {
        preset: "svix",
        secret: "whpk_6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw=",
        now: NOW,
        body: r#"{"type":"user.created","data":{"id":"u1"}}"#,
        headers: &[
            ("svix-id", "msg_1"),
            ("svix-timestamp", "1700000000"),
            (
                "svix-signature",
                "v1a,E6rMeaR/bY8rzjlXXS5lbHKNFUGKGkhyl8y9Bjf12eQLU/cboHIYeA3eHi0ZNoh3VlLCF0HUJ1AOm+Pyr7QqCg==",
            ),
        ],
        event_type: "user.created",
        delivery_id: Some("msg_1"),
        subject: Some("u1"),
    },
];

impl Vector {
    fn source(&self) -> Source {
        self.with_secret(self.secret)
    }

    fn with_secret(&self, secret: &str) -> Source {
        source(&format!("preset = \"{}\"\nsecret_env = \"S\"", self.preset), &[("S", secret)])
    }

    fn raw(&self) -> RawEvent {
        post(self.body, self.headers)
    }

    fn signature_header(&self) -> Header {
        preset(self.preset).unwrap().signature_headers[0].clone()
    }

    /// The request with its signature header changed.
    fn resigned(&self, change: impl Fn(&str) -> String) -> RawEvent {
        let mut raw = self.raw();
        let header: HeaderName = self.signature_header().as_str().parse().unwrap();
        let value = change(raw.headers[&header].to_str().unwrap());
        raw.headers.insert(header, HeaderValue::from_str(&value).unwrap());
        raw
    }

    fn raw_signature(&self) -> String {
        let header = self.signature_header();
        self.raw().headers[header.as_str()].to_str().unwrap().to_owned()
    }

    fn signs_the_body(&self) -> bool {
        preset(self.preset).unwrap().algorithm != Algorithm::Equality
    }

    fn refused(&self, what: &str, raw: RawEvent, now: i64) {
        let verified = self.source().verify(raw, at(now));
        assert!(unverified(verified), "{} took {what}", self.preset);
    }
}

#[test]
fn what_a_provider_signed_is_taken_and_named() {
    for vector in VECTORS {
        let source = vector.source();
        let draft = draft(&source, vector.raw(), at(vector.now)).unwrap();
        assert_eq!(draft.event_type, vector.event_type, "{}", vector.preset);
        assert_eq!(draft.delivery_id.as_deref(), vector.delivery_id, "{}", vector.preset);
        assert_eq!(draft.subject.as_deref(), vector.subject, "{}", vector.preset);
        assert_eq!(draft.ordering_key, draft.subject);
        assert_eq!(draft.payload, vector.body, "{}", vector.preset);
        assert!(draft.verified_by.ends_with(":S"), "{}", draft.verified_by);
        assert!(draft.flags.is_empty());
    }
}

#[test]
fn every_preset_has_a_vector_and_reads_as_a_contract_would_write_it() {
    for preset in PRESETS {
        let known = VECTORS.iter().any(|vector| vector.preset == preset.name);
        let needs_one = !matches!(preset.name, "kafka" | "none");
        assert!(known || !needs_one, "{} has no vector", preset.name);
        let secret = preset.secret_env.map(|name| format!("secret_env = \"{name}\"\n")).unwrap_or_default();
        let by_name = plan(&format!("{secret}preset = \"{}\"", preset.name)).unwrap();
        let inline = plan(&format!("{secret}{}", preset.text)).unwrap();
        assert_eq!(by_name, inline, "{}", preset.name);
        assert_eq!(check(&by_name), [], "{}", preset.name);
        assert_eq!(*by_name.spec, super::preset(preset.name).unwrap());
    }
    assert!(PRESETS.is_sorted_by_key(|preset| preset.name));
}

#[test]
fn a_changed_body_is_refused() {
    for vector in VECTORS.iter().filter(|vector| vector.signs_the_body()) {
        for at in [0, vector.body.len() / 2, vector.body.len() - 1] {
            let mut body = vector.body.as_bytes().to_vec();
            body[at] ^= 1;
            vector.refused("a changed body", post(body, vector.headers), vector.now);
        }
        let spaced = format!("{} ", vector.body);
        vector.refused("a body with a space more", post(spaced, vector.headers), vector.now);
    }
}

#[test]
fn a_changed_cut_or_unprefixed_signature_is_refused() {
    for vector in VECTORS {
        let refused = |what: &str, change: &dyn Fn(&str) -> String| {
            vector.refused(what, vector.resigned(change), vector.now);
        };
        refused("an empty signature", &|_| String::new());
        refused("rubbish", &|_| "not a signature".to_owned());
        refused("half a signature", &|value| value[..value.len() / 2].to_owned());
        if vector.preset != "stripe" {
            refused("a cut signature", &|value| value[..value.len() - 2].to_owned());
        }
        let prefixes = ["sha256=", "v1=", "v0=", "v1a,", "v1,", "Bearer "];
        let value = vector.raw_signature();
        if let Some(prefix) = prefixes.into_iter().find(|prefix| value.contains(prefix)) {
            refused("no prefix", &|value| value.replacen(prefix, "", 1));
            refused("another prefix", &|value| value.replacen(prefix, "v9=", 1));
        }
        refused("a changed signature", &|value| {
            let middle = value.len() / 2;
            let other = if value.as_bytes()[middle] == b'4' { "5" } else { "4" };
            format!("{}{other}{}", &value[..middle], &value[middle + 1..])
        });
    }
}

#[test]
fn a_missing_header_is_refused() {
    for vector in VECTORS {
        let spec = preset(vector.preset).unwrap();
        let dated = spec.timestamp.as_ref().and_then(|rule| rule.header.as_ref());
        for needed in spec.signature_headers.iter().chain(dated).chain(&spec.id_header) {
            let mut raw = vector.raw();
            raw.headers.remove(needed.as_str());
            vector.refused("a request without a header", raw, vector.now);
        }
    }
}

#[test]
fn another_secret_refuses() {
    for vector in VECTORS {
        let other = match vector.secret {
            SECRET => "another secret",
            secret if secret.starts_with("whsec_") => "whsec_AAECAwQFBgcICQoLDA0ODw==",
            _ => "whsk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        };
        let verified = vector.with_secret(other).verify(vector.raw(), at(vector.now));
        assert!(unverified(verified), "{}", vector.preset);
    }
}

#[test]
fn the_time_may_be_off_by_the_tolerance_in_either_direction_and_no_more() {
    for vector in VECTORS {
        let Some(rule) = preset(vector.preset).unwrap().timestamp else { continue };
        let tolerance = i64::from(rule.tolerance_seconds);
        for now in [vector.now - tolerance, vector.now + tolerance] {
            assert!(vector.source().verify(vector.raw(), at(now)).is_ok(), "{}", vector.preset);
        }
        vector.refused("a stale request", vector.raw(), vector.now + tolerance + 1);
        vector.refused("a request from the future", vector.raw(), vector.now - tolerance - 1);
    }
}

#[test]
fn any_of_two_live_secrets_verifies_and_the_event_says_which() {
    for vector in VECTORS {
        let keys = format!("preset = \"{}\"\nsecrets_env = [\"NEW\", \"OLD\"]", vector.preset);
        let new = match vector.secret {
            SECRET => "the new secret",
            secret if secret.starts_with("whsec_") => "whsec_AAECAwQFBgcICQoLDA0ODw==",
            _ => "whsk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        };
        let source = source(&keys, &[("NEW", new), ("OLD", vector.secret)]);
        let draft = draft(&source, vector.raw(), at(vector.now)).unwrap();
        assert!(draft.verified_by.ends_with(":OLD"), "{}", draft.verified_by);
    }
}

#[test]
fn what_a_preset_signs_it_verifies() {
    let now = at(NOW);
    let body = r#"{"type":"ping","webhookTimestamp":1700000000000}"#;
    for preset in PRESETS.iter().filter(|preset| preset.name != "kafka") {
        let secret = match preset.name {
            "discord" => ED25519_PRIVATE,
            "gitlab-signed" | "standard-webhooks" | "svix" => WHSEC,
            _ => SECRET,
        };
        let named = preset.secret_env.map(|_| "secret_env = \"S\"").unwrap_or_default();
        let source = source(&format!("preset = \"{}\"\n{named}", preset.name), &[("S", secret)]);
        let draft = draft(&source, signed(&source, body, now, Some("ping.sent")), now).unwrap();
        let delivered_by_header = matches!(preset.name, "discord" | "stripe" | "slack");
        assert_eq!(draft.delivery_id.is_some(), !delivered_by_header, "{}", preset.name);
        assert_eq!(draft.flags.is_empty(), preset.name != "none");
        let unsigned = source.verify(post(body, &[]), now);
        assert_eq!(unverified(unsigned), preset.name != "none", "{}", preset.name);
    }
}

#[test]
fn every_preset_and_key_is_documented() {
    let keys = crate::source::contract::names::<SourceSpec>();
    for name in PRESETS.iter().map(|preset| preset.name).chain(keys.iter().map(String::as_str)) {
        assert!(PAGE.contains(&format!("\n| `{name}` | ")), "`{name}` has no row in docs/sources.md");
    }
}

#[test]
fn the_documented_example_works() {
    let example = PAGE.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let mut sources = toml::de::DeTable::parse(example).unwrap().into_inner();
    let DeValue::Table(sources) = sources.remove("sources").unwrap().into_inner() else { panic!() };
    assert_eq!(sources.len(), 2);
    for (name, keys) in sources {
        assert_eq!(check(&parse(name.get_ref(), keys).unwrap()), [], "{name:?}");
    }
}
