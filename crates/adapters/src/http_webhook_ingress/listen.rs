//! The accept loop: our own, because a server must say no to slow headers, to too
//! many connections, and to spinning when no file descriptor is left.
//!
//! Stopping: the listener closes, connections finish the request that they are in (a
//! fresh one its first), and what is not done by the deadline is cut off.

use std::{
    io,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use hook_core::ports::{Accept, Ingress, RunError};
use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::handle::{Handler, Pipeline};

/// How long accepting rests when the system is out of something.
const REST: Duration = Duration::from_millis(500);
/// How long a connection may stay without a request, once it had one.
const IDLE: Duration = Duration::from_secs(60);
/// How long an idle connection may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// What a connection may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) connections: usize,
    pub(super) header_timeout: Duration,
    /// How long requests under way may take when the process stops.
    pub(super) drain: Duration,
}

/// A listener that is bound and not yet accepting.
pub(super) struct Server {
    pub(super) socket: TcpListener,
    pub(super) address: SocketAddr,
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) limits: Limits,
    pub(super) handler: Arc<Handler>,
}

/// What all connections share.
struct Shared {
    tls: Option<TlsAcceptor>,
    limits: Limits,
    handler: Arc<Handler>,
    /// Its tasks are the connections, and what was handed to the pipeline.
    pipeline: Pipeline,
    /// Finish and close.
    stop: CancellationToken,
    /// Close.
    cut: CancellationToken,
    http: Builder<TokioExecutor>,
}

#[async_trait]
impl Ingress for Server {
    async fn run(self: Box<Self>, accept: Arc<dyn Accept>, stop: CancellationToken) -> Result<(), RunError> {
        let Self { socket, tls, limits, handler, .. } = *self;
        let shared = Arc::new(Shared {
            tls,
            limits,
            handler,
            pipeline: Pipeline { accept, tasks: TaskTracker::new() },
            stop,
            cut: CancellationToken::new(),
            http: http(limits),
        });
        let slots = Arc::new(Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS)));
        let tasks = &shared.pipeline.tasks;
        while let Some((stream, peer, slot)) = next(&socket, &slots, &shared.stop).await {
            tasks.spawn(connection(shared.clone(), stream, peer, slot));
        }
        drop(socket);
        tasks.close();
        if timeout(limits.drain, tasks.wait()).await.is_err() {
            tracing::warn!(left = tasks.len(), "requests were cut off that did not end in time");
            shared.cut.cancel();
        }
        Ok(())
    }

    fn endpoint(&self) -> String {
        self.address.to_string()
    }
}

fn http(limits: Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(limits.header_timeout);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Some(Duration::from_secs(20)))
        .max_concurrent_streams(256);
    builder
}

/// The next connection, once there is room for it; none when stopping.
async fn next(
    socket: &TcpListener,
    slots: &Arc<Semaphore>,
    stop: &CancellationToken,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let slot = tokio::select! {
        slot = slots.clone().acquire_owned() => slot.ok()?,
        () = stop.cancelled() => return None,
    };
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            () = stop.cancelled() => return None,
        };
        match accepted {
            Ok((stream, peer)) => return Some((stream, peer, slot)),
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "no connection can be accepted now");
                // Either way the loop goes on; `select` above sees the stop.
                let _ = timeout(REST, stop.cancelled()).await;
            }
        }
    }
}

/// An error that ended with its connection, unlike a shortage, which would spin.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

async fn connection(shared: Arc<Shared>, stream: TcpStream, peer: SocketAddr, slot: OwnedSemaphorePermit) {
    // A socket that refuses the option is no worse for it.
    let _ = stream.set_nodelay(true);
    let served = async {
        match &shared.tls {
            None => drive(&shared, stream, peer).await,
            Some(tls) => {
                // A handshake that fails or dawdles is the sender's affair.
                if let Ok(Ok(stream)) = timeout(shared.limits.header_timeout, tls.accept(stream)).await {
                    drive(&shared, stream, peer).await;
                }
            }
        }
    };
    tokio::select! {
        () = served => {}
        () = shared.cut.cancelled() => {}
    }
    drop(slot);
}

async fn drive<S>(shared: &Arc<Shared>, stream: S, peer: SocketAddr)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let activity = Arc::new(Activity::default());
    let service = service_fn(|request| {
        let (begun, shared) = (activity.begin(), shared.clone());
        async move {
            let answered = shared.handler.handle(request, peer.ip(), &shared.pipeline).await;
            drop(begun);
            Ok::<_, std::convert::Infallible>(answered)
        }
    });
    let mut serving = pin!(shared.http.serve_connection(TokioIo::new(stream), service));
    let goodbye = tokio::select! {
        // How a connection ends is between its two sides.
        _ = serving.as_mut() => return,
        () = activity.idle(shared.limits.header_timeout) => GOODBYE,
        () = shared.stop.cancelled() => {
            // It was taken from whoever comes next: what it is about to say is heard.
            tokio::select! {
                _ = serving.as_mut() => return,
                _ = timeout(GOODBYE, activity.begun()) => shared.limits.drain,
            }
        }
    };
    serving.as_mut().graceful_shutdown();
    let _ = timeout(goodbye, serving).await;
}

