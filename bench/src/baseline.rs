//! The baseline: what nobody who promises durability can leave out.
//!
//! Read the body, check the HMAC in constant time, append to one file that is
//! allocated ahead of use, share one `fdatasync` with whoever else waits, answer
//! 202. No routing, no parsing, no deduplication, no index, no delivery.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::mpsc,
};

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::fs::FallocateFlags;
use tokio::{net::TcpListener, sync::oneshot};

use crate::payload;

/// How far the file is allocated ahead of use.
const AHEAD: u64 = 64 << 20;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[arg(long)]
    bind: SocketAddr,
    #[arg(long)]
    file: PathBuf,
}

/// A body that waits for the disk, and whom to tell.
type Append = (Bytes, oneshot::Sender<()>);

pub(crate) fn run(args: &Args) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(args.bind).await;
        let listener = listener.with_context(|| format!("cannot listen on {}", args.bind))?;
        serve(listener, writer(&args.file)?).await
    })
}

async fn serve(listener: TcpListener, writer: mpsc::Sender<Append>) -> Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let writer = writer.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| answer(request, writer.clone()));
            // A broken connection is the sender's business.
            let _ = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(request: Request<Incoming>, writer: mpsc::Sender<Append>) -> Result<Response<Full<Bytes>>> {
    let signature = request.headers().get("x-hub-signature-256").map(|value| value.as_bytes().to_vec());
    let body = request.into_body().collect().await?.to_bytes();
    let status = if body.is_empty() {
        200
    } else if !signature.is_some_and(|signature| verified(&signature, &body)) {
        401
    } else {
        let (done, durable) = oneshot::channel();
        writer.send((body, done)).ok().context("the writer is gone")?;
        durable.await.context("the disk failed")?;
        202
    };
    Ok(Response::builder().status(status).body(Full::from("{\"status\":\"accepted\",\"id\":\"-\"}"))?)
}

fn verified(signature: &[u8], body: &[u8]) -> bool {
    let Some(Ok(signature)) = signature.strip_prefix(b"sha256=").map(hex::decode) else { return false };
    hmac::Mac::verify_slice(payload::mac(body), &signature).is_ok()
}

fn writer(path: &Path) -> Result<mpsc::Sender<Append>> {
    let file = OpenOptions::new().create(true).truncate(true).write(true).open(path);
    let file = file.with_context(|| format!("cannot write `{}`", path.display()))?;
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || write_all(file, &receiver));
    Ok(sender)
}

/// Everything that waits is one write and one `fdatasync`.
fn write_all(mut file: File, receiver: &mpsc::Receiver<Append>) -> Result<()> {
    let (mut written, mut allocated) = (0, 0);
    let mut batch = Vec::new();
    while let Ok((body, done)) = receiver.recv() {
        let mut waiting = vec![done];
        batch.clear();
        batch.extend_from_slice(&body);
        while let Ok((body, done)) = receiver.try_recv() {
            batch.extend_from_slice(&body);
            waiting.push(done);
        }
        written += batch.len() as u64;
        while allocated < written {
            rustix::fs::fallocate(&file, FallocateFlags::empty(), allocated, AHEAD)?;
            allocated += AHEAD;
        }
        file.write_all(&batch)?;
        file.sync_data()?;
        for done in waiting {
            // Whoever asked may have gone.
            let _ = done.send(());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        load::{Load, Until},
        wire::Wire,
    };

    #[tokio::test]
    async fn what_is_accepted_is_in_the_file() {
        let file = std::env::temp_dir().join(format!("bench-baseline-{}", std::process::id()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, writer(&file).unwrap()));

        let load = Load { to, connections: 4, bytes: payload::BYTES, until: Until::Sent(40), rate: None };
        let outcome = load.run().await.unwrap().all_accepted().unwrap();
        assert_eq!((outcome.accepted(), outcome.latencies.len()), (40, 40));
        let text = std::fs::read_to_string(&file).unwrap();
        assert_eq!(text.matches("\"action\":\"synchronize\"").count(), 40);

        let mut wire = Wire::connect(to).await.unwrap();
        let request = String::from_utf8(payload::request(1, 1, 1, 300)).unwrap();
        wire.write(request.replace("A change", "a change").as_bytes()).await.unwrap();
        assert_eq!(wire.read().await.unwrap().unwrap().status().unwrap(), 401);
        std::fs::remove_file(file).unwrap();
    }
}
