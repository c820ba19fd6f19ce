//! The pipeline's ports: what an adapter must provide, and may rely on.

use std::{borrow::Cow, net::IpAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use hook_event::{Event, EventId};
use http::{HeaderMap, Method};
use jiff::Timestamp;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

/// Brings bytes in and decides nothing: everything it reads goes to [`Accept`],
/// and it answers its sender with exactly what comes back.
#[async_trait]
pub trait Ingress: Send {
    /// Runs until `stop`, then refuses new work, finishes what was begun, and returns.
    async fn run(self: Box<Self>, accept: Arc<dyn Accept>, stop: CancellationToken) -> Result<(), RunError>;

    /// Where it listens, once built: `127.0.0.1:8080`.
    fn endpoint(&self) -> String;
}

/// The left half of the pipeline, as an ingress sees it.
#[async_trait]
pub trait Accept: Send + Sync {
    /// What can be refused before any body is read: an unknown source, a rate.
    fn admit(&self, source: &str, peer: Option<IpAddr>) -> Result<(), Refusal>;

    /// Verifies, normalizes and stores. **`Accepted` means stored durably.**
    async fn accept(&self, raw: RawEvent) -> Result<Answer, Refusal>;

    /// Keeps what was refused and has no sender who could be told, as a dead letter.
    /// **Durable when this returns**; refused only by [`Refusal::Unavailable`].
    async fn set_aside(&self, refused: Refused) -> Result<(), Refusal>;

    /// Whether events can be taken now.
    fn readiness(&self) -> Readiness;
}

/// What an ingress knows of its senders by itself, without any signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transport {
    /// How, such as `kafka:sasl_ssl`.
    pub by: Arc<str>,
    /// Whether nobody on the way could have written or changed it.
    pub protected: bool,
}

/// Something that was refused and cannot be sent again by anybody.
#[derive(Clone)]
pub struct Refused {
    /// The ingress adapter's id.
    pub adapter: Arc<str>,
    /// Where it lies, such as `orders/3/17`.
    pub position: String,
    /// Where it came from, for the count: a topic.
    pub topic: String,
    /// Its bytes.
    pub body: Bytes,
    /// Why.
    pub refusal: Refusal,
}

/// Bytes as they came, not yet believed.
#[derive(Clone)]
pub struct RawEvent {
    /// The source named by the path.
    pub source: String,
    /// The ingress adapter's id.
    pub adapter: Arc<str>,
    /// The request's method.
    pub method: Method,
    /// The request's path, without the query.
    pub path: String,
    /// The query, undecoded, without `?`.
    pub query: Option<String>,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, byte for byte.
    pub body: Bytes,
    /// What the ingress itself knows of the sender; none where anybody can connect.
    pub transport: Option<Transport>,
    /// Who sent it, after trusted proxies were taken off.
    pub peer: Option<IpAddr>,
    /// When its first byte was read.
    pub received_at: Timestamp,
}

/// What a sender is told when nothing was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Stored durably under these ids.
    Accepted {
        /// One id per event of the body.
        ids: Vec<EventId>,
        /// The body that the provider insists on, if any.
        reply: Option<Reply>,
    },
    /// The first event with this delivery id is stored already.
    Duplicate {
        /// Its id.
        id: EventId,
        /// The body that the provider insists on, if any.
        reply: Option<Reply>,
    },
    /// Dropped by a cooldown that the contract asked for.
    Suppressed,
    /// A provider's handshake, answered; nothing is stored.
    Handshake(Reply),
}

/// A body that a provider expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The media type.
    pub content_type: Cow<'static, str>,
    /// The body.
    pub body: Bytes,
    /// Headers besides the media type, such as an echoed `X-Hook-Secret`.
    pub headers: HeaderMap,
}

/// Why a sender is told no. Nothing was stored and no delivery id was spent.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Refusal {
    /// No such source.
    #[error("no source is called `{0}`")]
    UnknownSource(String),
    /// Too many requests.
    #[error("too many requests from this {scope}")]
    RateLimited {
        /// `peer` or `source`.
        scope: &'static str,
        /// When to come back.
        after: Duration,
    },
    /// The signature, token or time window does not fit.
    #[error("{0}")]
    Unverified(String),
    /// The method cannot carry an event.
    #[error("the method `{0}` cannot carry an event, send it by `POST`")]
    MethodNotAllowed(Method),
    /// The body is not what it says it is.
    #[error("{0}")]
    Malformed(String),
    /// The media type cannot carry an event.
    #[error("the media type `{0}` cannot carry an event, send `application/json`")]
    UnsupportedMediaType(String),
    /// A hook said no.
    #[error("the hook `{hook}` refused it: {reason}")]
    Denied {
        /// The hook.
        hook: String,
        /// Its reason.
        reason: String,
    },
    /// No serve route takes the event.
    #[error("no route takes event type `{event_type}` from source `{source_name}`")]
    Unroutable {
        /// The event's source.
        source_name: String,
        /// The event's type.
        event_type: String,
    },
    /// The event is larger than the log takes.
    #[error("an event of {size} bytes is larger than the limit of {limit}")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// It cannot be stored now; the sender should try again.
    #[error("the event cannot be stored now: {reason}")]
    Unavailable {
        /// Why.
        reason: String,
        /// When to come back.
        after: Duration,
    },
}

