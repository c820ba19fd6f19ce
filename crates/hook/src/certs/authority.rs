//! Who signs, and what a certificate says.
//!
//! Keys are P-256 in PKCS#8, which OpenSSL, Java and rustls all read.

use std::{fs, net::IpAddr, path::Path};

use anyhow::{Context, bail};
use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PublicKeyData, SanType,
};
use x509_parser::prelude::{GeneralName, Pem, X509Certificate};

use super::{ClientName, Host, Pair};

/// How long an authority signs.
const AUTHORITY_DAYS: u16 = 3650;
/// Clocks of two machines may differ by so much.
const SKEW: SignedDuration = SignedDuration::from_hours(1);

/// Who signs.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
    until: Timestamp,
}

/// A certificate with its key, both PEM.
pub(crate) struct Certified {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// Whom a certificate is for.
pub(crate) enum Leaf {
    /// A server; those of a cluster are each other's clients too.
    Server(Vec<Host>),
    Client(ClientName),
}

/// What a certificate says of itself.
pub(crate) struct Said {
    pub(crate) hosts: Vec<String>,
    pub(crate) until: Timestamp,
}

impl Authority {
    /// A new one.
    pub(crate) fn new(now: Timestamp) -> anyhow::Result<Self> {
        let mut params = params("hook certificate authority", now, until(now, AUTHORITY_DAYS)?)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), certificate, until: until(now, AUTHORITY_DAYS)? })
    }

    /// The one in these files, if it can sign.
    pub(crate) fn open(pair: &Pair, now: Timestamp) -> anyhow::Result<Self> {
        let certificate = text(&pair.certificate)?;
        let key = KeyPair::from_pem(&text(&pair.key)?);
        let key = key.with_context(|| format!("{} holds no private key in PKCS#8", pair.key.display()))?;
        let pem = pem(&pair.certificate, &certificate)?;
        let parsed = x509(&pair.certificate, &pem)?;
        let until = timestamp(&parsed)?;
        if parsed.public_key().raw != key.subject_public_key_info() {
            bail!("{} is not the key of {}", pair.key.display(), pair.certificate.display());
        }
        if !parsed.is_ca() {
            bail!("{} is not an authority's certificate", pair.certificate.display());
        }
        if until <= now {
            bail!("{} ended at {until}", pair.certificate.display());
        }
        Ok(Self { issuer: Issuer::from_ca_cert_pem(&certificate, key)?, certificate, until })
    }

    pub(crate) fn certified(&self) -> Certified {
        Certified { certificate: self.certificate.clone(), key: self.issuer.key().serialize_pem() }
    }

    /// Signs for a new key, for so many days or as long as the authority itself is valid.
    pub(crate) fn issue(&self, leaf: &Leaf, now: Timestamp, days: u16) -> anyhow::Result<Certified> {
        use ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
        let (name, hosts, usages) = match leaf {
            Leaf::Server(hosts) => ("hook server".to_owned(), hosts.as_slice(), vec![ServerAuth, ClientAuth]),
            Leaf::Client(name) => (name.to_string(), &[][..], vec![ClientAuth]),
        };
        let mut params = params(&name, now, until(now, days)?.min(self.until))?;
        params.subject_alt_names = hosts.iter().map(alternative).collect::<Result<_, _>>()?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = usages;
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        Ok(Certified { certificate: params.signed_by(&key, &self.issuer)?.pem(), key: key.serialize_pem() })
    }
}

/// What the certificate in a file says.
pub(super) fn read(file: &Path) -> anyhow::Result<Said> {
    let pem = pem(file, &text(file)?)?;
    let parsed = x509(file, &pem)?;
    let names = parsed.subject_alternative_name().ok().flatten();
    let names = names.map(|names| names.value.general_names.as_slice()).unwrap_or_default();
    Ok(Said { hosts: names.iter().filter_map(host).collect(), until: timestamp(&parsed)? })
}

fn text(file: &Path) -> anyhow::Result<String> {
    fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))
}

fn pem(file: &Path, text: &str) -> anyhow::Result<Pem> {
    let first = Pem::iter_from_buffer(text.as_bytes()).next().and_then(Result::ok);
    let first = first.filter(|block| block.label == "CERTIFICATE");
    first.with_context(|| format!("{} holds no certificate in PEM", file.display()))
}

fn x509<'a>(file: &Path, pem: &'a Pem) -> anyhow::Result<X509Certificate<'a>> {
    pem.parse_x509().with_context(|| format!("{} holds a certificate that cannot be read", file.display()))
}

fn timestamp(certificate: &X509Certificate<'_>) -> anyhow::Result<Timestamp> {
    Ok(Timestamp::from_second(certificate.validity().not_after.timestamp())?)
}

fn until(now: Timestamp, days: u16) -> anyhow::Result<Timestamp> {
    Ok(now.checked_add(SignedDuration::from_hours(24 * i64::from(days)))?)
}

fn params(name: &str, now: Timestamp, until: Timestamp) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let since = |time: Timestamp| time.duration_since(Timestamp::UNIX_EPOCH).unsigned_abs();
    params.not_before = epoch + since(now.checked_sub(SKEW)?);
    params.not_after = epoch + since(until);
    Ok(params)
}

fn alternative(host: &Host) -> anyhow::Result<SanType> {
    Ok(match host {
        Host::Name(name) => SanType::DnsName(name.as_str().try_into()?),
        Host::Address(address) => SanType::IpAddress(*address),
    })
}

fn host(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => Some(IpAddr::from(<[u8; 4]>::try_from(*bytes).ok()?).to_string()),
            _ => Some(IpAddr::from(<[u8; 16]>::try_from(*bytes).ok()?).to_string()),
        },
        _ => None,
    }
}
