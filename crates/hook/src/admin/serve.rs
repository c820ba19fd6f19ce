//! The admin API's listeners.

use std::{net::SocketAddr, os::unix::fs::PermissionsExt, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context;
use axum::Router;
use hook_core::inherited::Inherited;
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

use crate::{
    admin::{Operations, public_router, router, socket_path},
    fault,
};

/// How long open connections may hold up a stop.
const GRACE: Duration = Duration::from_secs(3);

/// One listener with its routes.
pub(crate) enum Server {
    /// Owner-only, all routes.
    Socket(UnixListener, PathBuf, Router),
    /// `[admin] bind`, the public routes.
    Tcp(TcpListener, Router),
}

/// Binds what the plan asks for.
pub(crate) async fn servers(
    operations: Arc<Operations>,
    inherited: &Inherited,
) -> anyhow::Result<Vec<Server>> {
    let path = socket_path(&operations.plan().log.path);
    let mut servers = vec![Server::Socket(bind_socket(&path).await?, path, router(operations.clone()))];
    if let Some(bind) = operations.plan().admin.bind {
        let listener = listen(inherited, bind).await;
        let listener = listener
            .map_err(|error| fault::unreachable(format!("cannot listen on [admin] bind {bind}: {error}")))?;
        servers.push(Server::Tcp(listener, public_router(operations)));
    }
    Ok(servers)
}

/// The socket that the process inherited for it, else one of its own.
async fn listen(inherited: &Inherited, bind: SocketAddr) -> std::io::Result<TcpListener> {
    let Some(socket) = inherited.take("admin", bind) else { return TcpListener::bind(bind).await };
    let listener = std::net::TcpListener::from(socket);
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

impl Server {
    /// Serves until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        match self {
            Self::Tcp(listener, router) => {
                let serving =
                    axum::serve(listener, router).with_graceful_shutdown(stop.clone().cancelled_owned());
                within_grace(serving.into_future(), stop).await?;
            }
            Self::Socket(listener, path, router) => {
                let serving =
                    axum::serve(listener, router).with_graceful_shutdown(stop.clone().cancelled_owned());
                within_grace(serving.into_future(), stop).await?;
                std::fs::remove_file(path).context("cannot remove the admin socket")?;
            }
        }
        Ok(())
    }
}

/// Waits for the open connections after `stop`, but not for ever.
async fn within_grace(
    serving: impl Future<Output = std::io::Result<()>>,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let late = async {
        stop.cancelled().await;
        // Elapsing is the point.
        let _ = tokio::time::timeout(GRACE, std::future::pending::<()>()).await;
    };
    tokio::select! {
        served = serving => served,
        () = late => Ok(()),
    }
}

/// A socket that a crashed process left is replaced; the directory's lock has
/// already shown that no other process owns it.
async fn bind_socket(path: &PathBuf) -> anyhow::Result<UnixListener> {
    if path.exists() && UnixStream::connect(path).await.is_err() {
        std::fs::remove_file(path).with_context(|| format!("cannot replace {}", path.display()))?;
    }
    let listener =
        UnixListener::bind(path).with_context(|| format!("cannot listen on {}", path.display()))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}