/// Whether a connection is being used. HTTP/1's header timeout does not see one that
/// never sends its first bytes, nor one of HTTP/2.
#[derive(Default)]
struct Activity {
    under_way: AtomicUsize,
    /// Requests begun and requests ended.
    turns: AtomicUsize,
    first: Notify,
}

struct Begun(Arc<Activity>);

impl Activity {
    fn begin(self: &Arc<Self>) -> Begun {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        if self.turns.fetch_add(1, Ordering::Relaxed) == 0 {
            self.first.notify_one();
        }
        Begun(self.clone())
    }

    /// Returns when a request was begun, however long ago. For one waiter, once.
    async fn begun(&self) {
        self.first.notified().await;
    }

    /// Returns when nothing was under way for long enough: `first` until the first
    /// request, afterwards between once and twice [`IDLE`].
    #[expect(
        clippy::disallowed_methods,
        reason = "a watchdog, looking at long intervals costs requests nothing"
    )]
    async fn idle(&self, first: Duration) {
        loop {
            let turns = self.turns.load(Ordering::Relaxed);
            tokio::time::sleep(if turns == 0 { first } else { IDLE }).await;
            let quiet = self.turns.load(Ordering::Relaxed) == turns;
            if quiet && self.under_way.load(Ordering::Relaxed) == 0 {
                return;
            }
        }
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
        self.0.turns.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use hook_core::ports::{Answer, RawEvent, Readiness, Refusal, Refused};
    use hook_event::{Clock, Entropy};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::{
        guard::Networks,
        http_webhook_ingress::{body::Bodies, path::PathTemplate},
    };

    /// A pipeline that never comes back.
    struct Stuck(tokio::sync::mpsc::UnboundedSender<()>);

    #[async_trait]
    impl Accept for Stuck {
        fn admit(&self, _: &str, _: Option<IpAddr>) -> Result<(), Refusal> {
            Ok(())
        }

        async fn accept(&self, _: RawEvent) -> Result<Answer, Refusal> {
            self.0.send(()).unwrap();
            std::future::pending().await
        }

        async fn set_aside(&self, _: Refused) -> Result<(), Refusal> {
            Ok(())
        }

        fn readiness(&self) -> Readiness {
            Readiness { ready: true, profile: String::new(), validation_mode: String::new(), reason: None }
        }
    }

    #[tokio::test]
    async fn what_does_not_end_by_the_deadline_is_cut_off() {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let handler = Handler {
            adapter: Arc::from("a"),
            clock: Clock::SYSTEM,
            entropy: Entropy::SYSTEM,
            path: PathTemplate::default(),
            trusted_proxies: Networks::default(),
            bodies: Bodies::new(10, Duration::from_secs(1)),
        };
        let limits = Limits {
            connections: 8,
            header_timeout: Duration::from_secs(10),
            drain: Duration::from_millis(200),
        };
        let server = Server { socket, address, tls: None, limits, handler: Arc::new(handler) };
        let (begun, mut begins) = tokio::sync::mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        let ended = tokio::spawn(Box::new(server).run(Arc::new(Stuck(begun)), stop.clone()));
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"POST /webhook/a HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        begins.recv().await.unwrap();
        stop.cancel();
        let patience = Duration::from_secs(5);
        timeout(patience, ended).await.expect("it ends").unwrap().unwrap();
        assert_eq!(timeout(patience, stream.read(&mut [0])).await.expect("it is closed").unwrap_or(0), 0);
    }

    #[test]
    fn a_shortage_makes_the_loop_rest_and_a_lost_connection_does_not() {
        let (emfile, enfile, econnaborted, econnreset) = (24, 23, 103, 104);
        let check = |code: i32, expect: bool| {
            assert_eq!(is_of_one_connection(&io::Error::from_raw_os_error(code)), expect, "{code}");
        };
        check(emfile, false);
        check(enfile, false);
        check(econnaborted, true);
        check(econnreset, true);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_when_nothing_is_under_way_for_long_enough() {
        let first = Duration::from_secs(10);
        let idle = async |activity: &Activity| {
            let begun = tokio::time::Instant::now();
            timeout(Duration::from_secs(3600), activity.idle(first)).await.ok().map(|()| begun.elapsed())
        };
        let activity = Arc::new(Activity::default());
        assert_eq!(idle(&activity).await, Some(first));
        let begun = activity.begin();
        assert_eq!(idle(&activity).await, None);
        drop(begun);
        assert_eq!(idle(&activity).await, Some(IDLE));
    }
}
