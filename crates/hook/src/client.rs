//! How a command reaches the data: through the running process where there is
//! one, or by opening the data directory itself where there is none.
//!
//! Both speak to the same admin routes, so a command is written once.

use std::{path::Path, time::Duration};

use anyhow::Context;
use axum::{Router, body::Body};
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use tokio::net::UnixStream;
use tower::ServiceExt;

use crate::{admin, app::Opened, fault};

/// A way to the admin routes.
pub(crate) enum Client {
    /// The socket of the running process.
    Running(std::path::PathBuf),
    /// The directory itself, opened for this command; closed by [`Client::close`].
    Opened { router: Router, opened: Box<Opened> },
}

/// A stream of JSON lines.
pub(crate) struct Lines {
    body: Body,
    buffer: Vec<u8>,
}

impl Client {
    /// Whether a process answers on the directory's socket.
    pub(crate) async fn running(data: &Path) -> Option<Self> {
        let socket = admin::socket_path(data);
        UnixStream::connect(&socket).await.ok().map(|_| Self::Running(socket))
    }

    /// The answer to a GET.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &impl Serialize,
    ) -> anyhow::Result<T> {
        let response = self.send(Method::GET, path, query).await?;
        let body = response.into_body().collect().await?.to_bytes();
        serde_json::from_slice(&body)
            .with_context(|| format!("the answer to {path} is not what was expected"))
    }

    /// A GET whose answer is bytes.
    pub(crate) async fn bytes(&self, path: &str) -> anyhow::Result<bytes::Bytes> {
        let response = self.send(Method::GET, path, &()).await?;
        Ok(response.into_body().collect().await?.to_bytes())
    }

    /// A call whose answer is a stream of JSON lines.
    pub(crate) async fn lines(
        &self,
        method: Method,
        path: &str,
        query: &impl Serialize,
    ) -> anyhow::Result<Lines> {
        let response = self.send(method, path, query).await?;
        Ok(Lines { body: response.into_body(), buffer: Vec::new() })
    }

    /// Lets go of a directory that was opened for this command.
    pub(crate) fn close(self) {
        if let Self::Opened { router, opened } = self {
            drop(router);
            opened.close();
        }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        query: &impl Serialize,
    ) -> anyhow::Result<Response<Body>> {
        let query = serde_urlencoded(query)?;
        let uri = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
        let request = Request::builder().method(method).uri(uri).header("host", "hook").body(Body::empty())?;
        let response = match self {
            Self::Running(socket) => over_socket(socket, request).await?,
            Self::Opened { router, .. } => router.clone().oneshot(request).await?,
        };
        if response.status().is_success() {
            return Ok(response);
        }
        Err(refused(response).await)
    }
}

impl Lines {
    /// The next line; `None` at the end.
    pub(crate) async fn next<T: DeserializeOwned>(&mut self) -> anyhow::Result<Option<T>> {
        loop {
            if let Some(end) = self.buffer.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Ok(Some(serde_json::from_slice(&line)?));
            }
            match self.body.frame().await.transpose()? {
                Some(frame) => self.buffer.extend_from_slice(frame.data_ref().map_or(&[], |data| data)),
                // A single value needs no newline after it.
                None if self.buffer.is_empty() => return Ok(None),
                None => self.buffer.push(b'\n'),
            }
        }
    }
}

async fn over_socket(socket: &Path, request: Request<Body>) -> anyhow::Result<Response<Body>> {
    let stream = UnixStream::connect(socket).await.map_err(|error| {
        fault::unreachable(format!("cannot reach the running process at {}: {error}", socket.display()))
    })?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let response = tokio::time::timeout(Duration::from_secs(30), sender.send_request(request))
        .await
        .map_err(|_| fault::unreachable("the running process did not answer within 30 s"))??;
    Ok(response.map(Body::new))
}

/// The problem that the admin API described, as an error.
async fn refused(response: Response<Body>) -> anyhow::Error {
    let status = response.status();
    let body = response.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let detail = serde_json::from_slice::<admin::Problem>(&body).map(|problem| problem.detail);
    let detail = detail.unwrap_or_else(|_| status.to_string());
    match status {
        StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST => fault::usage(detail),
        _ => anyhow::anyhow!(detail),
    }
}

fn serde_urlencoded(query: &impl Serialize) -> anyhow::Result<String> {
    let serde_json::Value::Object(fields) = serde_json::to_value(query)? else { return Ok(String::new()) };
    let mut text = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in fields {
        match value {
            serde_json::Value::Null => {}
            serde_json::Value::String(value) => drop(text.append_pair(&name, &value)),
            other => drop(text.append_pair(&name, &other.to_string())),
        }
    }
    Ok(text.finish())
}
