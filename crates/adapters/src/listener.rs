//! Where an ingress adapter listens: on a socket that was opened for it, or one of its own.

use std::{io, net::SocketAddr};

use hook_core::driver::BuildContext;
use tokio::net::TcpListener;

/// The socket that the process inherited for this adapter, else one bound to `bind`.
pub(crate) async fn listen(context: &BuildContext, bind: SocketAddr) -> io::Result<TcpListener> {
    let Some(inherited) = context.inherited.take(&context.id, bind) else {
        return TcpListener::bind(bind).await;
    };
    let listener = std::net::TcpListener::from(inherited);
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}
