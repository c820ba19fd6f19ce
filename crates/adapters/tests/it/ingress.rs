//! What `http_webhook_ingress` hands over, and what it answers.

use std::{borrow::Cow, time::Duration};

use bytes::Bytes;
use hook_core::ports::{Answer, Refusal, Reply};
use http::{HeaderName, HeaderValue, Method};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{PATIENCE, Script, accepted, answers_health, client, id, ingress, try_ingress};

fn pong() -> Reply {
    Reply {
        status: 200,
        content_type: Cow::Borrowed("text/plain"),
        body: Bytes::from_static(b"pong"),
        headers: [(HeaderName::from_static("x-hook-secret"), HeaderValue::from_static("echo"))]
            .into_iter()
            .collect(),
    }
}

#[tokio::test]
async fn every_answer_has_its_status() {
    let reply = pong();
    let custom = Some(reply.clone());
    let one = "00000000-0000-0000-0000-000000000001";
    let two = "00000000-0000-0000-0000-000000000002";
    for (answer, status, body) in [
        (accepted(), 202, json!({"status": "accepted", "id": one, "ids": [one]})),
        (
            Answer::Accepted { ids: vec![id(1), id(2)], reply: None },
            202,
            json!({"status": "accepted", "id": one, "ids": [one, two]}),
        ),
        (Answer::Duplicate { id: id(1), reply: None }, 200, json!({"status": "duplicate", "id": one})),
        (Answer::Suppressed, 200, json!({"status": "suppressed"})),
        (Answer::Accepted { ids: vec![id(1)], reply: custom.clone() }, 200, json!("pong")),
        (Answer::Duplicate { id: id(1), reply: custom }, 200, json!("pong")),
        (Answer::Handshake(reply), 200, json!("pong")),
    ] {
        let name = format!("{answer:?}");
        let running = ingress("", Script::answering(move |_| Ok(answer.clone()))).await;
        let response = client().post(running.url("/webhook/github")).body("{}").send().await.unwrap();
        assert_eq!(response.status(), status, "{name}");
        let echoed = response.headers().get("x-hook-secret").is_some();
        assert_eq!(echoed, body == "pong", "{name}");
        let text = response.text().await.unwrap();
        assert_eq!(serde_json::from_str(&text).unwrap_or(Value::String(text)), body, "{name}");
    }
}

#[tokio::test]
async fn every_refusal_has_its_status() {
    let after = Duration::from_millis(1500);
    let text = || "because".to_owned();
    for (refusal, status, code, retry_after) in [
        (Refusal::UnknownSource(text()), 404, "unknown_source", None),
        (Refusal::RateLimited { scope: "peer", after }, 429, "rate_limited", Some("2")),
        (Refusal::Unverified(text()), 401, "unverified", None),
        (Refusal::MethodNotAllowed(Method::PUT), 405, "method_not_allowed", None),
        (Refusal::Malformed(text()), 400, "malformed", None),
        (Refusal::UnsupportedMediaType(text()), 415, "unsupported_media_type", None),
        (Refusal::Denied { hook: text(), reason: text() }, 403, "denied", None),
        (Refusal::Unroutable { source_name: text(), event_type: text() }, 422, "unroutable", None),
        (Refusal::TooLarge { size: 9, limit: 8 }, 413, "too_large", None),
        (Refusal::Unavailable { reason: text(), after }, 503, "unavailable", Some("2")),
        (Refusal::Unavailable { reason: text(), after: Duration::ZERO }, 503, "unavailable", Some("1")),
    ] {
        let detail = refusal.to_string();
        let running = ingress("", Script::answering(move |_| Err(refusal.clone()))).await;
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let request = client()
            .post(running.url("/webhook/github"))
            .header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"))
            .body("{}");
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), status, "{code}");
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        let wait = response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(wait.as_deref(), retry_after, "{code}");
        let problem: Value = response.json().await.unwrap();
        assert_eq!(problem["type"], format!("urn:hook:problem:{code}"));
        assert_eq!(problem["status"], status);
        assert_eq!(problem["code"], code);
        assert_eq!(problem["detail"], detail);
        assert_eq!(problem["instance"], format!("urn:hook:request:{trace}"));
        assert!(!problem["title"].as_str().unwrap().is_empty());
    }
}

