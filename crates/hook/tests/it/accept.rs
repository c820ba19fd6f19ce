//! What a sender is told: every answer of the ingress, over the wire.

use reqwest::RequestBuilder;

use crate::support::{Hook, Receiver, SECRET, Sender, Sent, contract, github_signature};

const BODY: &[u8] = br#"{"action":"opened","repository":{"full_name":"acme/api"}}"#;

/// A contract with small limits.
fn limited(bind: std::net::SocketAddr) -> String {
    contract(bind, &[]).replace(
        "driver = \"http_webhook_ingress\"",
        "driver = \"http_webhook_ingress\"\nmax_payload_bytes = 1000\nplugins = [{ driver = \"require_payload_field\", pointer = \"/repository\" }]",
    )
}

#[tokio::test]
async fn refusals_say_what_is_wrong() {
    let hook = Hook::running(limited).await;
    let sender = Sender::new();
    let github = |delivery: &str, body: &[u8]| sender.github(hook.address, "push", delivery, body);
    let signed_by = |secret: &str| github_signature(secret, BODY);
    let client = reqwest::Client::new();
    let url = |path: &str| format!("http://{}{path}", hook.address);

    let large = [b"{\"a\":\"", vec![b'x'; 2000].as_slice(), b"\"}"].concat();
    let chunked = |bytes: Vec<u8>| {
        let pieces: Vec<_> = bytes.chunks(100).map(|piece| Ok::<_, std::io::Error>(piece.to_vec())).collect();
        reqwest::Body::wrap_stream(futures_util::stream::iter(pieces))
    };
    let no_repository = br#"{"action":"opened"}"#;
    let text = replace(github("a", BODY), "content-type", "text/plain");
    let cases = [
        ("an unknown source", client.post(url("/webhook/nobody")).body("{}"), 404, "unknown_source"),
        ("an unknown path", client.post(url("/elsewhere")).body("{}"), 404, "not_found"),
        (
            "a method that is not served",
            client.put(url("/webhook/github")).body("{}"),
            405,
            "method_not_allowed",
        ),
        (
            "no signature",
            client.post(url("/webhook/github")).header("content-type", "application/json").body(BODY),
            401,
            "unverified",
        ),
        ("another's secret", re_sign(github("b", BODY), &signed_by("another")), 401, "unverified"),
        (
            "a signature of other bytes",
            re_sign(github("c", BODY), &github_signature(SECRET, b"{}")),
            401,
            "unverified",
        ),
        ("half a signature", re_sign(github("d", BODY), "sha256=00"), 401, "unverified"),
        ("no JSON", github("e", b"{\"action\":"), 400, "malformed"),
        ("an empty body", github("f", b""), 400, "malformed"),
        ("a large body", github("g", &large), 413, "too_large"),
        ("a large body in chunks", github("h", &large).body(chunked(large.clone())), 413, "too_large"),
        (
            "a compressed body",
            github("i", BODY).header("content-encoding", "gzip"),
            415,
            "unsupported_encoding",
        ),
        ("what a hook refuses", github("j", no_repository), 403, "denied"),
        ("a media type that carries no event", text, 415, "unsupported_media_type"),
    ];
    for (what, request, status, code) in cases {
        let sent = Sent::by(request).await;
        assert_eq!((sent.status, sent.body["code"].as_str()), (status, Some(code)), "{what}: {sent:?}");
        assert_eq!(sent.body["type"], format!("urn:hook:problem:{code}"), "{what}");
        assert_eq!(sent.body["status"], status, "{what}");
    }
    assert_eq!(hook.json(&["events", "list"]), serde_json::json!([]), "nothing of this was stored");
}

fn re_sign(request: RequestBuilder, signature: &str) -> RequestBuilder {
    replace(request, "x-hub-signature-256", signature)
}

fn replace(request: RequestBuilder, header: &'static str, value: &str) -> RequestBuilder {
    let (client, request) = request.build_split();
    let mut request = request.unwrap();
    request.headers_mut().insert(header, value.parse().unwrap());
    RequestBuilder::from_parts(client, request)
}

#[tokio::test]
async fn a_repetition_gets_the_first_ones_id_also_after_a_restart() {
    let receiver = Receiver::start().await;
    let address = receiver.address;
    let mut hook = Hook::running(move |bind| contract(bind, &[("out", address, "")])).await;
    let sender = Sender::new();
    let id = sender.accepted(hook.address, "push", "once", BODY).await;
    for restart in [false, true] {
        if restart {
            hook.stop().await;
            hook.start().await;
        }
        let again = sender.send(hook.address, "push", "once", BODY).await;
        assert_eq!((again.status, again.id()), (200, id.clone()), "{again:?}");
        assert_eq!(again.body["status"], "duplicate");
    }
    let other = sender.accepted(hook.address, "push", "twice", BODY).await;
    assert_ne!(other, id);
    assert_eq!(receiver.wait_for(2).await.len(), 2);
}

#[tokio::test]
async fn a_forged_repetition_does_not_use_up_the_delivery_id() {
    let hook = Hook::running(|bind| contract(bind, &[])).await;
    let sender = Sender::new();
    let forged = re_sign(sender.github(hook.address, "push", "mine", BODY), "sha256=00");
    assert_eq!(Sent::by(forged).await.status, 401);
    sender.accepted(hook.address, "push", "mine", BODY).await;
}

#[tokio::test]
async fn either_secret_is_good_during_a_rotation() {
    let rotating = |bind| {
        contract(bind, &[])
            .replace(r#"secrets_env = ["GITHUB_SECRET"]"#, r#"secrets_env = ["GITHUB_SECRET", "OLD"]"#)
    };
    let mut hook = Hook::new(rotating);
    hook.set_variable("OLD", "the old one");
    hook.start().await;
    let sender = Sender::new();
    for (delivery, secret, status) in [("1", SECRET, 202), ("2", "the old one", 202), ("3", "older", 401)] {
        let request = sender.github(hook.address, "push", delivery, BODY);
        let sent = Sent::by(re_sign(request, &github_signature(secret, BODY))).await;
        assert_eq!(sent.status, status, "{secret}: {sent:?}");
    }
}

#[tokio::test]
async fn no_route_is_said_to_the_sender() {
    let narrow =
        |bind| contract(bind, &[]).replace("event_type_pattern = \"*\"", "event_type_pattern = \"push\"");
    let hook = Hook::running(narrow).await;
    let sender = Sender::new();
    sender.accepted(hook.address, "push", "1", b"{}").await;
    let sent = sender.send(hook.address, "fork", "2", b"{}").await;
    assert_eq!((sent.status, sent.body["code"].as_str()), (422, Some("unroutable")), "{sent:?}");
}

#[tokio::test]
async fn health_and_readiness() {
    let hook = Hook::running(|bind| contract(bind, &[])).await;
    for (path, key, value) in [
        ("/health", "status", "ok"),
        ("/ready", "profile", "default"),
        ("/ready", "validation_mode", "strict"),
    ] {
        let answer = reqwest::get(format!("http://{}{path}", hook.address)).await.unwrap();
        let sent = Sent::read(answer).await;
        assert_eq!((sent.status, sent.body[key].as_str()), (200, Some(value)), "{path}: {sent:?}");
    }
}
