//! A destination on loopback: checks every signature, refuses what the story says
//! it refuses, and is down for as long as it is told to be.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, extract::State, routing::post};
use bytes::Bytes;
use hook_event::{Clock, standard_webhooks as sw};
use http::{HeaderMap, HeaderValue, StatusCode, header::RETRY_AFTER};
use tokio::{net::TcpListener, task::JoinHandle, time::Instant};

/// Ends with the value.
pub(super) struct Receiver {
    at: SocketAddr,
    counts: Arc<Counts>,
    server: JoinHandle<()>,
}

struct Counts {
    secret: &'static str,
    up_at: Instant,
    received: AtomicUsize,
    forged: AtomicUsize,
}

impl Receiver {
    pub(super) async fn start(secret: &'static str, down_for: Duration) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let at = listener.local_addr()?;
        let up_at = Instant::now() + down_for;
        let counts =
            Arc::new(Counts { secret, up_at, received: AtomicUsize::new(0), forged: AtomicUsize::new(0) });
        let router = Router::new().route("/", post(receive)).with_state(counts.clone());
        let server = tokio::spawn(async move {
            // Ends only when the receiver is dropped.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { at, counts, server })
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/", self.at)
    }

    pub(super) fn received(&self) -> usize {
        self.counts.received.load(Ordering::Relaxed)
    }

    pub(super) fn forged(&self) -> usize {
        self.counts.forged.load(Ordering::Relaxed)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn receive(
    State(counts): State<Arc<Counts>>,
    headers: HeaderMap,
    body: Bytes,
) -> (HeaderMap, StatusCode) {
    if Instant::now() < counts.up_at {
        let retry = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static("1"))]);
        return (retry, StatusCode::SERVICE_UNAVAILABLE);
    }
    let status = match genuine(counts.secret, &headers, &body) {
        false => {
            counts.forged.fetch_add(1, Ordering::Relaxed);
            StatusCode::UNAUTHORIZED
        }
        true if body.windows(REFUSED.len()).any(|part| part == REFUSED) => StatusCode::UNPROCESSABLE_ENTITY,
        true => {
            counts.received.fetch_add(1, Ordering::Relaxed);
            StatusCode::NO_CONTENT
        }
    };
    (HeaderMap::new(), status)
}

/// What this destination will never take.
const REFUSED: &[u8] = b"a payload that the archive refuses";

fn genuine(secret: &str, headers: &HeaderMap, body: &[u8]) -> bool {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let signed = (header("webhook-id"), header("webhook-timestamp"), header("webhook-signature"));
    let now = Clock::SYSTEM.now().as_second();
    let key = sw::PublicKey::parse(secret);
    key.is_ok_and(|key| sw::verify(&[key], signed, body, now, sw::TOLERANCE_SECONDS).is_ok())
}
