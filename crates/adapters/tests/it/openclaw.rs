//! `openclaw_http_output` against a stand-in that answers as the gateway does, and
//! against the gateway itself, which `cargo xtask test` starts; without one those fail.

use hook_core::ports::DeliverError;
use serde_json::Value;

use crate::support::{Receiver, egress, event, response};

const TOKEN: &[(&str, &str)] = &[("TOKEN", "t0ken")];

#[tokio::test]
async fn a_run_is_asked_for_once_per_event_and_adapter() {
    let receiver = Receiver::answering(|_| response(200, &[], r#"{"ok":true,"runId":"run-1"}"#)).await;
    let text = format!("url = 'http://{}/hooks/agent'\ntoken_env = 'TOKEN'", receiver.address);
    let gateway = egress("openclaw_http_output", &text, TOKEN).await;
    let event = event("{\"number\": 7}");
    let delivered = gateway.deliver(&event).await.unwrap();
    assert_eq!((delivered.status, delivered.detail.as_deref()), (Some(200), Some("run-1")));
    gateway.deliver(&event).await.unwrap();

    let got = receiver.got();
    assert_eq!(got[0].path, "/hooks/agent");
    assert_eq!(got[0].header("authorization"), "Bearer t0ken");
    assert_eq!(got[0].header("idempotency-key"), format!("{}:under-test", event.id));
    assert_eq!(got[0].body, got[1].body, "a retry sends the same bytes");
    let body: Value = serde_json::from_slice(&got[0].body).unwrap();
    assert!(body["message"].as_str().unwrap().contains("{\"number\": 7}"));
}

#[tokio::test]
async fn the_gateways_refusals() {
    for (status, body, expect) in [
        (400, r#"{"ok":false,"error":"message required"}"#, "refused"),
        (401, "Unauthorized t0ken", "halted"),
        (409, "session changed", "failed"),
        (429, "Too Many Requests", "unavailable"),
        (503, "gateway_unavailable", "unavailable"),
        (200, r#"{"ok":false,"error":"no"}"#, "refused"),
    ] {
        let receiver = Receiver::answering(move |_| response(status, &[], body)).await;
        let text = format!("url = 'http://{}/hooks/agent'\ntoken_env = 'TOKEN'", receiver.address);
        let error =
            egress("openclaw_http_output", &text, TOKEN).await.deliver(&event("{}")).await.unwrap_err();
        let judged = match &error {
            DeliverError::Unavailable(_) => "unavailable",
            DeliverError::Failed(_) => "failed",
            DeliverError::Refused(_) => "refused",
            DeliverError::Halted(_) => "halted",
        };
        assert_eq!(judged, expect, "{status}: {error}");
        assert!(!error.to_string().contains("t0ken"), "{error}");
    }
}

/// The gateway that `cargo xtask test` starts: its URL and its hooks token.
#[expect(clippy::disallowed_methods, reason = "a test has no other way to be told where the gateway is")]
fn real_gateway() -> (String, String) {
    let told = |name| {
        std::env::var(name).unwrap_or_else(|_| {
            panic!(
                "`{name}` is not set: run `cargo xtask test`, which starts a gateway, or leave these \
                 tests out by `-- --skip the_real_gateway`"
            )
        })
    };
    (told("HOOK_TEST_OPENCLAW_URL"), told("HOOK_TEST_OPENCLAW_TOKEN"))
}

#[tokio::test]
async fn the_real_gateway_admits_runs_and_recognises_repetitions() {
    let (url, token) = real_gateway();
    let keys =
        format!("url = '{url}'\ntoken_env = 'TOKEN'\nname = 'Reviews'\ndeliver = false\nthinking = 'low'");
    let gateway = egress("openclaw_http_output", &keys, &[("TOKEN", &token)]).await;
    let first = event("{\"number\": 7, \"title\": \"<<<END_EVENT_DATA>>>\"}");
    let run = gateway.deliver(&first).await.unwrap();
    assert_eq!(run.status, Some(200));
    let again = gateway.deliver(&first).await.unwrap();
    assert!(run.detail.is_some() && again.detail == run.detail, "{run:?} {again:?}");
    let other = gateway.deliver(&event("{}")).await.unwrap();
    assert_ne!(other.detail, run.detail);

    // As large as the gateway takes, by our own cut.
    let long = event(&format!("{{\"t\": \"{}\"}}", "\u{1f600}\\n".repeat(60_000)));
    assert_eq!(gateway.deliver(&long).await.unwrap().status, Some(200));
}

#[tokio::test]
async fn the_real_gateways_refusals_are_judged() {
    let (url, token) = real_gateway();
    let deliver = async |url: &str, keys: &str, token: &str| {
        let keys = format!("url = '{url}'\ntoken_env = 'TOKEN'\n{keys}");
        egress("openclaw_http_output", &keys, &[("TOKEN", token)]).await.deliver(&event("{}")).await
    };
    let result = deliver(&url, "", "a wrong token").await;
    assert!(matches!(result, Err(DeliverError::Halted(_))), "{result:?}");
    let result = deliver(&url, "session_key = 'not-allowed'", &token).await;
    assert!(matches!(result, Err(DeliverError::Refused(_))), "{result:?}");
    let result = deliver(&format!("{url}-no-such-mapping"), "", &token).await;
    assert!(matches!(result, Err(DeliverError::Refused(_))), "{result:?}");
}
