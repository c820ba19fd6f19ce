//! What a source is, as data: the keys of a preset and of `[sources.<name>]`.
//!
//! The field docs are the user's reference. Nothing here does anything; the rule
//! is that every key is read by the engine, or refused by `check` when the
//! algorithm has no use for it.

use std::{collections::BTreeMap, fmt};

use http::HeaderName;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use super::{content::Content, json::Pointer, pick::Pick};

/// How one kind of sender verifies and names its events.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceSpec {
    /// How the sender proves who it is.
    pub algorithm: Algorithm,
    /// The headers that may carry the signature or token; every value of each is considered.
    #[serde(default)]
    pub signature_headers: Vec<Header>,
    /// What stands before the signature, such as `sha256=`.
    #[serde(default)]
    pub prefix: String,
    /// How the signature is written; `hex` unless it is a token, which is `plain`.
    #[serde(default)]
    pub encoding: Option<Encoding>,
    /// What separates several values in one header, such as `,`.
    #[serde(default)]
    pub separator: Option<String>,
    /// In a list of `key=value`, the key whose values are signatures, such as `v1`.
    #[serde(default)]
    pub signature_field: Option<String>,
    /// What is signed, made of `{id}`, `{timestamp}`, `{body}`, `{url}` and `{method}`.
    #[serde(default)]
    pub content: Option<Content>,
    /// The header that is `{id}` of the signed content.
    #[serde(default)]
    pub id_header: Option<Header>,
    /// `{url}` of the signed content, without path and query. It is written here
    /// because a request's own `Host` can be forged.
    #[serde(default)]
    pub public_url: Option<String>,
    /// How the secret's text becomes its bytes; `utf8` takes the text itself.
    #[serde(default)]
    pub secret_encoding: Option<SecretEncoding>,
    /// When the request was made, and how old it may be.
    #[serde(default)]
    pub timestamp: Option<TimestampRule>,
    /// The event's type: the first of these that can be filled in.
    pub event_type: Vec<Pick>,
    /// The sender's id of the delivery, by which a repetition is recognised.
    #[serde(default)]
    pub delivery_id: Vec<Pick>,
    /// Events with the same key are delivered in order; the subject unless written.
    #[serde(default)]
    pub ordering_key: Vec<Pick>,
    /// What the event is about, such as `acme/api#42`.
    #[serde(default)]
    pub subject: Vec<Pick>,
    /// The field of a form body that holds the event's JSON.
    #[serde(default)]
    pub form_field: Option<String>,
    /// The array whose elements are events of their own; the empty text is the whole body.
    #[serde(default)]
    pub batch: Option<Pointer>,
    /// Requests that are answered and not stored.
    #[serde(default)]
    pub handshakes: Vec<Handshake>,
    /// What the sender insists on hearing when its event was taken.
    #[serde(default)]
    pub reply: Option<FixedReply>,
}

/// How a sender proves who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Algorithm {
    /// HMAC with SHA-1, where a provider offers nothing better.
    HmacSha1,
    /// HMAC with SHA-256.
    HmacSha256,
    /// HMAC with SHA-512.
    HmacSha512,
    /// An Ed25519 signature; the secret is the sender's public key.
    Ed25519,
    /// Standard Webhooks: `v1` or `v1a` as the secret says.
    StandardWebhooks,
    /// The header holds the secret itself.
    Equality,
    /// The ingress itself knows who sends, as `kafka_ingress` does; what anybody can
    /// connect to, such as HTTP, proves nothing here.
    Transport,
    /// Nothing is verified.
    None,
}

/// How a signature is written in its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// Hexadecimal, either case.
    Hex,
    /// Standard base64 with padding.
    Base64,
    /// URL-safe base64, with or without padding.
    Base64url,
    /// As it is; for tokens.
    Plain,
}

/// How a secret's text becomes bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SecretEncoding {
    /// The text's own bytes.
    #[default]
    Utf8,
    /// Hexadecimal.
    Hex,
    /// Standard base64.
    Base64,
    /// `whsec_` and then base64.
    Whsec,
}

