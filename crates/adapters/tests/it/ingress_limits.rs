//! Senders that are too big, too slow, too many, or there when the process stops.

use std::time::{Duration, Instant};

use hook_core::ports::Answer;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::support::{PATIENCE, Running, Script, accepted, answers_health, ingress, read_to_end};

const POST: &str = "POST /webhook/github HTTP/1.1\r\nhost: x\r\n";

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or("closed without an answer")
}

#[tokio::test]
async fn a_body_is_taken_whole_or_refused() {
    let running = ingress("max_payload_bytes = 10", Script::accepting()).await;
    let check = async |request: String, expect: &str| {
        let answer = running.exchange(&format!("{POST}connection: close\r\n{request}")).await;
        assert_eq!(status(&answer), expect, "{request}");
    };
    check("content-length: 10\r\n\r\n0123456789".into(), "202").await;
    check("content-length: 11\r\n\r\n01234567890".into(), "413").await;
    // By its own word too large: refused though nothing was sent yet.
    check("content-length: 99999999999\r\nexpect: 100-continue\r\n\r\n".into(), "413").await;
    check("transfer-encoding: chunked\r\n\r\n5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n".into(), "202").await;
    check("transfer-encoding: chunked\r\n\r\n5\r\n01234\r\n6\r\n567890\r\n0\r\n\r\n".into(), "413").await;
    check("transfer-encoding: chunked\r\n\r\nzz\r\n".into(), "400").await;
    assert_eq!(running.script.bodies(), ["0123456789", "0123456789"]);
}

#[tokio::test]
async fn a_sender_that_reads_only_after_writing_still_sees_its_answer() {
    let running = ingress("max_payload_bytes = 1000", Script::accepting()).await;
    let chunk = format!("{:x}\r\n{}\r\n", 64 << 10, "x".repeat(64 << 10));
    let request = format!("{POST}transfer-encoding: chunked\r\n\r\n{}0\r\n\r\n", chunk.repeat(12));
    for _ in 0..10 {
        let mut stream = running.connect().await;
        // A server that closed already is found out by the read.
        let _ = stream.write_all(request.as_bytes()).await;
        assert_eq!(status(&read_to_end(&mut stream).await), "413");
    }
}

#[tokio::test]
async fn slow_headers_are_cut_off() {
    let running = ingress("header_timeout_seconds = 1", Script::accepting()).await;
    let check = async |sent: &'static [u8]| {
        let begun = Instant::now();
        let mut stream = running.connect().await;
        stream.write_all(sent).await.unwrap();
        let mut rest = Vec::new();
        timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await.expect("it is closed").ok();
        assert!(begun.elapsed() > Duration::from_millis(800), "{:?}", String::from_utf8_lossy(sent));
    };
    tokio::join!(
        check(b""),
        check(b"P"),
        check(b"PRI * HTTP/2.0\r\n"),
        check(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"),
        check(b"GET /health HTTP/1.1\r\nhost: x\r\nx-slow: "),
    );
}

#[tokio::test]
async fn a_slow_body_is_given_up_however_steadily_it_drips() {
    let running = ingress("body_timeout_seconds = 1", Script::accepting()).await;
    let (mut read, mut write) = running.connect().await.into_split();
    write.write_all(format!("{POST}content-length: 100000\r\n\r\n").as_bytes()).await.unwrap();
    let drip = async {
        loop {
            if write.write_all(b"x").await.is_err() {
                std::future::pending::<()>().await;
            }
            let _ = timeout(Duration::from_millis(50), std::future::pending::<()>()).await;
        }
    };
    let mut answer = Vec::new();
    tokio::select! {
        () = drip => {}
        read = timeout(Duration::from_secs(5), read.read_to_end(&mut answer)) => { read.expect("it is closed").ok(); }
    }
    assert_eq!(status(&String::from_utf8(answer).unwrap()), "408");
    assert!(running.script.bodies().is_empty());
}

#[tokio::test]
async fn connections_beyond_the_cap_wait_for_their_turn() {
    let running = ingress("max_connections = 2", Script::accepting()).await;
    let (mut first, mut second) = (running.connect().await, running.connect().await);
    assert!(answers_health(&mut first, PATIENCE).await);
    assert!(answers_health(&mut second, PATIENCE).await);
    let mut third = running.connect().await;
    assert!(!answers_health(&mut third, Duration::from_millis(300)).await);
    drop(first);
    let mut answer = [0; 512];
    assert!(timeout(PATIENCE, third.read(&mut answer)).await.unwrap().unwrap() > 0);
}

/// An ingress whose pipeline waits until it is told to go on.
async fn held(
    keys: &str,
) -> (Running, tokio::sync::mpsc::UnboundedReceiver<()>, tokio::sync::watch::Sender<bool>) {
    let (begun, begins) = tokio::sync::mpsc::unbounded_channel();
    let (go, going) = tokio::sync::watch::channel(false);
    let script = Script::taking(move |_| {
        let (begun, mut going) = (begun.clone(), going.clone());
        Box::pin(async move {
            begun.send(()).unwrap();
            going.wait_for(|go| *go).await.unwrap();
            Ok::<Answer, _>(accepted())
        })
    });
    (ingress(keys, script).await, begins, go)
}

async fn no_more_listening(running: &Running) {
    for _ in 0..100 {
        if TcpStream::connect(running.address).await.is_err() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("the listener is not closed");
}

#[tokio::test]
async fn stopping_finishes_what_was_begun_and_takes_nothing_new() {
    let (running, mut begins, go) = held("").await;
    let mut idle = running.connect().await;
    assert!(answers_health(&mut idle, PATIENCE).await);
    let mut busy = running.connect().await;
    busy.write_all(format!("{POST}content-length: 2\r\n\r\n{{}}").as_bytes()).await.unwrap();
    begins.recv().await.unwrap();

    running.stop.cancel();
    assert_eq!(read_to_end(&mut idle).await, "", "an idle connection is closed");
    no_more_listening(&running).await;
    assert!(!running.ended.is_finished());

    go.send(true).unwrap();
    assert_eq!(status(&read_to_end(&mut busy).await), "202");
    timeout(PATIENCE, running.ended).await.unwrap().unwrap().unwrap();
}

/// Whoever hands a socket over would not be asked again for a connection taken from it.
#[tokio::test]
async fn stopping_hears_a_connection_out_that_it_has_just_taken() {
    let running = ingress("", Script::accepting()).await;
    let mut quiet = running.connect().await;
    let mut late = running.connect().await;
    // It takes connections in order, so by then it has taken both.
    assert!(answers_health(&mut running.connect().await, PATIENCE).await);
    running.stop.cancel();
    no_more_listening(&running).await;
    late.write_all(format!("{POST}content-length: 2\r\n\r\n{{}}").as_bytes()).await.unwrap();
    assert_eq!(status(&read_to_end(&mut late).await), "202");
    assert_eq!(read_to_end(&mut quiet).await, "", "one that says nothing is closed");
    timeout(PATIENCE, running.ended).await.unwrap().unwrap().unwrap();
}
