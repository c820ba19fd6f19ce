//! Secrets as keys: what each verifies, and what it would have signed.
//!
//! Every comparison takes the same time whatever differs.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use hmac::{Hmac, KeyInit, Mac};
use hook_event::standard_webhooks as standard;
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;

use super::spec::{Algorithm, SecretEncoding, SourceSpec};

/// A secret, ready for use.
pub(super) enum Key {
    Mac(Algorithm, SecretSlice<u8>),
    Ed25519 { public: Box<VerifyingKey>, private: Option<Box<SigningKey>> },
    Standard { public: standard::PublicKey, private: Option<standard::Key> },
    Token(SecretSlice<u8>),
}

impl Key {
    /// Reads a secret as `spec` says. The reason never shows the secret.
    pub(super) fn parse(spec: &SourceSpec, secret: &SecretString) -> Result<Self, String> {
        let text = secret.expose_secret();
        match spec.algorithm {
            Algorithm::HmacSha1 | Algorithm::HmacSha256 | Algorithm::HmacSha512 => {
                Ok(Self::Mac(spec.algorithm, bytes(text, spec.secret_encoding.unwrap_or_default())?))
            }
            Algorithm::Equality => Ok(Self::Token(bytes(text, spec.secret_encoding.unwrap_or_default())?)),
            Algorithm::Ed25519 => ed25519(text, spec.secret_encoding.unwrap_or(SecretEncoding::Hex)),
            Algorithm::StandardWebhooks => {
                let public = standard::PublicKey::parse(text).map_err(|error| error.to_string())?;
                let private = standard::Key::parse(text).ok().filter(|_| !text.starts_with("whpk_"));
                Ok(Self::Standard { public, private })
            }
            Algorithm::Transport | Algorithm::None => {
                Err(format!("`{}` uses no secret", spec.algorithm.name()))
            }
        }
    }

    /// Whether `signature` is what this key makes of `content`.
    pub(super) fn accepts(&self, content: &[&[u8]], signature: &[u8]) -> bool {
        match self {
            Self::Mac(algorithm, secret) => mac(*algorithm, secret, content).ct_eq(signature).into(),
            Self::Ed25519 { public, .. } => Signature::from_slice(signature)
                .is_ok_and(|signature| public.verify_strict(&content.concat(), &signature).is_ok()),
            // Hashed first, so that not even the length takes its own time.
            Self::Token(secret) => {
                Sha256::digest(secret.expose_secret()).ct_eq(&Sha256::digest(signature)).into()
            }
            Self::Standard { .. } => false,
        }
    }

    /// The signature that the sender would make; none when only the public half is known.
    pub(super) fn sign(&self, content: &[&[u8]]) -> Option<Vec<u8>> {
        match self {
            Self::Mac(algorithm, secret) => Some(mac(*algorithm, secret, content)),
            Self::Ed25519 { private, .. } => {
                private.as_ref().map(|key| key.sign(&content.concat()).to_bytes().to_vec())
            }
            Self::Token(secret) => Some(secret.expose_secret().to_vec()),
            Self::Standard { .. } => None,
        }
    }
}

fn bytes(text: &str, encoding: SecretEncoding) -> Result<SecretSlice<u8>, String> {
    let bytes = match encoding {
        SecretEncoding::Utf8 => Some(text.as_bytes().to_vec()),
        SecretEncoding::Hex => hex::decode(text).ok(),
        SecretEncoding::Base64 => standard::from_base64(text),
        SecretEncoding::Whsec => text.strip_prefix("whsec_").and_then(standard::from_base64),
    };
    let form = match encoding {
        SecretEncoding::Utf8 => "a text",
        SecretEncoding::Hex => "hexadecimal",
        SecretEncoding::Base64 => "base64",
        SecretEncoding::Whsec => "`whsec_` and then base64",
    };
    match bytes {
        Some(bytes) if !bytes.is_empty() => Ok(bytes.into()),
        _ => Err(format!("it is not {form}")),
    }
}

/// The sender's public key; or, where one plays the sender, `whsk_` and a private one.
fn ed25519(text: &str, encoding: SecretEncoding) -> Result<Key, String> {
    if text.starts_with("whsk_") {
        let Ok(standard::Key::Ed25519(private)) = standard::Key::parse(text) else {
            return Err("it is not `whsk_` and then 32 bytes in base64".to_owned());
        };
        return Ok(Key::Ed25519 { public: Box::new(private.verifying_key()), private: Some(private) });
    }
    let public = bytes(text, encoding)?;
    let public = <[u8; 32]>::try_from(public.expose_secret()).map_err(|_| "it is not 32 bytes long")?;
    let public = VerifyingKey::from_bytes(&public).map_err(|_| "it is not an Ed25519 public key")?;
    Ok(Key::Ed25519 { public: Box::new(public), private: None })
}

fn mac(algorithm: Algorithm, secret: &SecretSlice<u8>, content: &[&[u8]]) -> Vec<u8> {
    match algorithm {
        Algorithm::HmacSha1 => hash::<Hmac<Sha1>>(secret, content),
        Algorithm::HmacSha512 => hash::<Hmac<Sha512>>(secret, content),
        _ => hash::<Hmac<Sha256>>(secret, content),
    }
}

#[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
fn hash<M: Mac + KeyInit>(secret: &SecretSlice<u8>, content: &[&[u8]]) -> Vec<u8> {
    let mut mac = <M as KeyInit>::new_from_slice(secret.expose_secret()).expect("any key length");
    content.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    /// Time cannot be measured in a test, so the text is held: whoever compares a
    /// secret in another way has to come past here.
    #[test]
    fn no_comparison_of_a_secret_ends_early() {
        let text = include_str!("key.rs");
        let accepts = text.split("fn accepts").nth(1).unwrap().split("fn sign").next().unwrap();
        let arms = accepts.matches("Self::").count();
        let takes_its_time = ["ct_eq", "verify_strict", "=> false"].map(|way| accepts.contains(way));
        assert_eq!((arms, takes_its_time), (4, [true; 3]));
        assert_eq!(accepts.matches("ct_eq").count(), 2, "one for each secret that is a text");
        for early in [" == ", " != ", ".eq(", "starts_with", "matches!"] {
            assert!(!accepts.contains(early), "`{early}` ends at the first difference");
        }
    }
}
