//! Listening sockets that were opened before the process began, by whoever started it.
//!
//! Such a socket stays open while the process is replaced: who connects meanwhile waits
//! and is not refused. The rule: a socket goes to one listener, the one that its name
//! or its address points to, and one that nobody takes must be an error, for whoever
//! connects to it would wait for ever. What is deliberately not here: how the sockets
//! came (the binary knows), and what is done with them (an adapter does).

use std::{
    net::SocketAddr,
    os::fd::OwnedFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The sockets that nobody has taken yet.
#[derive(Clone, Debug, Default)]
pub struct Inherited(Arc<Mutex<Vec<Socket>>>);

/// A socket that listens.
#[derive(Debug)]
pub struct Socket {
    /// What it was called.
    pub name: Option<String>,
    /// Where it listens.
    pub address: SocketAddr,
    /// The socket itself.
    pub descriptor: OwnedFd,
}

impl Inherited {
    /// These sockets.
    pub fn new(sockets: Vec<Socket>) -> Self {
        Self(Arc::new(Mutex::new(sockets)))
    }

    /// The socket called `name`, else one that listens at `address`.
    pub fn take(&self, name: &str, address: SocketAddr) -> Option<OwnedFd> {
        let mut sockets = self.sockets();
        let by_name = sockets.iter().position(|socket| socket.name.as_deref() == Some(name));
        let index = by_name.or_else(|| sockets.iter().position(|socket| socket.address == address))?;
        Some(sockets.remove(index).descriptor)
    }

    /// Those that nobody took: `127.0.0.1:8080`, or `admin (127.0.0.1:9000)`.
    pub fn left(&self) -> Vec<String> {
        let shown = |socket: &Socket| match &socket.name {
            Some(name) => format!("{name} ({})", socket.address),
            None => socket.address.to_string(),
        };
        self.sockets().iter().map(shown).collect()
    }

    fn sockets(&self) -> MutexGuard<'_, Vec<Socket>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    fn inherited(sockets: &[(Option<&str>, &str)]) -> Inherited {
        let socket = |(name, address): &(Option<&str>, &str)| Socket {
            name: name.map(str::to_owned),
            address: address.parse().unwrap(),
            descriptor: File::open("/dev/null").unwrap().into(),
        };
        Inherited::new(sockets.iter().map(socket).collect())
    }

    #[test]
    fn a_name_goes_before_an_address_and_a_socket_is_taken_once() {
        let sockets =
            inherited(&[(None, "127.0.0.1:1"), (Some("in"), "127.0.0.1:2"), (Some("x"), "[::1]:3")]);
        let take = |name, address: &str| sockets.take(name, address.parse().unwrap()).is_some();
        assert!(!take("other", "127.0.0.1:9"));
        assert!(!take("other", "0.0.0.0:1"), "another address");
        assert!(take("in", "127.0.0.1:1"));
        assert_eq!(sockets.left(), ["127.0.0.1:1", "x ([::1]:3)"]);
        assert!(!take("in", "127.0.0.1:2"), "it is taken");
        assert!(take("in", "127.0.0.1:1"));
        assert!(take("other", "[::1]:3"));
        assert!(sockets.left().is_empty());
    }
}
