//! What is sent: a pull request event as GitHub would send it, signed.
//!
//! A connection is one repository and one pull request, so that whatever orders
//! events by what they are about keeps each connection's in order, and the `seq`
//! inside shows whether it did.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::wire::Message;

/// The secret that senders share with whoever is measured.
pub(crate) const SECRET: &str = "a secret for measuring";
/// Where webhooks are sent to.
pub(crate) const PATH: &str = "/webhook/github";
/// Bytes of a payload, about.
pub(crate) const BYTES: usize = 1024;

/// The MAC of `body`, keyed with [`SECRET`].
pub(crate) fn mac(body: &[u8]) -> Hmac<Sha256> {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(SECRET.as_bytes()).expect("any length is a key");
    mac.update(body);
    mac
}

/// A whole request, ready to be written.
pub(crate) fn request(run: u64, key: u64, seq: u64, bytes: usize) -> Vec<u8> {
    let body = body(key, seq, bytes);
    let signature = hex::encode(mac(body.as_bytes()).finalize().into_bytes());
    format!(
        "POST {PATH} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\nx-github-event: pull_request\r\n\
         x-github-delivery: {run:08x}-{key:04x}-4000-8000-{seq:012x}\r\nx-hub-signature-256: sha256={signature}\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn body(key: u64, seq: u64, bytes: usize) -> String {
    let head = format!(
        r#"{{"action":"synchronize","number":{key},"seq":{seq},"key":{key},"repository":{{"id":{key},"full_name":"acme/r{key}"}},"pull_request":{{"number":{key},"draft":false,"title":"A change","body":""#
    );
    let filler = bytes.saturating_sub(head.len() + 3);
    format!("{head}{}\"}}}}", "lorem ipsum ".repeat(filler / 12 + 1).get(..filler).unwrap_or_default())
}

/// The key and the number of a delivered payload.
pub(crate) fn key_and_seq(message: &Message) -> Option<(u64, u64)> {
    let text = std::str::from_utf8(&message.body).ok()?;
    let number = |name: &str| {
        let rest = &text[text.find(name)? + name.len()..];
        rest[..rest.find(|character: char| !character.is_ascii_digit())?].parse().ok()
    };
    Some((number("\"key\":")?, number("\"seq\":")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_json_of_about_the_size() {
        for bytes in [0, 512, BYTES] {
            let body = body(3, 17, bytes);
            let json: serde_json::Value = serde_json::from_str(&body).unwrap();
            assert_eq!(json["seq"], 17);
            assert!(body.len() >= bytes && body.len() < bytes.max(300) + 2, "{}", body.len());
        }
    }
}
