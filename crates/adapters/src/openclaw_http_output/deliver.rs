//! One attempt of `openclaw_http_output`, and how its answer is judged.

use std::sync::Arc;

use async_trait::async_trait;
use hook_core::ports::{DeliverError, Delivered, Egress, Failure};
use hook_event::{Event, trace};
use http::HeaderValue;
use serde::Deserialize;

use super::wire::{Wire, refuse};
use crate::client::{Client, Reply};

/// A gateway that takes events.
pub(super) struct OpenClaw {
    pub(super) client: Client,
    pub(super) adapter: Arc<str>,
    pub(super) wire: Wire,
}

/// What the gateway says, as far as it matters here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Said {
    #[serde(default)]
    ok: Option<bool>,
    #[serde(default)]
    run_id: Option<String>,
}

#[async_trait]
impl Egress for OpenClaw {
    async fn deliver(&self, event: &Event) -> Result<Delivered, DeliverError> {
        let mut request = self.client.post(self.wire.encode(event)?);
        let key = HeaderValue::from_str(&format!("{}:{}", event.id, self.adapter))
            .map_err(|_| refuse("the adapter's id cannot be sent in a header".to_owned()))?;
        request.headers_mut().insert("idempotency-key", key);
        let trace = trace::traceparent(event).and_then(|value| HeaderValue::try_from(value).ok());
        request
            .headers_mut()
            .extend(trace.map(|value| (http::HeaderName::from_static("traceparent"), value)));
        classify(&self.client.send(request).await?)
    }
}

fn classify(reply: &Reply) -> Result<Delivered, DeliverError> {
    match reply.status {
        200..=299 => admitted(reply),
        401 => Err(DeliverError::Halted(reply.failure())),
        429 | 503 | 504 => Err(DeliverError::Unavailable(reply.failure())),
        408 | 409 | 500..=599 => Err(DeliverError::Failed(reply.failure())),
        _ => Err(DeliverError::Refused(reply.failure())),
    }
}

/// The gateway admits a run, or says no inside a 200.
fn admitted(reply: &Reply) -> Result<Delivered, DeliverError> {
    if reply.html {
        let reason = "the url answers with a web page, it is not a hooks endpoint of OpenClaw";
        let failure = Failure { status: Some(reply.status), ..Failure::because(reason) };
        return Err(DeliverError::Halted(failure));
    }
    let said = serde_json::from_slice(&reply.body).unwrap_or(Said { ok: None, run_id: None });
    if said.ok == Some(false) {
        return Err(DeliverError::Refused(reply.failure()));
    }
    Ok(Delivered { status: Some(reply.status), detail: said.run_id })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(reply: &Reply) -> &'static str {
        match classify(reply) {
            Ok(_) => "delivered",
            Err(DeliverError::Unavailable(_)) => "unavailable",
            Err(DeliverError::Failed(_)) => "failed",
            Err(DeliverError::Refused(_)) => "refused",
            Err(DeliverError::Halted(_)) => "halted",
        }
    }

    #[test]
    fn every_status_is_judged() {
        let check = |statuses: &[u16], expect: &str| {
            for status in statuses {
                assert_eq!(judge(&Reply { status: *status, ..Reply::default() }), expect, "{status}");
            }
        };
        check(&[200, 202, 204], "delivered");
        check(&[401], "halted");
        check(&[429, 503, 504], "unavailable");
        check(&[408, 409, 500, 501, 502], "failed");
        check(&[301, 307, 400, 403, 404, 405, 410, 413, 422], "refused");
        for status in 100..1000 {
            let delivered = classify(&Reply { status, ..Reply::default() }).is_ok();
            assert_eq!(delivered, (200..300).contains(&status), "{status}");
        }
    }

    #[test]
    fn a_200_is_read() {
        let check = |body: &'static [u8], html: bool, expect: &str| {
            let reply = Reply { status: 200, html, body: body.into(), ..Reply::default() };
            assert_eq!(judge(&reply), expect, "{}", String::from_utf8_lossy(body));
        };
        check(br#"{"ok":true,"runId":"r"}"#, false, "delivered");
        check(br#"{"ok":false,"error":"message required"}"#, false, "refused");
        check(b"ok", false, "delivered");
        check(b"", false, "delivered");
        check(b"<!doctype html>", true, "halted");
        let reply =
            Reply { status: 200, body: br#"{"ok":true,"runId":"r-1"}"#[..].into(), ..Reply::default() };
        assert_eq!(classify(&reply).unwrap().detail.as_deref(), Some("r-1"));
    }
}