#[tokio::test]
async fn what_was_sent_is_handed_over_byte_for_byte() {
    let running = ingress("trusted_proxies = ['127.0.0.0/8']", Script::accepting()).await;
    let body = b"{\"a\" : 1.50,\r\n \"a\": \"\\u00e9\xff\"}\n";
    let request = client()
        .post(running.url("/webhook/github?x=%20y&z"))
        .header("X-GitHub-Event", "push")
        .header("X-Forwarded-For", "6.6.6.6, 1.2.3.4")
        .header("Content-Encoding", "identity")
        .body(&body[..]);
    assert_eq!(request.send().await.unwrap().status(), 202);
    let seen = running.script.seen.lock().unwrap();
    let raw = &seen[0];
    assert_eq!(raw.body, &body[..]);
    assert_eq!((raw.source.as_str(), &*raw.adapter), ("github", "under-test"));
    assert_eq!((raw.path.as_str(), raw.query.as_deref()), ("/webhook/github", Some("x=%20y&z")));
    assert_eq!(raw.method, Method::POST);
    assert_eq!(raw.headers["x-github-event"], "push");
    assert_eq!(raw.peer, Some("1.2.3.4".parse().unwrap()));
    assert_eq!(raw.headers["traceparent"].len(), 55);
}

#[tokio::test]
async fn the_case_of_a_header_means_nothing() {
    let running = ingress("", Script::accepting()).await;
    for name in ["x-hub-signature-256", "X-Hub-Signature-256", "X-HUB-SIGNATURE-256", "x-hUB-sIGNATURE-256"] {
        let request = format!(
            "POST /webhook/github HTTP/1.1\r\nHOST: x\r\nCONTENT-LENGTH: 2\r\nConnection: close\r\n{name}: sha256=00\r\n\r\n{{}}"
        );
        assert!(running.exchange(&request).await.starts_with("HTTP/1.1 202"), "{name}");
        let raw = running.script.seen.lock().unwrap().pop().unwrap();
        assert_eq!(raw.headers["X-Hub-Signature-256"], "sha256=00", "{name}");
    }
}

#[tokio::test]
async fn paths_and_methods() {
    let script = Script::answering(|raw| match raw.method {
        Method::POST => Ok(accepted()),
        Method::OPTIONS | Method::HEAD => Ok(Answer::Handshake(pong())),
        _ => Err(Refusal::MethodNotAllowed(raw.method.clone())),
    });
    let running = ingress("path_template = '/in/{source}/events'", script).await;
    let check = async |method: Method, path: &str, status: u16, allow: Option<&str>| {
        let response = client().request(method.clone(), running.url(path)).send().await.unwrap();
        assert_eq!(response.status(), status, "{method} {path}");
        let found = response.headers().get("allow").map(|value| value.to_str().unwrap());
        assert_eq!(found, allow, "{method} {path}");
    };
    check(Method::POST, "/in/github/events", 202, None).await;
    check(Method::OPTIONS, "/in/github/events", 200, None).await;
    check(Method::HEAD, "/in/github/events", 200, None).await;
    check(Method::GET, "/in/github/events", 405, Some("POST")).await;
    check(Method::PUT, "/in/github/events", 405, Some("POST")).await;
    check(Method::DELETE, "/in/github/events", 405, Some("POST")).await;
    check(Method::POST, "/in/github", 404, None).await;
    check(Method::POST, "/in//events", 404, None).await;
    check(Method::POST, "/in/a/b/events", 404, None).await;
    check(Method::POST, "/webhook/github", 404, None).await;
    check(Method::GET, "/", 404, None).await;
    check(Method::GET, "/health", 200, None).await;
    check(Method::HEAD, "/health", 200, None).await;
    check(Method::POST, "/health", 405, Some("GET, HEAD")).await;
    check(Method::POST, "/ready", 405, Some("GET, HEAD")).await;
}

