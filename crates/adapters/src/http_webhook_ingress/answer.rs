//! What a sender is told: one exhaustive match from refusal to status.
//!
//! Refusals are `application/problem+json` (RFC 9457). `type` is
//! `urn:hook:problem:<code>` and never changes; `instance` names the request by the
//! trace id that an accepted event would carry.

use std::time::Duration;

use bytes::Bytes;
use hook_core::ports::{Answer, Readiness, Refusal, Reply};
use hook_event::EventId;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use serde::Serialize;

use super::body::BodyError;

/// A response with a body that is known.
pub(super) type Answered = Response<Full<Bytes>>;

/// When a sender should come back whose body found no memory.
const BUSY: Duration = Duration::from_secs(1);

/// A refusal on its way to the sender.
pub(super) struct Problem {
    status: StatusCode,
    code: &'static str,
    title: &'static str,
    detail: String,
    header: Option<Box<(HeaderName, HeaderValue)>>,
    /// Whether the connection cannot be used again.
    close: bool,
}

#[derive(Serialize)]
struct Accepted<'a> {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<EventId>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    ids: &'a [EventId],
}

#[derive(Serialize)]
struct ProblemJson<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    instance: String,
    code: &'a str,
}

/// The response to an event that was taken.
pub(super) fn answer(answer: Answer) -> Answered {
    let (status, word, ids, reply) = match answer {
        Answer::Accepted { ids, reply } => (StatusCode::ACCEPTED, "accepted", ids, reply),
        Answer::Duplicate { id, reply } => {
            let body = Accepted { status: "duplicate", id: Some(id), ids: &[] };
            return reply.map_or_else(|| json(StatusCode::OK, &body), given);
        }
        Answer::Suppressed => (StatusCode::OK, "suppressed", Vec::new(), None),
        Answer::Handshake(reply) => return given(reply),
    };
    let body = Accepted { status: word, id: ids.first().copied(), ids: &ids };
    reply.map_or_else(|| json(status, &body), given)
}

/// `GET /ready`.
pub(super) fn readiness(readiness: &Readiness) -> Answered {
    json(if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, readiness)
}

/// `GET /health`: whoever can answer is alive.
pub(super) fn health() -> Answered {
    json(StatusCode::OK, &Accepted { status: "ok", id: None, ids: &[] })
}

impl Problem {
    /// No such path.
    pub(super) fn not_found() -> Self {
        Self::new(404, "not_found", "nothing is served at this path", String::new())
    }

    /// A path that is served, but not by this method.
    pub(super) fn method(allow: &'static str) -> Self {
        let detail = format!("this path takes {allow}");
        let problem = Self::new(405, "method_not_allowed", "the method is not allowed", detail);
        problem.with(header::ALLOW, HeaderValue::from_static(allow))
    }

    /// A compressed body, whose signature could not be checked.
    pub(super) fn encoding(encoding: &str) -> Self {
        let detail = format!("the content encoding `{encoding}` is not taken, send the body as it is");
        let problem = Self::new(415, "unsupported_encoding", "the body must not be encoded", detail);
        problem.with(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"))
    }

    /// Something in here went wrong that nobody foresaw.
    pub(super) fn internal() -> Self {
        let detail = "nothing is known to be stored, send it again".to_owned();
        Self::new(500, "internal", "the request could not be handled", detail)
    }

    /// A body that could not be read.
    pub(super) fn body(error: BodyError, limit: usize) -> Self {
        let problem = match error {
            BodyError::TooLarge => {
                let detail = format!("the body is larger than the limit of {limit} bytes");
                Self::new(413, "too_large", "the body is too large", detail)
            }
            BodyError::Slow => {
                Self::new(408, "body_timeout", "the body did not arrive in time", String::new())
            }
            BodyError::Broken => Self::new(400, "broken_body", "the body broke off", String::new()),
            BodyError::Busy => {
                let detail = "other requests take all memory for bodies".to_owned();
                Self::new(503, "unavailable", "the event cannot be stored now", detail).after(BUSY)
            }
        };
        Self { close: true, ..problem }
    }

    /// What the pipeline refused: the one place where a refusal becomes a status.
    pub(super) fn refusal(refusal: &Refusal) -> Self {
        let detail = refusal.to_string();
        let of = |status, code, title| Self::new(status, code, title, detail.clone());
        match refusal {
            Refusal::UnknownSource(_) => of(404, "unknown_source", "the source is unknown"),
            Refusal::RateLimited { after, .. } => of(429, "rate_limited", "too many requests").after(*after),
            Refusal::Unverified(_) => of(401, "unverified", "the sender could not be verified"),
            Refusal::MethodNotAllowed(_) => Self { detail, ..Self::method("POST") },
            Refusal::Malformed(_) => of(400, "malformed", "the body is not what it says it is"),
            Refusal::UnsupportedMediaType(_) => {
                of(415, "unsupported_media_type", "the media type cannot carry an event")
            }
            Refusal::Denied { .. } => of(403, "denied", "a hook refused the event"),
            Refusal::Unroutable { .. } => of(422, "unroutable", "no route takes the event"),
            Refusal::TooLarge { .. } => of(413, "too_large", "the event is too large"),
            Refusal::Unavailable { after, .. } => {
                of(503, "unavailable", "the event cannot be stored now").after(*after)
            }
        }
    }

    /// The response, for the request with this trace id.
    pub(super) fn response(self, trace_id: &str) -> Answered {
        let body = ProblemJson {
            r#type: format!("urn:hook:problem:{}", self.code),
            title: self.title,
            status: self.status.as_u16(),
            detail: if self.detail.is_empty() { self.title } else { &self.detail },
            instance: format!("urn:hook:request:{trace_id}"),
            code: self.code,
        };
        let mut response = json(self.status, &body);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.extend(self.header.map(|header| *header));
        if self.close {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    fn new(status: u16, code: &'static str, title: &'static str, detail: String) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { status, code, title, detail, header: None, close: false }
    }

    fn with(self, name: HeaderName, value: HeaderValue) -> Self {
        Self { header: Some(Box::new((name, value))), ..self }
    }

    /// `Retry-After` in whole seconds, rounded up: zero would be an invitation.
    fn after(self, wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        self.with(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)))
    }
}

fn given(reply: Reply) -> Answered {
    let mut response = Response::new(Full::new(reply.body));
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::OK);
    *response.headers_mut() = reply.headers;
    if let Ok(value) = HeaderValue::from_str(&reply.content_type) {
        response.headers_mut().insert(header::CONTENT_TYPE, value);
    }
    response
}

fn json(status: StatusCode, body: &impl Serialize) -> Answered {
    #[expect(clippy::expect_used, reason = "these are plain structs of strings and numbers")]
    let body = serde_json::to_vec(body).expect("an answer is always JSON");
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
