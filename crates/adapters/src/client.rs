//! One guarded HTTP attempt: what all drivers that speak HTTP share.
//!
//! The client follows no redirect, uses no proxy and asks the guard about every
//! address. How a transport failure is judged is the same for all and decided
//! here; what a status means is each driver's own `classify`.

mod retry_after;
mod target;

use std::{error::Error, sync::Arc, time::Duration};

use bytes::Bytes;
use hook_core::{
    driver::{BuildContext, BuildError},
    ports::{DeliverError, Failure},
};
use hook_event::Clock;
use http::{HeaderMap, header};
use reqwest::{Request, Response, redirect::Policy};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

pub(crate) use target::{bearer, check_headers, check_url, header_map, is_reserved, sensitive, shown};

use crate::guard::{Blocked, Guard, Networks};

/// What is read of an answer; the rest is thrown away.
const EXCERPT_BYTES: usize = 4 << 10;
/// What of it is kept for a person.
const EXCERPT_CHARS: usize = 600;
/// From this length on a value in the URL's query may be a token; `v=2` is none.
const SHORTEST_TOKEN: usize = 6;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Makes attempts against one URL.
pub(crate) struct Client {
    http: reqwest::Client,
    url: Url,
    headers: HeaderMap,
    clock: Clock,
    secrets: Vec<SecretString>,
}

/// What a client is made for.
pub(crate) struct Destination<'a> {
    /// Where requests go.
    pub(crate) url: &'a Url,
    /// One attempt, from connecting to the answer.
    pub(crate) timeout: Duration,
    /// Networks besides the public internet.
    pub(crate) allow: &'a Networks,
    /// What every request carries.
    pub(crate) headers: HeaderMap,
    /// The secrets in it, so that an answer which repeats them can be cleaned.
    pub(crate) secrets: Vec<SecretString>,
}

/// What a destination answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reply {
    /// The status.
    pub(crate) status: u16,
    /// When it wants to be asked again.
    pub(crate) after: Option<Duration>,
    /// Whether it is a web page.
    pub(crate) html: bool,
    /// The first bytes of its body.
    pub(crate) body: Bytes,
    /// The same for a person: one line, short, our secrets taken out. May repeat the
    /// payload.
    pub(crate) excerpt: String,
}

impl Client {
    /// A client for one destination.
    ///
    /// # Errors
    /// When the URL's host is a literal that the guard refuses, or TLS cannot be set up.
    pub(crate) fn new(context: &BuildContext, to: Destination<'_>) -> Result<Self, BuildError> {
        let Destination { url, timeout, allow, headers, mut secrets } = to;
        secrets.extend(query_secrets(url));
        let guard = Guard::new(allow.clone());
        guard.url(url).map_err(|blocked| BuildError::Resource(blocked.to_string()))?;
        let http = reqwest::Client::builder()
            .dns_resolver(Arc::new(guard))
            .no_proxy()
            .redirect(Policy::none())
            .referer(false)
            .connect_timeout(CONNECT_TIMEOUT.min(timeout / 2))
            .timeout(timeout)
            .pool_idle_timeout(Duration::from_secs(60))
            .user_agent(concat!("hook/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| BuildError::Resource(format!("no HTTP client: {}", root_cause(&error))))?;
        Ok(Self { http, url: url.clone(), headers, clock: context.clock, secrets })
    }

    /// A request with the headers that every attempt carries.
    pub(crate) fn post(&self, body: Bytes) -> Request {
        let mut request = Request::new(http::Method::POST, self.url.clone());
        request.headers_mut().clone_from(&self.headers);
        *request.body_mut() = Some(body.into());
        request
    }

    /// Sends it once and reads what is needed of the answer.
    ///
    /// # Errors
    /// When there is no answer, judged by how far the request came.
    pub(crate) async fn send(&self, request: Request) -> Result<Reply, DeliverError> {
        let response =
            self.http.execute(request).await.map_err(|error| judge_transport(&error.without_url()))?;
        let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let after = text(header::RETRY_AFTER).and_then(|value| retry_after::parse(value, self.clock.now()));
        let html = text(header::CONTENT_TYPE).is_some_and(|value| value.starts_with("text/html"));
        let status = response.status().as_u16();
        let body = read_some(response).await;
        let excerpt = self.excerpt(&body);
        Ok(Reply { status, after, html, body, excerpt })
    }

    fn excerpt(&self, body: &[u8]) -> String {
        let mut text = String::from_utf8_lossy(body).into_owned();
        for secret in &self.secrets {
            text = text.replace(secret.expose_secret(), "[secret]");
        }
        let mut line = String::new();
        for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty())
        {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        match line.char_indices().nth(EXCERPT_CHARS) {
            Some((end, _)) => format!("{}…", &line[..end]),
            None => line,
        }
    }
}

impl Reply {
    /// The facts of an answer that was no success.
    pub(crate) fn failure(&self) -> Failure {
        Failure {
            reason: format!("the destination answered {}", self.status),
            excerpt: (!self.excerpt.is_empty()).then(|| self.excerpt.clone()),
            status: Some(self.status),
            after: self.after,
        }
    }
}

/// What a URL's query may hold as a token, as it is written and as it is meant.
fn query_secrets(url: &Url) -> impl Iterator<Item = SecretString> {
    let written = url.query().unwrap_or_default().split('&');
    let written = written.filter_map(|pair| Some(pair.split_once('=')?.1.to_owned()));
    let meant = url.query_pairs().map(|(_, value)| value.into_owned());
    let long = |value: &String| value.chars().count() >= SHORTEST_TOKEN;
    written.chain(meant).filter(long).map(SecretString::from)
}

/// A request that never arrived leaves the event as it was; one that may have been
/// read spends an attempt.
fn judge_transport(error: &reqwest::Error) -> DeliverError {
    if let Some(blocked) = causes(error).find_map(|cause| cause.downcast_ref::<Blocked>()) {
        return DeliverError::Halted(Failure::because(blocked.to_string()));
    }
    if error.is_connect() {
        return DeliverError::Unavailable(Failure::because(format!("cannot connect: {}", root_cause(error))));
    }
    if error.is_timeout() {
        return DeliverError::Failed(Failure::because("the destination did not answer in time"));
    }
    DeliverError::Failed(Failure::because(format!("the request broke off: {}", root_cause(error))))
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        next = error.source();
        Some(error)
    })
}

