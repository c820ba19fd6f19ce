//! A destination that takes everything and notes when it came.
//!
//! It can die (connections refused, those that are open broken) and come back on
//! the same port.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::Instant,
};

use crate::{payload, wire::Wire};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A receiver on a port of its own.
pub(crate) struct Sink {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    server: Option<tokio::task::JoinHandle<()>>,
}

/// What was received.
#[derive(Default)]
struct Seen {
    /// When each event first came.
    first: HashMap<String, Instant>,
    last: Option<Instant>,
    again: u64,
    /// The next number of each key, to notice what overtook.
    next: HashMap<u64, u64>,
    out_of_order: u64,
}

/// What was received, at a glance.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) events: u64,
    pub(crate) again: u64,
    pub(crate) out_of_order: u64,
    pub(crate) last: Option<Instant>,
}

impl Sink {
    pub(crate) async fn start() -> Result<Self> {
        let mut sink = Self::dead().await?;
        sink.revive().await?;
        Ok(sink)
    }

    /// A port on which nobody answers yet.
    pub(crate) async fn dead() -> Result<Self> {
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?.local_addr()?;
        Ok(Self { address, seen: Arc::default(), server: None })
    }

    pub(crate) async fn revive(&mut self) -> Result<()> {
        let listener = TcpListener::bind(self.address).await;
        let listener = listener.with_context(|| format!("cannot listen on {} again", self.address))?;
        self.server = Some(tokio::spawn(serve(listener, self.seen.clone())));
        Ok(())
    }

    pub(crate) fn kill(&mut self) {
        if let Some(server) = self.server.take() {
            server.abort();
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        let seen = lock(&self.seen);
        Counts {
            events: seen.first.len() as u64,
            again: seen.again,
            out_of_order: seen.out_of_order,
            last: seen.last,
        }
    }

    /// When an event came.
    pub(crate) fn arrival(&self, id: &str) -> Option<Instant> {
        lock(&self.seen).first.get(id).copied()
    }

    /// Forgets what was received, but not where each key stands.
    pub(crate) fn forget(&self) {
        let mut seen = lock(&self.seen);
        *seen = Seen { next: std::mem::take(&mut seen.next), ..Seen::default() };
    }

    /// Waits until this many events came; an error when none came for `patience`.
    pub(crate) async fn wait_for(&self, events: u64, patience: Duration) -> Result<Counts> {
        let (mut best, mut since) = (0, Instant::now());
        loop {
            let counts = self.counts();
            if counts.events >= events {
                return Ok(counts);
            }
            if counts.events > best {
                (best, since) = (counts.events, Instant::now());
            }
            if since.elapsed() > patience {
                bail!(
                    "{} of {events} events came, and then none for {} s",
                    counts.events,
                    patience.as_secs()
                );
            }
            tokio::time::sleep_until(Instant::now() + Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Dropping the task drops the connections with it.
async fn serve(listener: TcpListener, seen: Arc<Mutex<Seen>>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((stream, _)) = listener.accept() => { connections.spawn(take(stream, seen.clone())); }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn take(stream: TcpStream, seen: Arc<Mutex<Seen>>) -> Result<()> {
    let mut wire = Wire::new(stream)?;
    while let Some(message) = wire.read().await? {
        let id = message.header("webhook-id").context("a delivery without `webhook-id`")?.to_owned();
        lock(&seen).note(id, payload::key_and_seq(&message));
        wire.write(OK).await?;
    }
    Ok(())
}

impl Seen {
    fn note(&mut self, id: String, key_and_seq: Option<(u64, u64)>) {
        let now = Instant::now();
        self.last = Some(now);
        if self.first.contains_key(&id) {
            self.again += 1;
            return;
        }
        self.first.insert(id, now);
        if let Some((key, seq)) = key_and_seq {
            let next = self.next.entry(key).or_default();
            self.out_of_order += u64::from(seq != *next);
            *next = (*next).max(seq + 1);
        }
    }
}

fn lock(seen: &Mutex<Seen>) -> std::sync::MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn deliver(to: SocketAddr, id: &str, key: u64, seq: u64) -> Result<()> {
        let mut wire = Wire::connect(to).await?;
        let request = String::from_utf8(payload::request(1, key, seq, 300))?;
        let head = format!("POST / HTTP/1.1\r\nwebhook-id: {id}\r\n");
        wire.write(request.replacen("POST /webhook/github HTTP/1.1\r\n", &head, 1).as_bytes()).await?;
        wire.read().await?.context("closed")?.status().map(drop)
    }

    #[tokio::test]
    async fn repetitions_and_overtaking_are_noticed() {
        let sink = Sink::start().await.unwrap();
        for (id, key, seq) in [("a", 1, 0), ("b", 1, 1), ("b", 1, 1), ("c", 2, 0), ("d", 1, 3), ("e", 1, 2)] {
            deliver(sink.address, id, key, seq).await.unwrap();
        }
        let counts = sink.counts();
        assert_eq!((counts.events, counts.again, counts.out_of_order), (5, 1, 2));
        assert!(sink.arrival("c").is_some() && sink.arrival("z").is_none());
    }

    #[tokio::test]
    async fn it_dies_and_comes_back_where_it_was() {
        let mut sink = Sink::start().await.unwrap();
        deliver(sink.address, "a", 1, 0).await.unwrap();
        sink.kill();
        // The task is told to end; the next connection at the latest finds it gone.
        while deliver(sink.address, "b", 1, 1).await.is_ok() {
            tokio::task::yield_now().await;
        }
        sink.revive().await.unwrap();
        deliver(sink.address, "c", 1, 2).await.unwrap();
        assert!(sink.arrival("c").is_some());
    }
}
