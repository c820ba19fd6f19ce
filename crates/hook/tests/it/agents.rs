//! The seed's own contract, and a real agent gateway.

use std::net::SocketAddr;

use serde_json::Value;

use crate::support::{Hook, Receiver, SECRET, Sender, eventually};

/// The contract as its first users have it; only the two ports are the test's.
fn seed(bind: SocketAddr, gateway: &str) -> String {
    let text = include_str!("../../../../contracts/default-openclaw.toml");
    let text = text.replace("0.0.0.0:8080", &bind.to_string());
    text.replace("http://127.0.0.1:18789/hooks/agent", gateway)
}

const BODY: &[u8] = br#"{"action":"opened","number":7,"repository":{"full_name":"acme/api"}}"#;

fn prepared(gateway: String, token: &str) -> Hook {
    let mut hook = Hook::new(move |bind| seed(bind, &gateway));
    hook.unset_variable("GITHUB_SECRET");
    hook.set_variable("HMAC_SECRET_GITHUB", SECRET);
    hook.set_variable("HMAC_SECRET_LINEAR", "another secret");
    hook.set_variable("OPENCLAW_WEBHOOK_TOKEN", token);
    hook
}

#[tokio::test]
async fn the_seeds_default_contract_runs_unchanged() {
    let receiver = Receiver::answering(r#"{"ok":true,"runId":"run-1"}"#).await;
    let mut hook = prepared(format!("http://{}/hooks/agent", receiver.address), "t0ken");
    hook.start().await;
    let id = Sender::new().accepted(hook.address, "pull_request", "1", BODY).await;
    let delivery = receiver.wait_for(1).await.remove(0);
    assert_eq!(delivery.path, "/hooks/agent");
    assert_eq!(delivery.header("authorization"), "Bearer t0ken");
    assert!(delivery.header("idempotency-key").contains(&id));
    let body: Value = serde_json::from_slice(&delivery.body).unwrap();
    assert!(!body["message"].as_str().unwrap().is_empty());
    assert!(!hook.stderr().contains("acme/api"), "a payload reached the log");
}

#[tokio::test]
async fn the_real_gateway_starts_a_run_for_a_webhook() {
    let (url, token) = real_gateway();
    let mut hook = prepared(url, &token);
    hook.start().await;
    let id = Sender::new().accepted(hook.address, "pull_request", "1", BODY).await;
    let life = eventually("the gateway to admit the run", async || {
        let life = hook.life(&id)?;
        (life["attempts"].as_array()?.last()?["outcome"] == "delivered").then_some(life)
    })
    .await;
    let attempt = &life["attempts"][0];
    assert_eq!(attempt["status"], 200);
    assert!(attempt["detail"].as_str().is_some_and(|run| !run.is_empty()), "{life:#}");
}

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
