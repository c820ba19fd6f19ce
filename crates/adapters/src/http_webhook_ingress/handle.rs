//! One request: find the source, read the body, hand both over, answer.
//!
//! INVARIANT: what was handed to the pipeline runs to its end, even when the sender
//! hangs up meanwhile, so that no claim is left half made.

use std::{net::IpAddr, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt;
use hook_core::ports::{Accept, Answer, RawEvent, Refusal};
use hook_event::{Clock, Entropy};
use http::{HeaderMap, HeaderValue, Method, Request, header, request::Parts};
use hyper::body::Incoming;
use tokio_util::task::TaskTracker;

use super::{
    answer::{self, Answered, Problem},
    body::{self, Budget},
    path::PathTemplate,
    peer,
};
use crate::guard::Networks;

/// What every request is handled by.
pub(super) struct Handler {
    pub(super) adapter: Arc<str>,
    pub(super) clock: Clock,
    pub(super) entropy: Entropy,
    pub(super) path: PathTemplate,
    pub(super) trusted_proxies: Networks,
    pub(super) max_payload: usize,
    pub(super) body_timeout: Duration,
    pub(super) budget: Budget,
}

impl Handler {
    /// Answers one request; a panic is an answer too, and costs nobody the connection.
    pub(super) async fn handle(
        &self,
        mut request: Request<Incoming>,
        socket: IpAddr,
        accept: &Arc<dyn Accept>,
        tasks: &TaskTracker,
    ) -> Answered {
        let trace_id = self.trace(request.headers_mut());
        let handled = AssertUnwindSafe(self.route(request, socket, accept, tasks)).catch_unwind().await;
        let result = handled.unwrap_or_else(|_| {
            tracing::error!(ingress_adapter = &*self.adapter, trace_id, "a request's handler panicked");
            Err(Problem::internal())
        });
        result.unwrap_or_else(|problem| problem.response(&trace_id))
    }

    async fn route(
        &self,
        request: Request<Incoming>,
        socket: IpAddr,
        accept: &Arc<dyn Accept>,
        tasks: &TaskTracker,
    ) -> Result<Answered, Problem> {
        let read = matches!(*request.method(), Method::GET | Method::HEAD);
        match request.uri().path() {
            "/health" if read => Ok(answer::health()),
            "/ready" if read => Ok(answer::readiness(&accept.readiness())),
            "/health" | "/ready" => Err(Problem::method("GET, HEAD")),
            path => match self.path.source(path) {
                Some(source) => {
                    let source = source.to_owned();
                    self.webhook(source, request, socket, accept, tasks).await
                }
                None => Err(Problem::not_found()),
            },
        }
    }

    async fn webhook(
        &self,
        source: String,
        request: Request<Incoming>,
        socket: IpAddr,
        accept: &Arc<dyn Accept>,
        tasks: &TaskTracker,
    ) -> Result<Answered, Problem> {
        let received_at = self.clock.now();
        let (parts, incoming) = request.into_parts();
        let peer = peer::sender(socket, &parts.headers, &self.trusted_proxies);
        accept.admit(&source, Some(peer)).map_err(|refusal| Problem::refusal(&refusal))?;
        plain(&parts.headers)?;
        let announced = parts.headers.get(header::CONTENT_LENGTH).and_then(number);
        let held = body::read(incoming, announced, self.max_payload, self.body_timeout, &self.budget)
            .await
            .map_err(|error| Problem::body(error, self.max_payload))?;
        let raw = self.raw(source, parts, held.bytes, peer, received_at);
        let answered = to_the_end(accept.clone(), raw, tasks).await;
        drop(held.permits);
        answered.map(answer::answer).map_err(|refusal| Problem::refusal(&refusal))
    }

    fn raw(
        &self,
        source: String,
        parts: Parts,
        body: bytes::Bytes,
        peer: IpAddr,
        received_at: jiff::Timestamp,
    ) -> RawEvent {
        RawEvent {
            source,
            adapter: self.adapter.clone(),
            method: parts.method,
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().map(str::to_owned),
            headers: parts.headers,
            body,
            peer: Some(peer),
            received_at,
        }
    }

    /// The request's trace id: the sender's if it has one, else a new one, written
    /// into `traceparent` so that the event carries the id that the answer names.
    fn trace(&self, headers: &mut HeaderMap) -> String {
        let theirs = headers.get("traceparent").and_then(|value| value.to_str().ok()).and_then(trace_id);
        if let Some(theirs) = theirs {
            return theirs.to_owned();
        }
        let trace = hex::encode(self.entropy.bytes::<16>());
        let span = hex::encode(self.entropy.bytes::<8>());
        if let Ok(value) = HeaderValue::try_from(format!("00-{trace}-{span}-01")) {
            headers.insert("traceparent", value);
        }
        trace
    }
}

/// Runs on when the connection is gone; a panic in it is a panic here.
async fn to_the_end(accept: Arc<dyn Accept>, raw: RawEvent, tasks: &TaskTracker) -> Result<Answer, Refusal> {
    match tasks.spawn(async move { accept.accept(raw).await }).await {
        Ok(answered) => answered,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(Refusal::Unavailable {
            reason: "the process is stopping".to_owned(),
            after: Duration::from_secs(5),
        }),
    }
}

/// Signatures are made over the bytes that were sent, so encoded bodies are refused.
fn plain(headers: &HeaderMap) -> Result<(), Problem> {
    for value in headers.get_all(header::CONTENT_ENCODING) {
        let encoding = value.to_str().unwrap_or("?").trim();
        if !encoding.is_empty() && !encoding.eq_ignore_ascii_case("identity") {
            return Err(Problem::encoding(encoding));
        }
    }
    Ok(())
}

fn number(value: &HeaderValue) -> Option<u64> {
    value.to_str().ok()?.trim().parse().ok()
}

/// The trace id of a W3C `traceparent`.
fn trace_id(value: &str) -> Option<&str> {
    let mut parts = value.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let lower_hex = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let zeros = |text: &str| text.bytes().all(|byte| byte == b'0');
    let formed = lower_hex(version, 2) && lower_hex(trace, 32) && lower_hex(span, 16) && lower_hex(flags, 2);
    (formed && version != "ff" && !zeros(trace) && !zeros(span)).then_some(trace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_traceparent_is_believed() {
        let check = |value: &str, expect: bool| assert_eq!(trace_id(value).is_some(), expect, "{value}");
        check("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", true);
        check("00-00000000000000000000000000000000-00f067aa0ba902b7-01", false);
        check("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", false);
        check("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", false);
        check("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false);
        check("00-4bf92f3577b34da6a3ce929d0e0e4736", false);
        check("nonsense", false);
    }
}
