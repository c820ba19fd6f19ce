//! `hook infra certs gen`: what it makes is taken by rustls and by a real broker,
//! from those it was made for and from nobody else.

use std::{fs, net::SocketAddr, path::Path, sync::Arc};

use hook_broker::{ClientAuth, Kafka, Options, Security, Tls};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::aws_lc_rs::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    server::WebPkiClientVerifier,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::support::{Done, PATIENCE};

/// A folder in which `hook infra certs gen` was run.
struct Made {
    folder: TempDir,
    said: Value,
}

impl Made {
    fn new(args: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let said = generate(folder.path(), args);
        Self { folder, said }
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join("certs").join(name)).unwrap()
    }

    fn chain(&self, name: &str) -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_slice_iter(self.text(&format!("{name}.pem")).as_bytes())
            .map(Result::unwrap)
            .collect()
    }

    fn key(&self, name: &str) -> PrivateKeyDer<'static> {
        let key = PrivateKeyDer::from_pem_slice(self.text(&format!("{name}-key.pem")).as_bytes()).unwrap();
        assert!(matches!(key, PrivateKeyDer::Pkcs8(_)));
        key
    }

    fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.chain("ca").remove(0)).unwrap();
        roots.into()
    }

    /// A client that trusts this authority and shows the certificate of `who`.
    fn client(&self, who: &Self, name: &str) -> TlsConnector {
        let config = ClientConfig::builder_with_provider(default_provider().into());
        let config =
            config.with_safe_default_protocol_versions().unwrap().with_root_certificates(self.roots());
        let config = config.with_client_auth_cert(who.chain(name), who.key(name)).unwrap();
        TlsConnector::from(Arc::new(config))
    }

    fn acceptor(&self) -> TlsAcceptor {
        let provider = Arc::new(default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(self.roots(), provider.clone()).build().unwrap();
        let config =
            ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_client_cert_verifier(verifier);
        TlsAcceptor::from(Arc::new(
            config.with_single_cert(self.chain("server"), self.key("server")).unwrap(),
        ))
    }
}

fn generate(folder: &Path, args: &[&str]) -> Value {
    let done = Done::of(folder, &[&["--json", "infra", "certs", "gen"], args].concat());
    assert_eq!(done.code, Some(0), "{done:?}");
    serde_json::from_str(&done.stdout).unwrap()
}

/// Whether both sides take each other, when the server is called by this name.
async fn taken(server: &TlsAcceptor, client: &TlsConnector, name: &'static str) -> bool {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (accepted, _) = listener.accept().await.unwrap();
    let serve = async {
        let mut stream = server.accept(accepted).await?;
        stream.write_all(b"welcome").await?;
        stream.shutdown().await
    };
    let greet = async {
        let mut stream = client.connect(ServerName::try_from(name).unwrap(), stream).await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await.map(|_| text)
    };
    let (served, greeted) = timeout(PATIENCE, async { tokio::join!(serve, greet) }).await.unwrap();
    served.is_ok() && greeted.is_ok_and(|text| text == "welcome")
}

#[tokio::test]
async fn rustls_takes_what_it_was_made_for() {
    let made = Made::new(&["--host", "kafka.internal", "127.0.0.1", "--client", "serve", "smash"]);
    generate(made.folder.path(), &["--client", "late"]);
    let server = made.acceptor();
    for (client, name, expected) in [
        ("client-serve", "kafka.internal", true),
        ("client-smash", "127.0.0.1", true),
        ("client-late", "kafka.internal", true),
        ("server", "kafka.internal", true),
        ("client-serve", "localhost", false),
        ("client-serve", "127.0.0.2", false),
    ] {
        assert_eq!(taken(&server, &made.client(&made, client), name).await, expected, "{client} {name}");
    }
    let stranger = Made::new(&[]);
    assert!(!taken(&server, &made.client(&stranger, "client-hook"), "kafka.internal").await);
    assert!(!taken(&server, &stranger.client(&made, "client-serve"), "kafka.internal").await);
}

