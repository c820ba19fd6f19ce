//! A pipeline that answers by script, a receiver that answers by script, and the
//! driver tables' way of building what is tested.

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use hook_core::{
    driver::{
        BuildContext, BuildError, Drivers, EgressConfig, EgressDriver, IngressConfig, IngressDriver, merged,
    },
    inherited::Inherited,
    plan::KafkaConnection,
    plugin::PLUGINS,
    ports::{Accept, Answer, Egress, RawEvent, Readiness, Refusal, Refused, RunError},
    secret::Environment,
};
use hook_event::{Clock, Entropy, Event, EventId, Meta};
use http::{HeaderMap, Response};
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use jiff::Timestamp;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// No step of a test takes longer, or the test has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) const INGRESS: &[IngressDriver] = {
    use {hook_adapters::INGRESS as ONE, hook_kafka::INGRESS as OTHER};
    &merged::<_, { ONE.len() + OTHER.len() }>(ONE, OTHER)
};

pub(crate) const EGRESS: &[EgressDriver] = {
    use {hook_adapters::EGRESS as ONE, hook_kafka::EGRESS as OTHER};
    &merged::<_, { ONE.len() + OTHER.len() }>(ONE, OTHER)
};

/// Every driver that there is, as the program has them.
pub(crate) const DRIVERS: Drivers = Drivers { ingress: INGRESS, egress: EGRESS, plugins: PLUGINS };

pub(crate) const NOW: i64 = 1_753_000_000;

fn keys(text: &str) -> Spanned<DeValue<'_>> {
    let table = DeTable::parse(text).unwrap();
    Spanned::new(table.span(), DeValue::Table(table.into_inner()))
}

fn context(variables: &[(&str, &str)]) -> BuildContext {
    BuildContext {
        id: Arc::from("under-test"),
        environment: Environment::new(variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))),
        clock: Clock::of(|| Timestamp::from_second(NOW).unwrap()),
        entropy: Entropy::SYSTEM,
        inherited: Inherited::default(),
        kafka: KafkaConnection::default(),
    }
}

pub(crate) fn event(payload: &str) -> Event {
    let received_at = Timestamp::from_second(NOW - 60).unwrap();
    Event {
        id: EventId::new(received_at, Entropy::SYSTEM),
        source: "github".into(),
        event_type: "pull_request.opened".into(),
        received_at,
        meta: Meta { trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736".into()), ..Meta::default() },
        payload: Bytes::copy_from_slice(payload.as_bytes()),
    }
}

pub(crate) fn egress_config(driver: &str, text: &str) -> Arc<dyn EgressConfig> {
    let row = EGRESS.iter().find(|row| row.name == driver).unwrap();
    (row.parse)(keys(text)).unwrap()
}

/// Builds as the program does: only what `check` finds nothing against.
pub(crate) async fn egress(driver: &str, text: &str, variables: &[(&str, &str)]) -> Arc<dyn Egress> {
    let config = egress_config(driver, text);
    assert_eq!(config.check(), []);
    config.build(&context(variables)).await.unwrap()
}

type Admit = dyn Fn(&str, Option<IpAddr>) -> Result<(), Refusal> + Send + Sync;
type Take = dyn Fn(RawEvent) -> BoxFuture<'static, Result<Answer, Refusal>> + Send + Sync;

/// A pipeline that does as it is told and remembers what it was given.
pub(crate) struct Script {
    pub(crate) admit: Box<Admit>,
    pub(crate) take: Box<Take>,
    pub(crate) ready: bool,
    pub(crate) seen: Mutex<Vec<RawEvent>>,
}

impl Script {
    /// Takes everything; the take's answer is the closure's.
    pub(crate) fn answering<F>(answer: F) -> Self
    where
        F: Fn(&RawEvent) -> Result<Answer, Refusal> + Send + Sync + 'static,
    {
        Self::taking(move |raw| {
            let answer = answer(&raw);
            Box::pin(async move { answer })
        })
    }

    pub(crate) fn taking<F>(take: F) -> Self
    where
        F: Fn(RawEvent) -> BoxFuture<'static, Result<Answer, Refusal>> + Send + Sync + 'static,
    {
        Self { admit: Box::new(|_, _| Ok(())), take: Box::new(take), ready: true, seen: Mutex::default() }
    }

    pub(crate) fn accepting() -> Self {
        Self::answering(|_| Ok(accepted()))
    }

    pub(crate) fn bodies(&self) -> Vec<Bytes> {
        self.seen.lock().unwrap().iter().map(|raw| raw.body.clone()).collect()
    }
}

pub(crate) fn accepted() -> Answer {
    Answer::Accepted { ids: vec![id(1)], reply: None }
}

pub(crate) fn id(last: u8) -> EventId {
    let mut bytes = [0; 16];
    bytes[15] = last;
    EventId::from_bytes(bytes)
}

#[async_trait]
impl Accept for Script {
    fn admit(&self, source: &str, peer: Option<IpAddr>) -> Result<(), Refusal> {
        (self.admit)(source, peer)
    }

    async fn accept(&self, raw: RawEvent) -> Result<Answer, Refusal> {
        self.seen.lock().unwrap().push(raw.clone());
        (self.take)(raw).await
    }

    async fn set_aside(&self, _: Refused) -> Result<(), Refusal> {
        Err(Refusal::Malformed("HTTP tells its senders".into()))
    }

    fn readiness(&self) -> Readiness {
        Readiness {
            ready: self.ready,
            profile: "default".into(),
            validation_mode: "strict".into(),
            reason: (!self.ready).then(|| "the disk is full".into()),
        }
    }
}

/// An ingress that runs.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) script: Arc<Script>,
    pub(crate) stop: CancellationToken,
    pub(crate) ended: JoinHandle<Result<(), RunError>>,
}

