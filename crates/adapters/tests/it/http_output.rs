//! `http_output` against a real receiver.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use hook_core::ports::{DeliverError, Delivered};
use hook_event::{Event, cloudevents, trace};
use sha2::Sha256;

use crate::support::{Got, NOW, Receiver, egress, egress_config, event, response};

const LOOPBACK: &str = "allow_networks = ['127.0.0.0/8', '::1/128']";

async fn deliver(
    receiver: &Receiver,
    keys: &str,
    variables: &[(&str, &str)],
    event: &Event,
) -> Result<Delivered, DeliverError> {
    let text = format!("url = '{}'\n{LOOPBACK}\n{keys}", receiver.url());
    egress("http_output", &text, variables).await.deliver(event).await
}

async fn ok() -> Receiver {
    Receiver::answering(|_| response(200, &[], "thanks")).await
}

/// The signature as a stranger would check it, without any code of this program.
fn hmac(secret: &[u8], got: &Got) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
    mac.update(format!("{}.{}.", got.header("webhook-id"), got.header("webhook-timestamp")).as_bytes());
    mac.update(&got.body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[tokio::test]
async fn a_signed_envelope_is_posted() {
    let receiver = ok().await;
    let event = event("{\"n\" : 1.50}\n");
    let keys = "secret_env = 'S'\nheaders = { 'X-Team' = 'reviews' }\ntoken_env = 'T'\nheaders_env = { 'x-key' = 'K' }";
    let variables = [("S", "plain secret"), ("T", "t0ken"), ("K", "k3y")];
    let delivered = deliver(&receiver, keys, &variables, &event).await.unwrap();
    assert_eq!(delivered.status, Some(200));
    let got = &receiver.got()[0];
    assert_eq!(got.path, "/in");
    assert_eq!(got.body, event.encode());
    for (name, value) in [
        ("content-type", "application/json".to_owned()),
        ("webhook-id", event.id.to_string()),
        ("idempotency-key", event.id.to_string()),
        ("webhook-timestamp", NOW.to_string()),
        ("webhook-signature", hmac(b"plain secret", got)),
        ("traceparent", trace::traceparent(&event).unwrap()),
        ("x-team", "reviews".to_owned()),
        ("authorization", "Bearer t0ken".to_owned()),
        ("x-key", "k3y".to_owned()),
    ] {
        assert_eq!(got.header(name), value, "{name}");
    }
    assert!(got.header("user-agent").starts_with("hook/"));
}

#[tokio::test]
async fn while_secrets_overlap_there_is_a_signature_by_each() {
    let receiver = ok().await;
    let variables = [("NEW", "new secret"), ("OLD", "whsec_b2xkIHNlY3JldA==")];
    deliver(&receiver, "secrets_env = ['NEW', 'OLD']", &variables, &event("{}")).await.unwrap();
    let got = &receiver.got()[0];
    let expect = format!("{} {}", hmac(b"new secret", got), hmac(b"old secret", got));
    assert_eq!(got.header("webhook-signature"), expect);
}

#[tokio::test]
async fn every_form_of_body() {
    let event = event("{\"n\": 7, \"t\": \"a \\\"q\\\"\"}");
    let check = async |keys: &str, content_type: &str, body: &[u8]| {
        let receiver = ok().await;
        deliver(&receiver, keys, &[], &event).await.unwrap();
        let got = &receiver.got()[0];
        assert_eq!((got.header("content-type"), &got.body[..]), (content_type, body), "{keys}");
        assert_eq!(got.header("webhook-signature"), "", "nothing signs without a secret");
    };
    check("body = 'payload'", "application/json", &event.payload).await;
    check("body = 'cloudevents'", "application/cloudevents+json", &cloudevents::structured(&event)).await;
    check("body = '{\"x\": {{ payload.t }}}'", "application/json", br#"{"x": "a \"q\""}"#).await;
    let plain = "body = 'n={{ payload.n }}'\ncontent_type = 'text/plain'";
    check(plain, "text/plain", b"n=7").await;
}

#[tokio::test]
async fn answers_are_judged_with_their_retry_after() {
    for (status, header, expect, after) in [
        (204, None, "delivered", None),
        (400, None, "refused", None),
        (410, None, "halted", None),
        (429, Some("7"), "unavailable", Some(7)),
        (500, Some("9"), "failed", Some(9)),
        (503, Some("Sun, 20 Jul 2025 08:27:10 GMT"), "unavailable", Some(30)),
        (503, Some("Sun, 20 Jul 2099 08:27:10 GMT"), "unavailable", Some(86_400)),
        (503, Some("whenever"), "unavailable", None),
    ] {
        let headers: Vec<(&str, &str)> = header.map(|value| ("retry-after", value)).into_iter().collect();
        let headers: Vec<(&'static str, &'static str)> = headers;
        let receiver = Receiver::answering(move |_| {
            response(status, &headers, if status == 204 { "" } else { "no such t0ken here" })
        })
        .await;
        let result = deliver(&receiver, "token_env = 'T'", &[("T", "t0ken")], &event("{}")).await;
        let (judged, failure) = match result {
            Ok(delivered) => {
                assert_eq!(delivered.status, Some(status));
                continue;
            }
            Err(DeliverError::Unavailable(failure)) => ("unavailable", failure),
            Err(DeliverError::Failed(failure)) => ("failed", failure),
            Err(DeliverError::Refused(failure)) => ("refused", failure),
            Err(DeliverError::Halted(failure)) => ("halted", failure),
        };
        assert_eq!((judged, failure.status), (expect, Some(status)));
        assert_eq!(failure.after, after.map(Duration::from_secs), "{status} {header:?}");
        assert_eq!(failure.reason, format!("the destination answered {status}"));
        assert_eq!(failure.excerpt.as_deref(), Some("no such [secret] here"));
    }
}

#[tokio::test]
async fn an_answer_that_repeats_the_payload_is_no_reason() {
    let receiver = Receiver::answering(|got| response(422, &[], &String::from_utf8_lossy(&got.body))).await;
    let result = deliver(&receiver, "body = 'payload'", &[], &event("{\"note\":\"hunter2\"}")).await;
    let error = result.unwrap_err();
    assert_eq!(error.to_string(), "refused: the destination answered 422");
    assert!(!format!("{error:?}").contains("hunter2"));
    assert_eq!(error.failure().excerpt.as_deref(), Some("{\"note\":\"hunter2\"}"));
}

#[tokio::test]
async fn a_redirect_is_refused_and_never_followed() {
    let target = ok().await;
    for status in [301, 302, 303, 307, 308] {
        let location = target.url();
        let receiver = Receiver::answering(move |_| response(status, &[("location", &location)], "")).await;
        let result = deliver(&receiver, "", &[], &event("{}")).await;
        assert!(matches!(result, Err(DeliverError::Refused(_))), "{status}: {result:?}");
    }
    assert_eq!(target.got().len(), 0);
}

#[tokio::test]
async fn a_large_answer_is_not_read_whole() {
    let receiver = Receiver::answering(|_| response(400, &[], &"x".repeat(32 << 20))).await;
    let Err(DeliverError::Refused(failure)) = deliver(&receiver, "", &[], &event("{}")).await else {
        panic!("a 400 is a refusal")
    };
    assert!(failure.excerpt.unwrap().len() < 2 << 10);
}

#[tokio::test]
async fn what_cannot_be_connected_to_is_unavailable() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let plain = ok().await;
    for url in [
        format!("http://{address}/"),
        format!("https://{}/", plain.address),
        "http://no-such-name.invalid/".to_owned(),
    ] {
        let destination = egress("http_output", &format!("url = '{url}'\n{LOOPBACK}"), &[]).await;
        let result = destination.deliver(&event("{}")).await;
        assert!(matches!(result, Err(DeliverError::Unavailable(_))), "{url}: {result:?}");
    }
}

#[tokio::test]
async fn silence_after_the_request_spends_an_attempt() {
    let receiver = Receiver::taking(|_| Box::pin(std::future::pending())).await;
    let result = deliver(&receiver, "timeout_seconds = 1", &[], &event("{}")).await;
    assert!(matches!(&result, Err(DeliverError::Failed(f)) if f.reason.contains("in time")), "{result:?}");
    assert_eq!(receiver.got().len(), 1);
}

#[tokio::test]
async fn a_connection_that_breaks_off_spends_an_attempt() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.readable().await.unwrap();
            drop(stream);
        }
    });
    let destination = egress("http_output", &format!("url = '{url}'\n{LOOPBACK}"), &[]).await;
    let result = destination.deliver(&event("{}")).await;
    assert!(matches!(result, Err(DeliverError::Failed(_))), "{result:?}");
}

#[tokio::test]
async fn private_networks_are_not_called_unless_allowed() {
    let receiver = ok().await;
    let port = receiver.address.port();
    let check = |url: &str| {
        let problems = egress_config("http_output", &format!("url = '{url}'")).check();
        let keys: Vec<&str> = problems.iter().map(|problem| problem.key).collect();
        assert_eq!(keys, ["url"], "{url}");
    };
    check(&receiver.url());
    check(&format!("http://localhost:{port}/"));
    check(&format!("http://[::ffff:127.0.0.1]:{port}/"));

    // Another network is allowed, so only the resolver can tell that this is not it.
    let text = format!("url = 'http://localhost:{port}/in'\nallow_networks = ['10.0.0.0/8']");
    let result = egress("http_output", &text, &[]).await.deliver(&event("{}")).await;
    assert!(
        matches!(&result, Err(DeliverError::Halted(failure)) if failure.reason.contains("loopback")),
        "{result:?}"
    );
    assert_eq!(receiver.got().len(), 0);

    let text = format!("url = 'http://localhost:{port}/in'\nallow_networks = ['127.0.0.0/8']");
    egress("http_output", &text, &[]).await.deliver(&event("{}")).await.unwrap();
    assert_eq!(receiver.got().len(), 1);
}
