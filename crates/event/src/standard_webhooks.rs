//! Signing and verifying by the Standard Webhooks specification.
//!
//! Headers `webhook-id`, `webhook-timestamp` (Unix seconds) and
//! `webhook-signature`: a space-separated list of `v1,<base64>` (HMAC-SHA256) or
//! `v1a,<base64>` (Ed25519) over `{id}.{timestamp}.{body}`. During a rotation a
//! sender signs with every live key and a receiver accepts any of them.

use base64::{Engine, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretSlice};
use sha2::Sha256;

/// The specification's usual tolerance between the two clocks, in seconds.
pub const TOLERANCE_SECONDS: i64 = 300;

/// A key to sign with.
#[derive(Clone)]
pub enum Key {
    /// `whsec_…` or plain text: HMAC-SHA256, `v1`.
    Hmac(SecretSlice<u8>),
    /// `whsk_…`: Ed25519, `v1a`.
    Ed25519(Box<SigningKey>),
}

/// A key to verify with.
#[derive(Clone)]
pub enum PublicKey {
    /// The shared secret of `v1`.
    Hmac(SecretSlice<u8>),
    /// `whpk_…`, or the public half of `whsk_…`: `v1a`.
    Ed25519(Box<VerifyingKey>),
}

/// Why a secret is not a key.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum KeyError {
    /// The part after the prefix is not base64.
    #[error("the secret after `{0}` is not base64")]
    NotBase64(&'static str),
    /// Ed25519 keys have a fixed length.
    #[error("an Ed25519 key is 32 bytes (or 64 with its public half), this one has {0}")]
    Length(usize),
    /// An empty secret would accept anything signed with nothing.
    #[error("the secret is empty")]
    Empty,
}

/// Why a signature was not accepted.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum VerifyError {
    /// The timestamp is no number of seconds.
    #[error("the timestamp is not a number of Unix seconds")]
    Timestamp,
    /// Outside the tolerance, in either direction.
    #[error("the timestamp is outside the tolerance")]
    Stale,
    /// None of the signatures fits any of the keys.
    #[error("no signature matches")]
    Mismatch,
}

impl Key {
    /// Reads `whsec_…`, `whsk_…`, or takes the text's own bytes as the secret.
    ///
    /// # Errors
    /// When the prefix promises a form that the rest does not have.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        if let Some(rest) = text.strip_prefix("whsk_") {
            let bytes = from_base64(rest).ok_or(KeyError::NotBase64("whsk_"))?;
            let seed = bytes.get(..32).and_then(|seed| <[u8; 32]>::try_from(seed).ok());
            return match (seed, bytes.len()) {
                (Some(seed), 32 | 64) => Ok(Self::Ed25519(Box::new(SigningKey::from_bytes(&seed)))),
                (_, length) => Err(KeyError::Length(length)),
            };
        }
        hmac_secret(text).map(Self::Hmac)
    }

    /// The key that verifies what this one signs.
    pub fn public(&self) -> PublicKey {
        match self {
            Self::Hmac(secret) => PublicKey::Hmac(secret.clone()),
            Self::Ed25519(key) => PublicKey::Ed25519(Box::new(key.verifying_key())),
        }
    }

    fn sign(&self, content: [&[u8]; 5]) -> String {
        match self {
            Self::Hmac(secret) => format!("v1,{}", base64(&mac(secret, content).finalize().into_bytes())),
            Self::Ed25519(key) => format!("v1a,{}", base64(&key.sign(&content.concat()).to_bytes())),
        }
    }
}

impl PublicKey {
    /// Reads `whsec_…`, `whpk_…`, `whsk_…`, or takes the text's own bytes.
    ///
    /// # Errors
    /// When the prefix promises a form that the rest does not have.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let Some(rest) = text.strip_prefix("whpk_") else {
            return Key::parse(text).map(|key| key.public());
        };
        let bytes = from_base64(rest).ok_or(KeyError::NotBase64("whpk_"))?;
        let key = <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| KeyError::Length(bytes.len()))?;
        let key = VerifyingKey::from_bytes(&key).map_err(|_| KeyError::Length(bytes.len()))?;
        Ok(Self::Ed25519(Box::new(key)))
    }

    fn accepts(&self, content: [&[u8]; 5], version: &str, signature: &[u8]) -> bool {
        match (self, version) {
            (Self::Hmac(secret), "v1") => mac(secret, content).verify_slice(signature).is_ok(),
            (Self::Ed25519(key), "v1a") => Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_strict(&content.concat(), &signature).is_ok()),
            _ => false,
        }
    }
}

/// The value of `webhook-signature`: one signature per key, separated by spaces.
pub fn sign(keys: &[Key], id: &str, timestamp: i64, body: &[u8]) -> String {
    let timestamp = timestamp.to_string();
    let content = signed_content(id, &timestamp, body);
    let signatures: Vec<String> = keys.iter().map(|key| key.sign(content)).collect();
    signatures.join(" ")
}

