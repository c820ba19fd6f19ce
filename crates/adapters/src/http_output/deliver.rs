//! One attempt of `http_output`, and how its answer is judged.

use async_trait::async_trait;
use hook_core::ports::{DeliverError, Delivered, Egress, Failure};
use hook_event::{
    Clock, Event,
    standard_webhooks::{self, Key},
    trace,
};
use http::{HeaderName, HeaderValue};

use crate::{
    body::Body,
    client::{Client, Reply},
};

/// A URL that takes events.
pub(super) struct HttpOutput {
    pub(super) client: Client,
    pub(super) body: Body,
    pub(super) json: bool,
    pub(super) keys: Vec<Key>,
    pub(super) clock: Clock,
}

#[async_trait]
impl Egress for HttpOutput {
    async fn deliver(&self, event: &Event) -> Result<Delivered, DeliverError> {
        let body = self.body.render(event, self.json)?;
        let headers = self.headers_of(event, &body);
        let mut request = self.client.post(body);
        for (name, value) in headers {
            let value = HeaderValue::from_str(&value)
                .map_err(|_| DeliverError::Refused(Failure::because(format!("`{name}` cannot be sent"))))?;
            request.headers_mut().insert(HeaderName::from_static(name), value);
        }
        classify(&self.client.send(request).await?)
    }
}

impl HttpOutput {
    /// The signature is over the time of this attempt, so that a late retry is fresh.
    fn headers_of(&self, event: &Event, body: &[u8]) -> Vec<(&'static str, String)> {
        let id = event.id.to_string();
        let timestamp = self.clock.now().as_second();
        let mut headers = vec![("webhook-timestamp", timestamp.to_string()), ("idempotency-key", id.clone())];
        if !self.keys.is_empty() {
            headers.push(("webhook-signature", standard_webhooks::sign(&self.keys, &id, timestamp, body)));
        }
        headers.extend(trace::traceparent(event).map(|value| ("traceparent", value)));
        headers.push(("webhook-id", id));
        headers
    }
}

fn classify(reply: &Reply) -> Result<Delivered, DeliverError> {
    match reply.status {
        200..=299 => Ok(Delivered { status: Some(reply.status), detail: None }),
        429 | 502 | 503 | 504 => Err(DeliverError::Unavailable(reply.failure())),
        408 | 409 | 500..=599 => Err(DeliverError::Failed(reply.failure())),
        410 => Err(DeliverError::Halted(reply.failure())),
        _ => Err(DeliverError::Refused(reply.failure())),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_status_is_judged() {
        let check = |statuses: &[u16], expect: &str| {
            for status in statuses {
                let reply =
                    Reply { status: *status, after: Some(Duration::from_secs(7)), ..Reply::default() };
                let (judged, failure) = match classify(&reply) {
                    Ok(delivered) => {
                        assert_eq!(delivered.status, Some(*status));
                        ("delivered", None)
                    }
                    Err(DeliverError::Unavailable(failure)) => ("unavailable", Some(failure)),
                    Err(DeliverError::Failed(failure)) => ("failed", Some(failure)),
                    Err(DeliverError::Refused(failure)) => ("refused", Some(failure)),
                    Err(DeliverError::Halted(failure)) => ("halted", Some(failure)),
                };
                assert_eq!(judged, expect, "{status}");
                if let Some(failure) = failure {
                    assert_eq!((failure.status, failure.after), (Some(*status), reply.after));
                }
            }
        };
        check(&[200, 201, 202, 204, 226, 299], "delivered");
        check(&[429, 502, 503, 504], "unavailable");
        check(&[408, 409, 500, 501, 505, 507, 599], "failed");
        check(&[300, 301, 302, 303, 304, 307, 308], "refused");
        check(&[400, 401, 402, 403, 404, 405, 406, 411, 413, 415, 418, 422, 451, 499], "refused");
        check(&[100, 199, 600, 999], "refused");
        check(&[410], "halted");
        for status in 100..1000 {
            let delivered = classify(&Reply { status, ..Reply::default() }).is_ok();
            assert_eq!(delivered, (200..300).contains(&status), "{status}");
        }
    }
}
