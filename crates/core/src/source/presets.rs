//! The providers that are known by name. Adding one is a file of data, a line
//! here, and its golden vector in the tests.

use serde::Deserialize;

use super::SourceSpec;

/// A provider, as data.
#[derive(Clone, Copy, Debug)]
pub struct Preset {
    /// The name in a contract.
    pub name: &'static str,
    /// One line for a person.
    pub summary: &'static str,
    /// The environment variable that its secret is usually kept in; none when it has no secret.
    pub secret_env: Option<&'static str>,
    /// The keys, as a contract would write them.
    pub text: &'static str,
}

macro_rules! preset {
    ($name:literal, $secret_env:expr, $summary:literal) => {
        Preset {
            name: $name,
            summary: $summary,
            secret_env: $secret_env,
            text: include_str!(concat!("presets/", $name, ".toml")),
        }
    };
}

/// Every preset, alphabetical.
pub const PRESETS: &[Preset] = &[
    preset!("bearer", Some("BEARER_TOKEN"), "Anything that sends `Authorization: Bearer <token>`"),
    preset!("discord", Some("DISCORD_PUBLIC_KEY"), "Discord webhook events, signed by Ed25519"),
    preset!("github", Some("HMAC_SECRET_GITHUB"), "GitHub webhooks, JSON or form"),
    preset!("gitlab", Some("GITLAB_TOKEN"), "GitLab webhooks with a secret token"),
    preset!("gitlab-signed", Some("GITLAB_SIGNING_TOKEN"), "GitLab webhooks with a signing token"),
    preset!("hmac", Some("HMAC_SECRET"), "Anything that sends `X-Signature: <hex HMAC-SHA256 of the body>`"),
    preset!("kafka", None, "Records of a Kafka cluster that `kafka_ingress` is connected to"),
    preset!("linear", Some("HMAC_SECRET_LINEAR"), "Linear webhooks"),
    preset!("none", None, "Anything at all, unverified; events carry the flag `unverified`"),
    preset!("shopify", Some("SHOPIFY_CLIENT_SECRET"), "Shopify webhooks"),
    preset!("slack", Some("SLACK_SIGNING_SECRET"), "Slack events and interactions"),
    preset!("standard-webhooks", Some("WEBHOOK_SECRET"), "Any sender of Standard Webhooks (`webhook-*`)"),
    preset!("stripe", Some("STRIPE_WEBHOOK_SECRET"), "Stripe webhooks"),
    preset!("svix", Some("SVIX_SECRET"), "Any sender through Svix (`svix-*`): Clerk, Resend, Brex, Render"),
];

/// The keys of the preset called `name`.
pub fn preset(name: &str) -> Option<SourceSpec> {
    let preset = PRESETS.iter().find(|preset| preset.name == name)?;
    let keys = toml::Deserializer::parse(preset.text).ok()?;
    // A preset that cannot be read is found by the test that reads them all.
    SourceSpec::deserialize(keys).ok()
}