#[tokio::test]
async fn ready_says_as_what() {
    for (ready, status) in [(true, 200), (false, 503)] {
        let running = ingress("", Script { ready, ..Script::accepting() }).await;
        let response = client().get(running.url("/ready")).send().await.unwrap();
        assert_eq!(response.status(), status);
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["ready"], ready);
        assert_eq!((&body["profile"], &body["validation_mode"]), (&json!("default"), &json!("strict")));
        assert_eq!(client().get(running.url("/health")).send().await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn a_compressed_body_is_refused() {
    let running = ingress("", Script::accepting()).await;
    for encoding in ["gzip", "br", "identity, gzip"] {
        let request =
            client().post(running.url("/webhook/github")).header("content-encoding", encoding).body("{}");
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 415, "{encoding}");
        assert_eq!(response.headers()["accept-encoding"], "identity");
    }
    assert!(running.script.bodies().is_empty());
}

#[tokio::test]
async fn a_panic_is_an_answer_and_the_connection_goes_on() {
    let running = ingress(
        "",
        Script::answering(|raw| if raw.body.is_empty() { panic!("on purpose") } else { Ok(accepted()) }),
    )
    .await;
    let mut stream = running.connect().await;
    let mut status = async |body: &str| {
        let length = body.len();
        let request =
            format!("POST /webhook/a HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{body}");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = vec![0; 4096];
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut answer)).await.unwrap().unwrap();
        String::from_utf8_lossy(&answer[..read]).split(' ').nth(1).unwrap_or_default().to_owned()
    };
    assert_eq!(status("").await, "500");
    assert_eq!(status("{}").await, "202");
}

#[tokio::test]
async fn what_is_not_admitted_is_refused_before_its_body_is_read() {
    let script = Script {
        admit: Box::new(|source, peer| {
            assert_eq!(peer, Some("127.0.0.1".parse().unwrap()));
            match source {
                "busy" => Err(Refusal::RateLimited { scope: "peer", after: Duration::from_secs(7) }),
                other => Err(Refusal::UnknownSource(other.to_owned())),
            }
        }),
        ..Script::accepting()
    };
    let running = ingress("", script).await;
    for (source, status) in [("busy", "429"), ("nobody", "404")] {
        let request = format!(
            "POST /webhook/{source} HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\nconnection: close\r\n\r\n"
        );
        let answer = running.exchange(&request).await;
        assert_eq!(answer.split(' ').nth(1), Some(status), "{answer}");
    }
    assert!(running.script.bodies().is_empty());
}

#[tokio::test]
async fn a_sender_that_hangs_up_does_not_stop_what_was_begun() {
    let (begun, mut begins) = tokio::sync::mpsc::unbounded_channel();
    let (go, going) = tokio::sync::watch::channel(false);
    let (ended, mut ends) = tokio::sync::mpsc::unbounded_channel();
    let script = Script::taking(move |_| {
        let (begun, mut going, ended) = (begun.clone(), going.clone(), ended.clone());
        Box::pin(async move {
            begun.send(()).unwrap();
            going.wait_for(|go| *go).await.unwrap();
            ended.send(()).unwrap();
            Ok(accepted())
        })
    });
    let running = ingress("max_connections = 1", script).await;
    let mut stream = running.connect().await;
    stream.write_all(b"POST /webhook/a HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}").await.unwrap();
    begins.recv().await.unwrap();
    drop(stream);
    // The one slot is free again, so the server has let the connection go.
    assert!(answers_health(&mut running.connect().await, PATIENCE).await);
    running.stop.cancel();
    go.send(true).unwrap();
    tokio::time::timeout(PATIENCE, ends.recv()).await.expect("it runs to its end").unwrap();
    tokio::time::timeout(PATIENCE, running.ended).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_port_in_use_is_said_at_start() {
    let running = ingress("", Script::accepting()).await;
    let text = format!("bind = '{}'", running.address);
    let error = try_ingress(&text, Script::accepting()).await.err().unwrap().to_string();
    assert!(error.contains(&running.address.to_string()) && error.contains("in use"), "{error}");
}
