//! One request: find the source, read the body, hand both over, answer.
//!
//! INVARIANT: what was handed to the pipeline runs to its end, even when the sender
//! hangs up meanwhile, so that no claim is left half made.

use std::{net::IpAddr, panic::AssertUnwindSafe, sync::Arc};

use bytes::Bytes;
use futures_util::FutureExt;
use hook_core::{
    ports::{Accept, Answer, RawEvent, Refusal},
    to_the_end::to_the_end,
};
use hook_event::{Clock, Entropy, trace};
use http::{HeaderMap, HeaderValue, Method, Request, header, request::Parts};
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::task::TaskTracker;

use super::{
    answer::{self, Answered, Problem},
    body::Bodies,
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
    pub(super) bodies: Bodies,
}

/// Where requests go, and the tasks that see them through.
pub(super) struct Pipeline {
    pub(super) accept: Arc<dyn Accept>,
    pub(super) tasks: TaskTracker,
}

impl Handler {
    /// Answers one request; a panic is an answer too, and costs nobody the connection.
    pub(super) async fn handle(
        &self,
        mut request: Request<Incoming>,
        socket: IpAddr,
        pipeline: &Pipeline,
    ) -> Answered {
        let trace_id = self.trace(request.headers_mut());
        let handled = AssertUnwindSafe(self.route(request, socket, pipeline)).catch_unwind().await;
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
        pipeline: &Pipeline,
    ) -> Result<Answered, Problem> {
        let read = matches!(*request.method(), Method::GET | Method::HEAD);
        match request.uri().path() {
            "/health" if read => Ok(answer::health()),
            "/ready" if read => Ok(answer::readiness(&pipeline.accept.readiness())),
            "/health" | "/ready" => Err(Problem::method("GET, HEAD")),
            path => {
                let source = self.path.source(path).ok_or_else(Problem::not_found)?.to_owned();
                let (parts, body) = request.into_parts();
                self.webhook(self.raw(source, parts, socket), body, pipeline).await
            }
        }
    }

    async fn webhook(
        &self,
        mut raw: RawEvent,
        body: Incoming,
        pipeline: &Pipeline,
    ) -> Result<Answered, Problem> {
        let refused = |refusal| Problem::refusal(&refusal);
        pipeline.accept.admit(&raw.source, raw.peer).map_err(refused)?;
        plain(&raw.headers)?;
        let held = self.bodies.read(body, announced(&raw.headers)).await;
        let held = held.map_err(|error| Problem::body(error, self.bodies.limit))?;
        raw.body = held.bytes;
        let answered = pipeline.accept(raw, held.permits).await.map_err(refused)?;
        Ok(answer::answer(answered))
    }

    /// What is known before the body. HTTP/2 says the host beside the headers, and
    /// some providers sign it, so it is put where HTTP/1.1 has it.
    fn raw(&self, source: String, mut parts: Parts, socket: IpAddr) -> RawEvent {
        let authority = parts.uri.authority().and_then(|host| HeaderValue::from_str(host.as_str()).ok());
        if let (false, Some(host)) = (parts.headers.contains_key(header::HOST), authority) {
            parts.headers.insert(header::HOST, host);
        }
        RawEvent {
            source,
            adapter: self.adapter.clone(),
            method: parts.method,
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().map(str::to_owned),
            transport: None,
            peer: Some(peer::sender(socket, &parts.headers, &self.trusted_proxies)),
            headers: parts.headers,
            body: Bytes::new(),
            received_at: self.clock.now(),
        }
    }

    /// The request's trace id: the sender's if it has one, else a new one, written
    /// into `traceparent` so that the event carries the id that the answer names.
    fn trace(&self, headers: &mut HeaderMap) -> String {
        let theirs =
            headers.get("traceparent").and_then(|value| value.to_str().ok()).and_then(trace::trace_id);
        if let Some(theirs) = theirs {
            return theirs.to_owned();
        }
        let random = hex::encode(self.entropy.bytes::<24>());
        let (trace_id, span) = random.split_at(32);
        if let Ok(value) = HeaderValue::try_from(format!("00-{trace_id}-{span}-01")) {
            headers.insert("traceparent", value);
        }
        trace_id.to_owned()
    }
}

impl Pipeline {
    /// Runs on when the connection is gone, and with it the body's share of the memory;
    /// a panic in it is a panic here.
    async fn accept(&self, raw: RawEvent, permits: Option<OwnedSemaphorePermit>) -> Result<Answer, Refusal> {
        let accept = self.accept.clone();
        let accepting = async move {
            let answered = accept.accept(raw).await;
            drop(permits);
            answered
        };
        to_the_end(self.tasks.track_future(accepting)).await
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

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use hook_core::ports::{Readiness, Refused};
    use jiff::Timestamp;
    use tokio::sync::{Notify, Semaphore};

    use super::*;

    /// Says when it began, and ends when it is told to.
    #[derive(Default)]
    struct Slow {
        begun: Notify,
        go: Notify,
    }

    #[async_trait]
    impl Accept for Slow {
        fn admit(&self, _source: &str, _peer: Option<IpAddr>) -> Result<(), Refusal> {
            Ok(())
        }

        async fn accept(&self, _raw: RawEvent) -> Result<Answer, Refusal> {
            self.begun.notify_one();
            self.go.notified().await;
            Ok(Answer::Suppressed)
        }

        async fn set_aside(&self, _: Refused) -> Result<(), Refusal> {
            Ok(())
        }

        fn readiness(&self) -> Readiness {
            Readiness { ready: true, profile: String::new(), validation_mode: String::new(), reason: None }
        }
    }

    #[tokio::test]
    async fn a_sender_that_hangs_up_frees_no_memory_that_is_still_in_use() {
        let (slow, budget) = (Arc::new(Slow::default()), Arc::new(Semaphore::new(1)));
        let pipeline = Pipeline { accept: slow.clone(), tasks: TaskTracker::new() };
        let raw = RawEvent {
            source: "github".into(),
            adapter: "http".into(),
            method: Method::POST,
            path: "/".into(),
            query: None,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            transport: None,
            peer: None,
            received_at: Timestamp::UNIX_EPOCH,
        };
        let permits = budget.clone().try_acquire_owned().unwrap();
        tokio::select! {
            biased;
            () = slow.begun.notified() => {}
            _ = pipeline.accept(raw, Some(permits)) => panic!("it was not told to end"),
        }
        assert_eq!(budget.available_permits(), 0);
        slow.go.notify_one();
        pipeline.tasks.close();
        pipeline.tasks.wait().await;
        assert_eq!(budget.available_permits(), 1);
    }
}