#[tokio::test]
async fn a_real_broker_takes_the_clients_it_made() {
    let made = Made::new(&[]);
    let tls = Tls {
        ca: made.text("ca.pem"),
        certificate: made.text("server.pem"),
        key: made.text("server-key.pem"),
        client_auth: ClientAuth::Required,
    };
    let options = Options::single_node().security(Security::Tls(tls));
    let kafka = tokio::task::spawn_blocking(|| Kafka::start(options).unwrap()).await.unwrap();
    let address: SocketAddr = kafka.bootstrap().parse().unwrap();
    assert!(answers(address, &made.client(&made, "client-hook")).await);
    let stranger = Made::new(&[]);
    assert!(!answers(address, &made.client(&stranger, "client-hook")).await);
}

/// Whether the broker tells which requests it understands (`ApiVersions`, version 0).
async fn answers(address: SocketAddr, client: &TlsConnector) -> bool {
    let ask = async {
        let stream = TcpStream::connect(address).await?;
        let mut stream = client.connect(ServerName::try_from("127.0.0.1").unwrap(), stream).await?;
        let request =
            [&18_i16.to_be_bytes()[..], &0_i16.to_be_bytes(), &7_i32.to_be_bytes(), &(-1_i16).to_be_bytes()];
        stream.write_i32(10).await?;
        stream.write_all(&request.concat()).await?;
        stream.flush().await?;
        let length = stream.read_i32().await?;
        Ok::<_, std::io::Error>((length > 6, stream.read_i32().await?, stream.read_i16().await?))
    };
    matches!(timeout(PATIENCE, ask).await.expect("it answers or closes"), Ok((true, 7, 0)))
}

#[test]
fn it_says_what_uses_them() {
    let made = Made::new(&["--client", "serve"]);
    let folder = fs::canonicalize(made.folder.path()).unwrap().join("certs");
    let path = |name: &str| folder.join(name).display().to_string();
    let settings = &made.said["settings"];
    let contract: toml::Table = settings["contract"].as_str().unwrap().parse().unwrap();
    let kafka = &contract["log"]["kafka"];
    assert_eq!(kafka["security_protocol"].as_str(), Some("ssl"));
    for (key, variable, file) in [
        ("ca_path", "KAFKA_TLS_CA", "ca.pem"),
        ("cert_path", "KAFKA_TLS_CERT", "client-serve.pem"),
        ("key_path", "KAFKA_TLS_KEY", "client-serve-key.pem"),
    ] {
        assert_eq!(kafka["tls"][key].as_str(), Some(path(file).as_str()));
        let line = format!("{variable}={}", path(file));
        assert!(settings["environment"].as_array().unwrap().contains(&line.into()), "{variable}");
    }
    let shown = Done::of(made.folder.path(), &["infra", "certs", "gen", "--client", "other"]).stdout;
    for part in ["authority", "kept", "client other", "made", "[log.kafka.tls]", "tls_key_file = "] {
        assert!(shown.contains(part), "`{part}` is not in {shown}");
    }
    assert!(!shown.contains("BEGIN"), "no key is printed");
}

#[test]
fn bad_input_is_said_and_makes_nothing() {
    let folder = TempDir::new().unwrap();
    for (code, args, said) in [
        (2, &["--host", "https://kafka:9093"][..], "without scheme, port or brackets"),
        (2, &["--client", "../../etc/passwd"], "is no client's name"),
        (2, &["--days", "0"], "1..=825"),
        (2, &["--days", "826"], "1..=825"),
        (1, &["--out", "contract.toml/certs"], "contract.toml/certs"),
    ] {
        fs::write(folder.path().join("contract.toml"), "").unwrap();
        let done = Done::of(folder.path(), &[&["infra", "certs", "gen"], args].concat());
        assert_eq!(done.code, Some(code), "{args:?}: {done:?}");
        assert!(done.stderr.contains(said), "{args:?}: {done:?}");
    }
    assert!(!folder.path().join("certs").exists());
    generate(folder.path(), &[]);
    let again = Done::of(folder.path(), &["infra", "certs", "gen"]);
    assert_eq!(again.code, Some(2), "{again:?}");
    assert!(again.stderr.contains("`--force` replaces"), "{again:?}");
    generate(folder.path(), &["--force"]);
}
