//! Sockets that a service manager opened before this process began: `LISTEN_FDS`, as
//! `systemd.socket` hands them over.

use anyhow::Context;
use hook_core::inherited::{Inherited, Socket};
use listenfd::ListenFd;

use crate::{env, fault};

/// Takes them. Before any thread is started: the variables are removed, so that no
/// child takes them for its own.
pub(crate) fn take() -> anyhow::Result<Inherited> {
    let names = env::socket_names();
    let mut handed_over = ListenFd::from_env();
    let mut sockets = Vec::new();
    for index in 0..handed_over.len() {
        let listener = handed_over.take_tcp_listener(index).map_err(|error| {
            fault::usage(format!(
                "a socket that was handed over (`LISTEN_FDS`) cannot listen for TCP: {error}"
            ))
        })?;
        let Some(listener) = listener else { continue };
        let address = listener.local_addr().context("a socket that was handed over has no address")?;
        sockets.push(Socket { name: names.get(index).cloned(), address, descriptor: listener.into() });
    }
    Ok(Inherited::new(sockets))
}

/// Refuses to run beside a socket on which whoever connects would wait for ever.
pub(crate) fn require_taken(inherited: &Inherited) -> anyhow::Result<()> {
    let left = inherited.left();
    match left.is_empty() {
        true => Ok(()),
        false => Err(fault::usage(format!(
            "nothing listens on a socket that was handed over: {}\n  \
             hint: give it an ingress adapter's `bind`, or its id as `FileDescriptorName=` (`admin` for `[admin] bind`)",
            left.join(", ")
        ))),
    }
}
