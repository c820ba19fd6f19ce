//! The admin API: what operators and commands ask of a process.
//!
//! Served on the Unix socket `<data>/hook.sock` (who may open it may do everything:
//! the permissions are the lock), and its harmless part (`/metrics`, `/health`,
//! `/ready`) also on `[admin] bind`. A command that finds no running process calls
//! the same routes on a directory that it opened itself.

mod dead_letters;
mod events;
mod lookup;
mod operations;
mod replay;
mod serve;
mod stream;
pub(crate) mod wire;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use axum::{
    Json, Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{StatusCode, header::CONTENT_TYPE};

pub(crate) use self::{
    operations::{Operations, Process},
    serve::servers,
    wire::Problem,
};

/// Where the socket of a data directory is.
pub(crate) fn socket_path(data: &Path) -> PathBuf {
    data.join("hook.sock")
}

/// Every route.
pub(crate) fn router(operations: Arc<Operations>) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/events", get(events::list))
        .route("/v1/events/tail", get(events::tail))
        .route("/v1/events/{id}", get(events::show))
        .route("/v1/events/{id}/payload", get(events::payload))
        .route("/v1/dead-letters", get(dead_letters::list))
        .route("/v1/dead-letters/one", get(dead_letters::show))
        .route("/v1/dead-letters/replay", post(dead_letters::replay))
        .route("/v1/dead-letters/purge", post(dead_letters::purge))
        .route("/v1/replay", post(replay::replay))
        .merge(public_routes())
        .with_state(operations)
}

/// The routes that tell nothing about events.
fn public_router(operations: Arc<Operations>) -> Router {
    public_routes().with_state(operations)
}

fn public_routes() -> Router<Arc<Operations>> {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/health", get(|| async { Json(serde_json::json!({ "status": "alive" })) }))
        .route("/ready", get(ready))
}

async fn status(State(operations): State<Arc<Operations>>) -> Result<Json<wire::Status>, Refused> {
    Ok(Json(operations.status().await?))
}

async fn metrics(State(operations): State<Arc<Operations>>) -> Response {
    let text = operations.metrics().await;
    ([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response()
}

async fn ready(State(operations): State<Arc<Operations>>) -> Response {
    let readiness = operations.readiness();
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness)).into_response()
}

/// A call that was refused, as `application/problem+json`.
#[derive(Debug)]
pub(crate) struct Refused {
    status: StatusCode,
    detail: String,
}

impl Refused {
    fn not_found(detail: impl Into<String>) -> Self {
        Self { status: StatusCode::NOT_FOUND, detail: detail.into() }
    }

    fn bad_request(detail: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, detail: detail.into() }
    }
}

impl<E: std::fmt::Display> From<E> for Refused {
    fn from(error: E) -> Self {
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, detail: format!("{error:#}") }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let problem = Problem {
            title: self.status.canonical_reason().unwrap_or("error").to_owned(),
            status: self.status.as_u16(),
            detail: self.detail,
        };
        (self.status, [(CONTENT_TYPE, "application/problem+json")], Json(problem)).into_response()
    }
}
