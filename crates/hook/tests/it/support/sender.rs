//! A sender: signs as GitHub does, by its own code.

use std::net::SocketAddr;

use hmac::{Hmac, KeyInit, Mac};
use reqwest::{Client, RequestBuilder};
use serde_json::Value;
use sha2::Sha256;

/// The secret that sender and receiver share.
pub(crate) const SECRET: &str = "It's a Secret to Everybody";

/// Posts webhooks over kept connections.
#[derive(Clone)]
pub(crate) struct Sender {
    client: Client,
}

/// How a webhook was answered.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) status: u16,
    pub(crate) body: Value,
    pub(crate) retry_after: Option<String>,
}

impl Sender {
    pub(crate) fn new() -> Self {
        Self { client: Client::builder().no_proxy().build().unwrap() }
    }

    /// A signed webhook, ready to be changed or sent.
    pub(crate) fn github(&self, to: SocketAddr, event: &str, delivery: &str, body: &[u8]) -> RequestBuilder {
        self.client
            .post(format!("http://{to}/webhook/github"))
            .header("content-type", "application/json")
            .header("x-github-event", event)
            .header("x-github-delivery", delivery)
            .header("x-hub-signature-256", github_signature(SECRET, body))
            .body(body.to_vec())
    }

    pub(crate) async fn send(&self, to: SocketAddr, event: &str, delivery: &str, body: &[u8]) -> Sent {
        Sent::by(self.github(to, event, delivery, body)).await
    }

    /// The id of a webhook that must be accepted.
    pub(crate) async fn accepted(&self, to: SocketAddr, event: &str, delivery: &str, body: &[u8]) -> String {
        let sent = self.send(to, event, delivery, body).await;
        assert_eq!(sent.status, 202, "{event} {delivery}: {sent:?}");
        sent.id()
    }
}

impl Sent {
    pub(crate) async fn by(request: RequestBuilder) -> Self {
        Self::read(request.send().await.unwrap()).await
    }

    /// Reads the answer to its end.
    pub(crate) async fn read(answer: reqwest::Response) -> Self {
        let status = answer.status().as_u16();
        let retry_after = answer.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        let body = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default();
        Self { status, body, retry_after }
    }

    pub(crate) fn id(&self) -> String {
        self.body["id"].as_str().unwrap_or_else(|| panic!("an answer without an id: {self:?}")).to_owned()
    }
}

/// The value of `X-Hub-Signature-256`.
pub(crate) fn github_signature(secret: &str, body: &[u8]) -> String {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

#[test]
fn the_signature_is_the_one_in_githubs_documentation() {
    let expected = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    assert_eq!(github_signature(SECRET, b"Hello, World!"), expected);
}
