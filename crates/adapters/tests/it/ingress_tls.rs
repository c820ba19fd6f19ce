//! TLS, and HTTP/2 with and without it.

use std::time::Duration;

use http::Version;
use tokio::{io::AsyncReadExt, time::timeout};

use crate::support::{PATIENCE, Running, Script, ingress, try_ingress};

struct Certificate {
    dir: tempfile::TempDir,
    pem: String,
}

fn certificate() -> Certificate {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(dir.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    Certificate { dir, pem: made.cert.pem() }
}

fn keys(certificate: &Certificate) -> String {
    let dir = certificate.dir.path().display();
    format!("tls_cert_file = '{dir}/cert.pem'\ntls_key_file = '{dir}/key.pem'")
}

async fn post(running: &Running, client: reqwest::ClientBuilder, scheme: &str) -> (u16, Version) {
    let client = client.no_proxy().timeout(PATIENCE).build().unwrap();
    let url = format!("{scheme}://localhost:{}/webhook/github", running.address.port());
    let response = client.post(url).body("{}").send().await.unwrap();
    (response.status().as_u16(), response.version())
}

#[tokio::test]
async fn http_1_and_2_with_and_without_tls() {
    let certificate = certificate();
    let tls = ingress(&keys(&certificate), Script::accepting()).await;
    let root = || {
        let root = reqwest::Certificate::from_pem(certificate.pem.as_bytes()).unwrap();
        reqwest::Client::builder().tls_certs_only([root])
    };
    assert_eq!(post(&tls, root(), "https").await, (202, Version::HTTP_2));
    assert_eq!(post(&tls, root().http1_only(), "https").await, (202, Version::HTTP_11));
    let host = format!("localhost:{}", tls.address.port());
    for raw in tls.script.seen.lock().unwrap().iter() {
        assert_eq!(raw.headers["host"], host, "signed by some providers, whatever the version");
    }

    let plain = ingress("", Script::accepting()).await;
    assert_eq!(post(&plain, reqwest::Client::builder(), "http").await, (202, Version::HTTP_11));
    let prior = reqwest::Client::builder().http2_prior_knowledge();
    assert_eq!(post(&plain, prior, "http").await, (202, Version::HTTP_2));
}

#[tokio::test]
async fn the_limit_of_bodies_holds_for_http_2() {
    let running = ingress("max_payload_bytes = 10", Script::accepting()).await;
    let client =
        reqwest::Client::builder().http2_prior_knowledge().no_proxy().timeout(PATIENCE).build().unwrap();
    let send = async |body: &'static str| {
        let chunks = futures_util::stream::iter([Ok::<_, std::io::Error>(body)]);
        let request = client.post(running.url("/webhook/github")).body(reqwest::Body::wrap_stream(chunks));
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(send("01234567890").await, 413);
    assert_eq!(send("0123456789").await, 202);
}

#[tokio::test]
async fn a_handshake_that_dawdles_is_cut_off() {
    let certificate = certificate();
    let keys = format!("{}\nheader_timeout_seconds = 1", keys(&certificate));
    let running = ingress(&keys, Script::accepting()).await;
    let mut stream = running.connect().await;
    let mut rest = Vec::new();
    timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await.expect("it is closed").ok();
}

#[tokio::test]
async fn a_file_that_is_no_certificate_is_said_at_start() {
    let certificate = certificate();
    std::fs::write(certificate.dir.path().join("cert.pem"), "nonsense").unwrap();
    let text = format!("bind = '127.0.0.1:0'\n{}", keys(&certificate));
    let error = try_ingress(&text, Script::accepting()).await.err().unwrap().to_string();
    assert!(error.contains("cert.pem"), "{error}");
    std::fs::remove_file(certificate.dir.path().join("key.pem")).unwrap();
    assert!(try_ingress(&text, Script::accepting()).await.is_err());
}
