//! TLS with client certificates, and passwords: who belongs there gets in, and who
//! does not is told why.

use std::{fs, path::PathBuf};

use hook_broker::{ClientAuth, Kafka, Mechanism, Options, Sasl, Security, Tls};
use hook_core::{
    plan::{Backend, LogPlan, SaslMechanism, SaslPlan, SecurityProtocol, TlsFiles},
    secret::Environment,
};
use hook_kafka::{KafkaLog, Settings};
use hook_log::Log;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    date_time_ymd,
};
use tempfile::TempDir;

use crate::support::{numbers, plan, topic, unique};

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "tests");
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A certificate for either side that is good until this year, and its key.
    fn issue(&self, until: i32) -> (String, String) {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.not_after = date_time_ymd(until, 1, 1);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }

    fn of_broker(&self, client_auth: ClientAuth, until: i32) -> Tls {
        let (certificate, key) = self.issue(until);
        Tls { ca: self.0.pem(), certificate, key, client_auth }
    }
}

const VALID: i32 = 2100;
const EXPIRED: i32 = 2001;

/// Files for a client.
struct Files(TempDir);

impl Files {
    fn new(authority: &Authority, own: Option<(String, String)>) -> Self {
        let folder = TempDir::new().unwrap();
        let files = Self(folder);
        fs::write(files.path("ca.pem"), authority.0.pem()).unwrap();
        if let Some((certificate, key)) = own {
            fs::write(files.path("cert.pem"), certificate).unwrap();
            fs::write(files.path("key.pem"), key).unwrap();
        }
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn tls(&self) -> TlsFiles {
        let own = |name| Some(self.path(name)).filter(|path| path.exists());
        TlsFiles { cert_path: own("cert.pem"), key_path: own("key.pem"), ca_path: own("ca.pem") }
    }
}

async fn start(security: Security) -> Kafka {
    tokio::task::spawn_blocking(|| Kafka::start(Options::single_node().security(security)).unwrap())
        .await
        .unwrap()
}

/// Opens the log with what `change` makes of the plan, appends, and says why not.
async fn try_it(
    kafka: &Kafka,
    protocol: SecurityProtocol,
    tls: TlsFiles,
    sasl: Option<(SaslMechanism, &str)>,
) -> Result<(), String> {
    let prefix = unique();
    let mut plan: LogPlan = plan(&kafka.bootstrap(), &prefix);
    let Backend::Kafka(own) = &mut plan.backend else { unreachable!("a plan for Kafka") };
    own.connection.security_protocol = Some(protocol);
    own.connection.tls = tls;
    own.connection.sasl = SaslPlan { mechanism: sasl.map(|(mechanism, _)| mechanism), ..SaslPlan::default() };
    let password = sasl.map_or("", |(_, password)| password);
    let variables = [("KAFKA_SASL_USERNAME", "hook"), ("KAFKA_SASL_PASSWORD", password)];
    let environment = Environment::new(variables.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let settings = Settings::resolve(&plan, &environment).unwrap();
    let log = KafkaLog::open(settings).await.map_err(|error| error.to_string())?;
    log.append(&topic(&prefix), numbers(0..3)).await.map_err(|error| error.to_string())?;
    Ok(())
}

fn refused(outcome: Result<(), String>, why: &[&str]) {
    let said = outcome.expect_err("it was let in");
    assert!(why.iter().any(|why| said.contains(why)), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn client_certificates() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let kafka = start(Security::Tls(authority.of_broker(ClientAuth::Required, VALID))).await;
    let with = async |files: Files| try_it(&kafka, SecurityProtocol::Ssl, files.tls(), None).await;
    with(Files::new(&authority, Some(authority.issue(VALID)))).await.unwrap();
    refused(with(Files::new(&authority, Some(stranger.issue(VALID)))).await, &["SSL", "ssl"]);
    refused(with(Files::new(&authority, Some(authority.issue(EXPIRED)))).await, &["SSL", "ssl"]);
    refused(with(Files::new(&stranger, Some(authority.issue(VALID)))).await, &["certificate verify failed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_brokers_certificate_that_has_expired() {
    let authority = Authority::new();
    let kafka = start(Security::Tls(authority.of_broker(ClientAuth::None, EXPIRED))).await;
    let files = Files::new(&authority, None);
    let outcome = try_it(&kafka, SecurityProtocol::Ssl, files.tls(), None).await;
    refused(outcome, &["certificate has expired", "certificate verify failed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords() {
    let authority = Authority::new();
    for (mechanism, ours, over) in [
        (Mechanism::Plain, SaslMechanism::Plain, None),
        (
            Mechanism::ScramSha256,
            SaslMechanism::ScramSha256,
            Some(authority.of_broker(ClientAuth::None, VALID)),
        ),
        (
            Mechanism::ScramSha512,
            SaslMechanism::ScramSha512,
            Some(authority.of_broker(ClientAuth::None, VALID)),
        ),
    ] {
        let files = Files::new(&authority, None);
        let (protocol, tls) = match over {
            Some(_) => (SecurityProtocol::SaslSsl, files.tls()),
            None => (SecurityProtocol::SaslPlaintext, TlsFiles::default()),
        };
        let user = Sasl { mechanism, user: "hook".into(), password: "s3cret".into(), over };
        let kafka = start(Security::Sasl(user)).await;
        try_it(&kafka, protocol, tls.clone(), Some((ours, "s3cret"))).await.unwrap();
        let outcome = try_it(&kafka, protocol, tls, Some((ours, "other"))).await;
        refused(outcome, &["Authentication failed", "authentication"]);
    }
}
