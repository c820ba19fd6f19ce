//! Schemes of one's own: what the data can say about a signature.
//!
//! The signatures are literals computed by Python's `hmac`.

use super::*;

const BODY: &str = r#"{"type":"ping","id":"1"}"#;
const HEX: &str = "74475c88447567e69d8e90828e0afc10c58344c26ccf2cd23f18e094093a6ab3";
const NOW: i64 = 1_700_000_000;

fn scheme(keys: &str, secret: &str) -> Source {
    let keys = format!("signature_headers = ['X-Sig']\nevent_type = ['event']\nsecret_env = 'S'\n{keys}");
    source(&keys, &[("S", secret)])
}

fn check(keys: &str, secret: &str, headers: &[(&str, &str)]) {
    let source = scheme(keys, secret);
    let mut raw = post(BODY, headers);
    raw.query = Some("a=1".to_owned());
    let verified = source.verify(raw.clone(), at(NOW));
    assert!(verified.is_ok(), "{keys}: {verified:?}");
    raw.body = BODY.replace("ping", "pong").into();
    assert!(unverified(source.verify(raw, at(NOW))), "{keys}");
}

#[test]
fn hashes_and_encodings() {
    let s = "s3cret-for-tests";
    check("algorithm = 'hmac-sha256'", s, &[("x-sig", HEX)]);
    check("algorithm = 'hmac-sha256'", s, &[("x-sig", &HEX.to_uppercase())]);
    check("algorithm = 'hmac-sha1'", s, &[("x-sig", "f84afec1cad30647a2b53d8b3e40238b588b5fd1")]);
    check(
        "algorithm = 'hmac-sha512'",
        s,
        &[(
            "x-sig",
            "65cc2e7e084d816e2699ba96c788a1f39abf70fd418a72351ee659b5b986ecfd3942632a0f9a8967a376d795dafae22858e8e994b9f7257b02e579b73b06e36b",
        )],
    );
    let base64 = "algorithm = 'hmac-sha256'\nencoding = 'base64'";
    check(base64, s, &[("x-sig", "dEdciER1Z+adjpCCjgr8EMWDRMJszyzSPxjglAk6arM=")]);
    let base64url = "algorithm = 'hmac-sha256'\nencoding = 'base64url'";
    check(base64url, s, &[("x-sig", "dEdciER1Z-adjpCCjgr8EMWDRMJszyzSPxjglAk6arM=")]);
    check(base64url, s, &[("x-sig", "dEdciER1Z-adjpCCjgr8EMWDRMJszyzSPxjglAk6arM")]);
}