impl Running {
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends bytes as they are and reads until the server closes.
    pub(crate) async fn exchange(&self, request: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        read_to_end(&mut stream).await
    }
}

pub(crate) async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut text)).await.expect("the server closes").unwrap();
    String::from_utf8(text).unwrap()
}

pub(crate) async fn answers_health(stream: &mut TcpStream, patience: Duration) -> bool {
    stream.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = [0; 512];
    timeout(patience, stream.read(&mut answer)).await.is_ok_and(|read| read.unwrap() > 0)
}

fn ingress_config(text: &str) -> Arc<dyn IngressConfig> {
    let row = INGRESS.iter().find(|row| row.name == "http_webhook_ingress").unwrap();
    let config = (row.parse)(keys(text)).unwrap();
    assert_eq!(config.check(), []);
    config
}

pub(crate) async fn ingress(keys: &str, script: Script) -> Running {
    try_ingress(&format!("bind = '127.0.0.1:0'\n{keys}"), script).await.unwrap()
}

pub(crate) async fn try_ingress(text: &str, script: Script) -> Result<Running, BuildError> {
    let built = ingress_config(text).build(&context(&[])).await?;
    let address = built.endpoint().parse().unwrap();
    let (script, stop) = (Arc::new(script), CancellationToken::new());
    let ended = tokio::spawn(built.run(script.clone(), stop.clone()));
    Ok(Running { address, script, stop, ended })
}

/// A plain client: no proxy, no redirects, HTTP/1.1.
pub(crate) fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(PATIENCE)
        .build()
        .unwrap()
}

/// What a receiver was sent.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Got {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// A server that answers by script and remembers what it was sent.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    pub(crate) got: Arc<Mutex<Vec<Got>>>,
}

impl Receiver {
    pub(crate) async fn answering<F>(answer: F) -> Self
    where
        F: Fn(&Got) -> Response<Full<Bytes>> + Send + Sync + 'static,
    {
        Self::taking(move |got| {
            let answer = answer(&got);
            Box::pin(async move { answer })
        })
        .await
    }

    pub(crate) async fn taking<F>(answer: F) -> Self
    where
        F: Fn(Got) -> BoxFuture<'static, Response<Full<Bytes>>> + Send + Sync + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let got: Arc<Mutex<Vec<Got>>> = Arc::default();
        let (answer, log) = (Arc::new(answer), got.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, log) = (answer.clone(), log.clone());
                let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                    let (answer, log) = (answer.clone(), log.clone());
                    async move {
                        let (parts, body) = request.into_parts();
                        let body = body.collect().await.unwrap().to_bytes();
                        let got = Got { path: parts.uri.path().to_owned(), headers: parts.headers, body };
                        log.lock().unwrap().push(got.clone());
                        Ok::<_, Infallible>(answer(got).await)
                    }
                });
                tokio::spawn(async move {
                    let _ = Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { address, got }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/in", self.address)
    }

    pub(crate) fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }
}

/// A response by status, headers and body.
pub(crate) fn response(status: u16, headers: &[(&str, &str)], body: &str) -> Response<Full<Bytes>> {
    let mut builder = Response::builder().status(status);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).unwrap()
}