/// The innermost cause says it; what wraps it repeats the URL.
fn root_cause(error: &reqwest::Error) -> String {
    causes(error).last().map(ToString::to_string).unwrap_or_default()
}

/// A status is an answer even when its body stalls or breaks off.
async fn read_some(mut response: Response) -> Bytes {
    let mut body = Vec::new();
    while body.len() < EXCERPT_BYTES {
        let Ok(Some(chunk)) = response.chunk().await else { break };
        body.extend_from_slice(&chunk[..chunk.len().min(EXCERPT_BYTES - body.len())]);
    }
    body.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::context;

    fn made(url: &Url, secrets: Vec<SecretString>) -> Result<Client, BuildError> {
        let (timeout, allow) = (Duration::from_secs(1), &Networks::default());
        Client::new(&context(&[]), Destination { url, timeout, allow, headers: HeaderMap::new(), secrets })
    }

    fn client(secrets: &[&str]) -> Client {
        let secrets = secrets.iter().map(|secret| SecretString::from(*secret)).collect();
        let url = "https://example.com/".parse().unwrap();
        made(&url, secrets).unwrap()
    }

    #[test]
    fn an_excerpt_is_one_short_line_without_our_secrets() {
        let client = client(&["t0ken"]);
        let check = |body: &str, expect: &str| assert_eq!(client.excerpt(body.as_bytes()), expect);
        check("no\r\n\tsuch \u{1b}[31m agent", "no such [31m agent");
        check("bad `Bearer t0ken` and t0ken", "bad `Bearer [secret]` and [secret]");
        check("", "");
        assert_eq!(client.excerpt("é".repeat(5000).as_bytes()).chars().count(), EXCERPT_CHARS + 1);
        assert_eq!(client.excerpt(b"\xff\xfe"), "\u{fffd}\u{fffd}");
    }

    #[test]
    fn a_token_in_the_query_is_a_secret_too() {
        let url = "https://example.com/in?v=2&token=s3cr%2Fet-key".parse().unwrap();
        let client = made(&url, vec![]).unwrap();
        let check = |body: &str, expect: &str| assert_eq!(client.excerpt(body.as_bytes()), expect);
        check("no such key: s3cr/et-key", "no such key: [secret]");
        check("POST /in?v=2&token=s3cr%2Fet-key", "POST /in?v=2&token=[secret]");
    }

    #[test]
    fn a_literal_in_a_private_network_builds_no_client() {
        let url = "http://169.254.169.254/".parse().unwrap();
        let built = made(&url, vec![]);
        assert!(built.err().unwrap().to_string().contains("allow_networks"));
    }
}