/// Checks the three headers of a request against the raw body.
///
/// # Errors
/// When the timestamp is unreadable or outside `tolerance` seconds of `now`, or
/// no listed signature fits any key.
pub fn verify(
    keys: &[PublicKey],
    (id, timestamp, signatures): (&str, &str, &str),
    body: &[u8],
    now: i64,
    tolerance: i64,
) -> Result<(), VerifyError> {
    let at: i64 = timestamp.parse().map_err(|_| VerifyError::Timestamp)?;
    if now.abs_diff(at) > tolerance.unsigned_abs() {
        return Err(VerifyError::Stale);
    }
    let content = signed_content(id, timestamp, body);
    let accepted = signatures.split_ascii_whitespace().any(|one| {
        let Some((version, text)) = one.split_once(',') else { return false };
        let Some(signature) = from_base64(text) else { return false };
        keys.iter().any(|key| key.accepts(content, version, &signature))
    });
    accepted.then_some(()).ok_or(VerifyError::Mismatch)
}

/// Standard base64 with padding.
pub fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Standard base64 with padding; `None` when it is something else.
pub fn from_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

fn hmac_secret(text: &str) -> Result<SecretSlice<u8>, KeyError> {
    let bytes = match text.strip_prefix("whsec_") {
        Some(rest) => from_base64(rest).ok_or(KeyError::NotBase64("whsec_"))?,
        None => text.as_bytes().to_vec(),
    };
    if bytes.is_empty() { Err(KeyError::Empty) } else { Ok(bytes.into()) }
}

fn signed_content<'a>(id: &'a str, timestamp: &'a str, body: &'a [u8]) -> [&'a [u8]; 5] {
    [id.as_bytes(), b".", timestamp.as_bytes(), b".", body]
}

#[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
fn mac(secret: &SecretSlice<u8>, content: [&[u8]; 5]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret()).expect("any key length");
    for part in content {
        mac.update(part);
    }
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const AT: i64 = 1_614_265_330;
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    #[test]
    fn the_specification_vector() {
        let key = Key::parse(SECRET).unwrap();
        assert_eq!(sign(&[key], ID, AT, BODY), SIGNATURE);
    }

    #[test]
    fn rotation_signs_with_every_key_and_any_is_enough() {
        let keys = [Key::parse("whsec_bmV3IHNlY3JldCBuZXcgc2VjcmV0").unwrap(), Key::parse(SECRET).unwrap()];
        let header = sign(&keys, ID, AT, BODY);
        assert_eq!(header.split(' ').count(), 2);
        let old = [PublicKey::parse(SECRET).unwrap()];
        assert_eq!(verify(&old, (ID, "1614265330", &header), BODY, AT, TOLERANCE_SECONDS), Ok(()));
    }

    #[test]
    fn ed25519_signs_and_verifies() {
        let text = format!("whsk_{}", base64(&[7; 32]));
        let key = Key::parse(&text).unwrap();
        let header = sign(std::slice::from_ref(&key), ID, AT, BODY);
        assert!(header.starts_with("v1a,"));
        assert_eq!(verify(&[key.public()], (ID, "1614265330", &header), BODY, AT, 300), Ok(()));
    }

    #[test]
    fn what_must_be_refused() {
        let keys = [PublicKey::parse(SECRET).unwrap()];
        let check = |id: &str, at: &str, signature: &str, body: &[u8], now: i64| {
            verify(&keys, (id, at, signature), body, now, TOLERANCE_SECONDS)
        };
        let at = "1614265330";
        assert_eq!(check(ID, at, SIGNATURE, BODY, AT + 300), Ok(()));
        assert_eq!(check(ID, at, SIGNATURE, BODY, AT + 301), Err(VerifyError::Stale));
        assert_eq!(check(ID, at, SIGNATURE, BODY, AT - 301), Err(VerifyError::Stale));
        assert_eq!(check(ID, "soon", SIGNATURE, BODY, AT), Err(VerifyError::Timestamp));
        assert_eq!(check("other", at, SIGNATURE, BODY, AT), Err(VerifyError::Mismatch));
        assert_eq!(check(ID, at, SIGNATURE, b"{}", AT), Err(VerifyError::Mismatch));
        assert_eq!(
            check(ID, at, "v1a,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", BODY, AT),
            Err(VerifyError::Mismatch)
        );
        assert_eq!(check(ID, at, "", BODY, AT), Err(VerifyError::Mismatch));
    }

    #[test]
    fn a_secret_that_is_no_key_is_refused() {
        assert_eq!(Key::parse("whsec_***").err(), Some(KeyError::NotBase64("whsec_")));
        assert_eq!(Key::parse("").err(), Some(KeyError::Empty));
        assert_eq!(Key::parse("whsk_AAAA").err(), Some(KeyError::Length(3)));
    }
}