#[test]
fn secrets_as_bytes() {
    let keys = |encoding: &str| format!("algorithm = 'hmac-sha256'\nsecret_encoding = '{encoding}'");
    let hex = "a03ff183639ec4e9c03f27c71f2bb893db1ebf4f4677b276166725c3a1b4cf74";
    check(&keys("hex"), "00112233445566778899aabbccddeeff", &[("x-sig", hex)]);
    let base64 = "94d019818e0627453135c26e0905b7aa0846b714d26f202ed77305493fe0b32a";
    check(&keys("base64"), "AAECAwQFBgcICQoLDA0ODw==", &[("x-sig", base64)]);
    let whsec = "e08bb93181de19f9ffc5e6315bac1919701809753fef5e0d7cfe81733898a012";
    check(&keys("whsec"), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", &[("x-sig", whsec)]);
}

#[test]
fn signed_content() {
    let s = "s3cret-for-tests";
    let id = "d4c973d9d09e5f60be4fd02189d9b109bcf32704c28b68e7914637c1ca9a2b2c";
    let keys = "algorithm = 'hmac-sha256'\ncontent = '{id}|{body}'\nid_header = 'X-Id'";
    check(keys, s, &[("x-sig", id), ("x-id", "abc")]);
    let source = scheme(keys, s);
    for ids in [&[][..], &["abd"], &["abc", "abc"], &[""]] {
        let ids = ids.iter().map(|id| ("x-id", *id));
        let headers: Vec<(&str, &str)> = ids.chain([("x-sig", id)]).collect();
        assert!(unverified(source.verify(post(BODY, &headers), at(NOW))), "{headers:?}");
    }
    let ms = "232ab44a098789d49f0deae7f7a8f0e036ded6fb8d749514c438d2e247d56026";
    let keys = "algorithm = 'hmac-sha256'\ncontent = '{timestamp}.{body}'\ntimestamp = { header = 'X-T', unit = 'ms' }";
    check(keys, s, &[("x-sig", ms), ("x-t", "1700000000000")]);
}

#[test]
fn the_url_is_the_configured_one_and_never_the_requests_host() {
    let signature = "09c4eecc288c38102d8b2b5d3b13a22be8935b5ec38597333d224f520694e732";
    let keys = |url: &str| {
        format!("algorithm = 'hmac-sha256'\ncontent = '{{method}} {{url}} {{body}}'\npublic_url = '{url}'")
    };
    let secret = "s3cret-for-tests";
    let forwarded = [("x-sig", signature), ("host", "evil.example"), ("x-forwarded-host", "evil.example")];
    check(&keys("https://hooks.example.com"), secret, &forwarded);
    check(&keys("https://hooks.example.com/"), secret, &forwarded);
    let mut raw = post(BODY, &[("x-sig", signature), ("host", "hooks.example.com")]);
    raw.query = Some("a=1".to_owned());
    assert!(unverified(scheme(&keys("https://other.example"), secret).verify(raw, at(NOW))));
}

#[test]
fn times_in_every_unit_and_none_that_is_no_time() {
    let check = |unit: &str, text: &str, fits: bool| {
        let keys = format!(
            "algorithm = 'equality'\ntimestamp = {{ header = 'X-T', unit = '{unit}', tolerance_seconds = 10 }}"
        );
        let raw = post(BODY, &[("x-sig", "token"), ("x-t", text)]);
        assert_eq!(scheme(&keys, "token").verify(raw, at(NOW)).is_ok(), fits, "{unit} {text}");
    };
    check("s", "1700000010", true);
    check("s", "1700000011", false);
    check("s", "1699999989", false);
    check("ms", "1700000010000", true);
    check("ms", "1700000010001", false);
    check("iso", "2023-11-14T22:13:30Z", true);
    check("iso", "2023-11-14T23:13:20+01:00", true);
    check("iso", "2023-11-14T22:13:31Z", false);
    for text in ["", "soon", "1e9", "9223372036854775807", "-9223372036854775808", "99999999999999999999"] {
        for unit in ["s", "ms", "iso"] {
            check(unit, text, false);
        }
    }
}

#[test]
fn every_signature_that_is_offered_counts_wherever_it_stands() {
    let other = "0".repeat(64);
    let list = "algorithm = 'hmac-sha256'\nseparator = ' '";
    check(list, "s3cret-for-tests", &[("x-sig", &format!("{other} {HEX}"))]);
    check(list, "s3cret-for-tests", &[("x-sig", &other), ("X-SIG", HEX)]);
    check(list, "s3cret-for-tests", &[("x-sig", HEX), ("x-sig", &other)]);
    let two = "algorithm = 'hmac-sha256'\nprefix = 'sha256='";
    check(two, "s3cret-for-tests", &[("x-sig", "sha1=abc"), ("x-sig", &format!("sha256={HEX}"))]);
    let many = vec![other.as_str(); 33].join(" ");
    let refused = scheme(list, "s3cret-for-tests").verify(post(BODY, &[("x-sig", &many)]), at(NOW));
    assert!(unverified(refused));
}

#[test]
fn stripe_takes_any_of_its_v1_and_no_v0() {
    let source = source("preset = 'stripe'\nsecret_env = 'S'", &[("S", "s3cret-for-tests")]);
    let body = r#"{"id":"evt_1","type":"invoice.paid","data":{"object":{"id":"in_1"}}}"#;
    let old = "c4d4d5b4b593b7813a28df0f5b27862d37f6d2273fe15eb2098ee1d178f1ec90";
    let new = "1f629cde3805d2a400d9ca28e5de37dc39d14d0a15e4f5eb4eb40654eac6d42d";
    let check = |header: String, fits: bool| {
        let raw = post(body, &[("stripe-signature", &header)]);
        assert_eq!(source.verify(raw, at(NOW)).is_ok(), fits, "{header}");
    };
    check(format!("t=1700000000,v1={new},v1={old}"), true);
    check(format!("t=1700000000,v1={old},v1={new}"), true);
    check(format!("v1={old}, t=1700000000"), true);
    check(format!("t=1700000000,v0={old}"), false);
    check(format!("t=1700000000,v1={new},v0={old}"), false);
    check(format!("t=1700000001,v1={old}"), false);
    check(format!("t=1700000000,t=1700000000,v1={old}"), false);
    check(format!("v1={old}"), false);
}

#[test]
fn the_documents_own_examples() {
    let github = source("preset = 'github'\nsecret_env = 'S'", &[("S", "It's a Secret to Everybody")]);
    let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let verified =
        github.verify(post("Hello, World!", &[("x-hub-signature-256", signature)]), at(0)).unwrap();
    assert!(matches!(github.normalize(verified), Err(Refusal::Malformed(_))));

    let slack = source("preset = 'slack'\nsecret_env = 'S'", &[("S", "8f742231b10e8888abcd99yyyzzz85a5")]);
    let body = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    let headers = [
        ("x-slack-signature", "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"),
        ("x-slack-request-timestamp", "1531420618"),
    ];
    assert!(slack.verify(post(body, &headers), at(1_531_420_618)).is_ok());

    // Adyen signs fields of the body, and by a key in hexadecimal; the hash is the same.
    let key = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056";
    let adyen = scheme("algorithm = 'hmac-sha256'\nencoding = 'base64'\nsecret_encoding = 'hex'", key);
    let fields = "7914073381342284::TestMerchant:TestPayment-1407325143704:1130:EUR:AUTHORISATION:true";
    let raw = post(fields, &[("x-sig", "coqCmt/IZ4E3CzPvMY8zTjQVL5hYJUiBRg8UU+iCWo0=")]);
    assert!(adyen.verify(raw, at(0)).is_ok());
}

#[test]
fn bearer_has_no_case_and_basic_is_a_token_in_base64() {
    let bearer = source("preset = 'bearer'\nsecret_env = 'S'", &[("S", "token")]);
    for (value, fits) in [
        ("Bearer token", true),
        ("bearer token", true),
        ("Basic token", false),
        ("Bearer token2", false),
        ("Bearer toke", false),
        ("Bearer ", false),
        ("token", false),
    ] {
        let verified = bearer.verify(post("{}", &[("authorization", value)]), at(0));
        assert_eq!(verified.is_ok(), fits, "{value}");
    }
    let basic = scheme("algorithm = 'equality'\nprefix = 'Basic '\nencoding = 'base64'", "user:pass");
    assert!(basic.verify(post("{}", &[("x-sig", "Basic dXNlcjpwYXNz")]), at(0)).is_ok());
    assert!(unverified(basic.verify(post("{}", &[("x-sig", "Basic dXNlcjpwYXNy")]), at(0))));
}

#[test]
fn a_well_signed_body_without_its_time_is_refused() {
    let linear = source("preset = 'linear'\nsecret_env = 'S'", &[("S", "token")]);
    let verify = |body: &str| linear.verify(signed(&linear, body, at(NOW), None), at(NOW));
    assert!(verify(r#"{"webhookTimestamp":1700000000000}"#).is_ok());
    assert!(unverified(verify(r#"{"webhookTimestamp":"soon"}"#)));
    assert!(unverified(verify("{}")));
    assert!(matches!(verify("no json"), Err(Refusal::Malformed(_))));
}

#[test]
fn a_secret_that_cannot_be_used_stops_the_start() {
    let refused = |keys: &str, secret: Option<&str>| {
        let plan = plan(&format!("{keys}\nsecret_env = 'S'")).unwrap();
        let variables: Vec<(&str, &str)> = secret.map(|secret| ("S", secret)).into_iter().collect();
        Source::build("test", &plan, &environment(&variables)).unwrap_err().to_string()
    };
    assert!(refused("preset = 'github'", None).contains("the environment variable `S` is not set"));
    assert!(refused("preset = 'github'", Some("")).contains("is empty"));
    assert!(refused("preset = 'github'", Some("${S}")).contains("placeholder"));
    assert!(refused("preset = 'discord'", Some("zz")).contains("the secret `S` cannot be used"));
    assert!(refused("preset = 'discord'", Some("abcd")).contains("not 32 bytes"));
    assert!(refused("preset = 'svix'", Some("whsec_!")).contains("not base64"));
    let unnamed = Source::build("test", &plan("preset = 'github'").unwrap(), &environment(&[]));
    assert_eq!(unnamed.unwrap_err(), SourceError::NoSecret("test".to_owned()));
}

#[test]
fn nothing_shows_a_secret_or_a_payload() {
    let source = source("preset = 'hmac'\nsecret_env = 'S'", &[("S", "hunter2")]);
    let raw = signed(&source, r#"{"type":"t","x":"private"}"#, at(0), None);
    let verified = source.verify(raw, at(0)).unwrap();
    let shown = format!(
        "{source:?} {verified:?} {:?}",
        source.normalize(source.verify(verified.raw().clone(), at(0)).unwrap())
    );
    assert!(!shown.contains("hunter2") && !shown.contains("private"), "{shown}");
}
