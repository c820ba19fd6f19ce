//! A destination: takes what comes, remembers it, answers as it is told.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, Ordering},
    },
    time::Instant,
};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, StatusCode, Uri},
};
use hyper::server::conn::http1;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
    task::{JoinHandle, JoinSet},
};

use super::PATIENCE;

/// One request that came.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) at: Instant,
    /// What it was answered.
    pub(crate) status: u16,
}

/// A server on a port of its own.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    server: Option<JoinHandle<()>>,
}

struct Shared {
    status: AtomicU16,
    answer: &'static str,
    /// A permit for every answer while [`Receiver::hold`] is on; plenty otherwise.
    gate: Semaphore,
    taken: Mutex<Vec<Delivery>>,
    /// How many requests came, answered or not.
    count: watch::Sender<usize>,
}

impl Delivery {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The event's id.
    pub(crate) fn id(&self) -> &str {
        self.header("webhook-id")
    }
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        Self::answering("{\"ok\":true}").await
    }

    /// One whose answers have this body.
    pub(crate) async fn answering(answer: &'static str) -> Self {
        let shared = Arc::new(Shared {
            status: AtomicU16::new(200),
            answer,
            gate: Semaphore::new(Semaphore::MAX_PERMITS >> 1),
            taken: Mutex::default(),
            count: watch::Sender::new(0),
        });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut receiver = Self { address, shared, server: None };
        receiver.serve(listener);
        receiver
    }

    /// What it answers from now on.
    pub(crate) fn answer(&self, status: u16) {
        self.shared.status.store(status, Ordering::SeqCst);
    }

    /// Requests are taken and not answered until [`Receiver::release`].
    pub(crate) fn hold(&self) {
        self.shared.gate.forget_permits(usize::MAX);
    }

    pub(crate) fn release(&self) {
        self.shared.gate.add_permits(Semaphore::MAX_PERMITS >> 1);
    }

    /// Nobody listens any more.
    pub(crate) async fn die(&mut self) {
        let server = self.server.take().expect("it lives");
        server.abort();
        // It was aborted, and that is how it ends.
        let _ = server.await;
    }

    pub(crate) async fn revive(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.serve(listener);
    }

    /// Everything that came so far.
    pub(crate) fn taken(&self) -> Vec<Delivery> {
        self.shared.taken.lock().unwrap().clone()
    }

    /// What was answered 2xx, by the event's id.
    pub(crate) fn by_id(&self) -> HashMap<String, Vec<Delivery>> {
        let mut by_id: HashMap<String, Vec<Delivery>> = HashMap::new();
        for delivery in self.taken().into_iter().filter(|delivery| delivery.status < 300) {
            by_id.entry(delivery.id().to_owned()).or_default().push(delivery);
        }
        by_id
    }

    /// Waits until this many requests came.
    pub(crate) async fn wait_for(&self, count: usize) -> Vec<Delivery> {
        let mut counted = self.shared.count.subscribe();
        let enough = tokio::time::timeout(PATIENCE, counted.wait_for(|have| *have >= count)).await;
        assert!(enough.is_ok(), "{} of {count} requests came", self.taken().len());
        self.taken()
    }

    fn serve(&mut self, listener: TcpListener) {
        self.server = Some(tokio::spawn(serve(listener, self.shared.clone())));
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if let Some(server) = &self.server {
            server.abort();
        }
    }
}

/// Connections are of this task, so that they break when it is aborted.
async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let app = Router::new().fallback(take).layer(DefaultBodyLimit::disable()).with_state(shared);
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let service = TowerToHyperService::new(app.clone());
        connections.spawn(async move {
            // A connection that breaks is part of many tests.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn take(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, &'static str) {
    let status = shared.status.load(Ordering::SeqCst);
    let delivery = Delivery { path: uri.path().to_owned(), headers, body, at: Instant::now(), status };
    shared.taken.lock().unwrap().push(delivery);
    shared.count.send_modify(|count| *count += 1);
    let _turn = shared.gate.acquire().await.unwrap();
    (StatusCode::from_u16(status).unwrap(), shared.answer)
}