/// When the request was made, and how far that may be from now.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TimestampRule {
    /// In this header.
    #[serde(default)]
    pub header: Option<Header>,
    /// In this key of the signature header's list, such as `t`.
    #[serde(default)]
    pub field: Option<String>,
    /// In this place of the body, such as `/webhookTimestamp`.
    #[serde(default)]
    pub pointer: Option<Pointer>,
    /// How it is written.
    #[serde(default)]
    pub unit: Unit,
    /// How many seconds it may be away from now, in either direction.
    #[serde(default = "five_minutes")]
    pub tolerance_seconds: u32,
}

/// How a time is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum Unit {
    /// Seconds since 1970.
    #[default]
    #[serde(rename = "s")]
    Seconds,
    /// Milliseconds since 1970.
    #[serde(rename = "ms")]
    Milliseconds,
    /// RFC 3339, such as `2026-11-21T05:00:00Z`.
    #[serde(rename = "iso")]
    Iso,
}

/// A request that is answered and not stored.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Handshake {
    /// The method.
    #[serde(default = "post")]
    pub method: String,
    /// Whether only a verified request is answered. `false` answers anybody.
    #[serde(default = "yes")]
    pub signed: bool,
    /// What must hold: a text to fill in, and what must come out. The empty text
    /// stands for what is not there.
    pub when: BTreeMap<Pick, String>,
    /// The answer's status.
    #[serde(default = "ok")]
    pub status: u16,
    /// The answer's body, as plain text.
    #[serde(default)]
    pub echo: Option<Pick>,
    /// The answer's body, as JSON; its texts are filled in.
    #[serde(default)]
    pub json: Option<serde_json::Value>,
    /// The answer's headers.
    #[serde(default)]
    pub headers: BTreeMap<Header, Pick>,
}

/// An answer that is always the same.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FixedReply {
    /// The status.
    #[serde(default = "ok")]
    pub status: u16,
    /// The media type.
    #[serde(default = "text_plain")]
    pub content_type: String,
    /// The body, as it is.
    #[serde(default)]
    pub body: String,
}

/// A header's name, whatever its case.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Header(String);

impl Header {
    /// The name in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match HeaderName::from_bytes(text.as_bytes()) {
            Ok(name) => Ok(Self(name.as_str().to_owned())),
            Err(_) => Err(format!("`{text}` is not a header's name")),
        }
    }
}

impl SourceSpec {
    /// Every text of the spec that is filled in from a request.
    pub(super) fn picks(&self) -> impl Iterator<Item = &Pick> {
        let named = [&self.event_type, &self.delivery_id, &self.ordering_key, &self.subject];
        let asked = self.handshakes.iter().flat_map(|handshake| {
            handshake.when.keys().chain(&handshake.echo).chain(handshake.headers.values())
        });
        named.into_iter().flatten().chain(asked)
    }
}

impl Algorithm {
    /// Whether a secret proves who sent it.
    pub(super) fn uses_secrets(self) -> bool {
        !matches!(self, Self::Transport | Self::None)
    }

    /// The name in a contract.
    pub fn name(self) -> &'static str {
        match self {
            Self::HmacSha1 => "hmac-sha1",
            Self::HmacSha256 => "hmac-sha256",
            Self::HmacSha512 => "hmac-sha512",
            Self::Ed25519 => "ed25519",
            Self::StandardWebhooks => "standard-webhooks",
            Self::Equality => "equality",
            Self::Transport => "transport",
            Self::None => "none",
        }
    }
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl JsonSchema for Header {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Header".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "A header's name, whatever its case." })
    }
}

/// As the contract writes it.
impl Serialize for Header {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0)
    }
}

fn five_minutes() -> u32 {
    300
}

fn ok() -> u16 {
    200
}

fn post() -> String {
    "POST".to_owned()
}

fn text_plain() -> String {
    "text/plain; charset=utf-8".to_owned()
}

fn yes() -> bool {
    true
}