/// Whether, and as what, the process takes events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// Whether events can be stored now.
    pub ready: bool,
    /// The profile that runs.
    pub profile: String,
    /// `strict` or `debug`.
    pub validation_mode: String,
    /// Why it is not ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Takes one event to one destination.
///
/// An egress makes **one** attempt and classifies what came of it. It never
/// retries, sleeps or dead-letters; the pipeline does.
#[async_trait]
pub trait Egress: Send + Sync {
    /// One attempt.
    async fn deliver(&self, event: &Event) -> Result<Delivered, DeliverError>;

    /// Whether the destination is there, asked before waiting events are let go.
    async fn probe(&self) -> Result<(), DeliverError> {
        Ok(())
    }
}

/// A destination took the event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    /// The HTTP status, where there is one.
    pub status: Option<u16>,
    /// What the destination called it: a run id, an offset.
    pub detail: Option<String>,
}

/// What became of an attempt that did not deliver.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum DeliverError {
    /// The destination is not there. Spends no attempt, opens the breaker; the
    /// event waits.
    #[error("not available: {0}")]
    Unavailable(Failure),
    /// It is there, and this event failed. Spends an attempt.
    #[error("failed: {0}")]
    Failed(Failure),
    /// It will never take this event. Dead letter at once.
    #[error("refused: {0}")]
    Refused(Failure),
    /// It will take no event until a person acts (a wrong token, a retired
    /// endpoint). Spends no attempt; tried again only every few minutes.
    #[error("halted: {0}")]
    Halted(Failure),
}

/// The facts of a failed attempt.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Failure {
    /// For a person; never holds a payload or a secret.
    pub reason: String,
    /// The beginning of what the destination answered, which may repeat the payload:
    /// kept with the event in dead letters and the journal, never logged.
    pub excerpt: Option<String>,
    /// The HTTP status, where there is one.
    pub status: Option<u16>,
    /// When the destination wants to be asked again (`Retry-After`).
    pub after: Option<Duration>,
}

/// Remembers which deliveries were seen, across restarts.
///
/// reserve → append → keep, or release when the append failed, so that a
/// sender's retry after a 503 is welcome.
pub trait Claims: Send + Sync {
    /// Reserves `key` for `id`, unless somebody has it.
    fn reserve(&self, key: &str, id: EventId, now: Timestamp) -> Result<Reservation, ClaimError>;

    /// The event is stored: the claim holds from `at` for the claims' lifetime. Does
    /// nothing where `id` does not hold the reservation (any more).
    fn keep(&self, key: &str, id: EventId, at: Timestamp);

    /// The event was not stored: the key is free again, unless another event than
    /// `id` holds it by now.
    fn release(&self, key: &str, id: EventId);
}

/// The key of a delivery. It is made of what the stored event carries, so that claims
/// can be made again from the log.
pub fn claim_key(source: &str, delivery_id: &str) -> String {
    format!("{source}:{delivery_id}")
}

/// Whether a claim could be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reservation {
    /// It is new, and now reserved.
    New,
    /// An event with this key is stored.
    Duplicate(EventId),
    /// Another request with this key is being stored at this moment.
    InFlight,
}

/// The claims cannot be read; the sender should try again.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the ledger cannot be read: {0}")]
pub struct ClaimError(pub String);

/// Why a running part ended.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct RunError(pub String);

impl Failure {
    /// A failure with nothing but a reason.
    pub fn because(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), ..Self::default() }
    }

    /// `reason`, and after it what the destination answered. Only for what is kept
    /// with the event, never for a log line.
    pub(crate) fn quoted_after(&self, reason: &str) -> String {
        match &self.excerpt {
            Some(excerpt) => format!("{reason}: {excerpt}"),
            None => reason.to_owned(),
        }
    }
}

/// Leaves the excerpt out: it may repeat the payload.
impl std::fmt::Debug for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Failure")
            .field("reason", &self.reason)
            .field("status", &self.status)
            .field("after", &self.after)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.reason)
    }
}

impl DeliverError {
    /// The facts, whatever the judgement.
    pub fn failure(&self) -> &Failure {
        match self {
            Self::Unavailable(failure)
            | Self::Failed(failure)
            | Self::Refused(failure)
            | Self::Halted(failure) => failure,
        }
    }
}

impl std::fmt::Debug for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Refused")
            .field("adapter", &self.adapter)
            .field("position", &self.position)
            .field("refusal", &self.refusal)
            .finish_non_exhaustive()
    }
}

/// Shows sizes only: neither body nor headers may reach a log line.
impl std::fmt::Debug for RawEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RawEvent")
            .field("source", &self.source)
            .field("method", &self.method)
            .field("path", &self.path)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}
