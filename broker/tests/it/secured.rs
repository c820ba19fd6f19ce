//! Each way to secure the clients' listener: who belongs there gets in, others not.

use std::fs;

use hook_broker::{ClientAuth, Jars, Kafka, Mechanism, Options, Sasl, Security, Tls};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};

use crate::tools::TOPICS;

/// Starts a broker and asks it for its topics: `good` may, `bad` may not.
fn check(security: Security, good: &str, bad: &str) {
    let kafka = Kafka::start(Options::single_node().security(security)).unwrap();
    let folder = fs::canonicalize(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let file = folder.join(format!("client-{}.properties", kafka.bootstrap().replace(':', "-")));
    let list = |properties: &str| {
        fs::write(&file, format!("{properties}\n")).unwrap();
        let args =
            ["--bootstrap-server", &kafka.bootstrap(), "--command-config", file.to_str().unwrap(), "--list"];
        Jars::of_tests().unwrap().run(TOPICS, &args, "")
    };
    list(good).unwrap();
    let refused = list(bad).unwrap_err().to_string();
    assert!(refused.contains("AuthenticationException"), "{refused}");
    fs::remove_file(&file).unwrap();
    kafka.tool(TOPICS, &["--list"], "").unwrap();
}

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "tests");
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A certificate and its key, for either side.
    fn issue(&self) -> (String, String) {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }

    fn tls(&self, client_auth: ClientAuth) -> Tls {
        let (certificate, key) = self.issue();
        Tls { ca: self.0.pem(), certificate, key, client_auth }
    }
}

/// A PEM text as one line of a properties file.
fn line(pem: &str) -> String {
    pem.trim().lines().collect::<Vec<_>>().join("\\n")
}

fn trusting(authority: &Authority) -> String {
    format!("ssl.truststore.type=PEM\nssl.truststore.certificates={}", line(&authority.0.pem()))
}

#[test]
fn tls_with_client_certificates() {
    let authority = Authority::new();
    let with = |(certificate, key): (String, String)| {
        format!(
            "security.protocol=SSL\n{}\nssl.keystore.type=PEM\nssl.keystore.certificate.chain={}\nssl.keystore.key={}",
            trusting(&authority),
            line(&certificate),
            line(&key)
        )
    };
    let stranger = Authority::new().issue();
    check(Security::Tls(authority.tls(ClientAuth::Required)), &with(authority.issue()), &with(stranger));
}

fn user(mechanism: Mechanism, over: Option<Tls>) -> Security {
    Security::Sasl(Sasl { mechanism, user: "hook".into(), password: "s3cret".into(), over })
}

/// The client's side of a login.
fn login(mechanism: &str, module: &str, password: &str) -> String {
    format!(
        "sasl.mechanism={mechanism}\nsasl.jaas.config=org.apache.kafka.common.security.{module} \
         required username=\"hook\" password=\"{password}\";"
    )
}

#[test]
fn plain_passwords() {
    let with = |password| {
        format!("security.protocol=SASL_PLAINTEXT\n{}", login("PLAIN", "plain.PlainLoginModule", password))
    };
    check(user(Mechanism::Plain, None), &with("s3cret"), &with("other"));
}

#[test]
fn scram_passwords_over_tls() {
    for (mechanism, name) in
        [(Mechanism::ScramSha256, "SCRAM-SHA-256"), (Mechanism::ScramSha512, "SCRAM-SHA-512")]
    {
        let authority = Authority::new();
        let with = |password| {
            let login = login(name, "scram.ScramLoginModule", password);
            format!("security.protocol=SASL_SSL\n{}\n{login}", trusting(&authority))
        };
        check(user(mechanism, Some(authority.tls(ClientAuth::None))), &with("s3cret"), &with("other"));
    }
}
